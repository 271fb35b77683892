"""What agent events cost at least: the plain loop, each decoded and counted in its window."""

import asyncio
from collections import Counter
from collections.abc import Iterable
from typing import Final

from analytics.contracts import events
from tests.bench.engines.bare import Got, consume
from tests.bench.engines.task import Meter, Task, Window

ABOUT: Final = "aiokafka getmany and decoding of agent events, one count a window"
DURABILITY: Final = "keeps nothing"
WIDTH_MS: Final = 10_000


def run(task: Task, meter: Meter) -> Iterable[Window]:
    """Decode in a loop."""
    counts: Counter[int] = Counter()

    def take(got: Got) -> None:
        for records in got.values():
            for record in records:
                counts[events.decode(record.value).at_ms // WIDTH_MS] += 1

    asyncio.run(consume(task, meter, take))
    return [Window("", WIDTH_MS, start * WIDTH_MS, count, b"") for start, count in counts.items()]
