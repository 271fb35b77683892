"""Whether the worker has read everything: the log's ends now, against the offsets in the store.

The ends are taken once, so that a drain ends even where others keep sending. What counts as read is
what the store's checkpoints holds, since rows and offsets are one transaction there.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Final

from analytics.contracts import topics
from apps.local.topics import PartitionRange, cluster_id, reaches
from streams.clients.reader import Reader
from streams.queries import system

LOOK_S: Final = 0.1

Place = tuple[str, int]
"""A topic's address and a partition."""


async def until_read(broker: str, store_url: str, *, wait_s: float) -> int:
    """Wait until the store has every fact that the broker has now; return how many it lacks."""
    cluster = await cluster_id(broker)
    ends = await reaches(broker, [topic.address for topic in topics.FACTS])
    until = time.monotonic() + wait_s
    reader = Reader(store_url, size_max=1)
    try:
        while True:
            done = await asyncio.to_thread(offsets, reader, cluster)
            lacking = unread(ends, done)
            if lacking == 0 or time.monotonic() >= until:
                return lacking
            await asyncio.sleep(LOOK_S)
    finally:
        reader.close()


def offsets(reader: Reader, cluster: str) -> dict[Place, int]:
    """Return the next offset of each partition of this cluster's logs, as the store has it."""
    with reader.connection("reading the offsets") as db:
        rows = system.progress(db)
    return {
        (row.topic, row.partition): row.next_offset for row in rows if row.cluster_id == cluster
    }


def unread(ends: Sequence[PartitionRange], done: Mapping[Place, int]) -> int:
    """Return how many records lie between the offsets that are done and the ends."""
    return sum(
        max(0, end.end - max(end.first, done.get((end.topic, end.partition), 0))) for end in ends
    )
