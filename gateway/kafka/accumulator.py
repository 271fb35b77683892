"""Records on their way to the broker: a lane a partition, one batch of each under way at a time.

What waits in a lane while its batch is under way leaves together as the next one: batches grow by
themselves under load, and an idle lane sends at once (group commit; DeWitt et al., "Implementation
Techniques for Main Memory Database Systems", SIGMOD 1984, section 5.2). Order within a lane is
kept, also of what has to be sent again.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from typing import Final

from analytics.contracts.cloudevents import Record

RECORD_OVERHEAD_BYTES: Final = 512
"""Headers, key and bookkeeping of one record, about."""


class Pending:
    """One who waits for parcels; `done` once all of them are decided, or the time is up."""

    __slots__ = ("done", "undecided")

    def __init__(self) -> None:
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.undecided = 0

    def end(self) -> None:
        """Wait no longer."""
        if not self.done.done():
            self.done.set_result(None)

    async def wait(self, *, ms_max: int) -> None:
        """Return once all parcels are decided, or after `ms_max`."""
        limit = asyncio.get_running_loop().call_later(ms_max / 1_000, self.end)
        try:
            await self.done
        finally:
            limit.cancel()


class Queued:
    """One record; `outcome` is None until decided, then empty if the broker has it, or why not."""

    __slots__ = ("abandoned", "attempts", "bytes", "calls", "key", "outcome", "posted", "record")

    def __init__(self, record: Record, *, key: bytes, posted: bool) -> None:
        self.record = record
        self.key = key
        self.posted = posted
        self.bytes = len(record.value) + RECORD_OVERHEAD_BYTES
        self.outcome: str | None = None
        self.calls: list[Pending] = []
        self.attempts = 0
        self.abandoned = False

    def tell(self, call: Pending) -> None:
        """Let one more wait for this parcel."""
        if self.outcome is None:
            self.calls.append(call)
            call.undecided += 1

    def decide(self, outcome: str) -> None:
        """Tell who waits how it ended; only the first word counts."""
        if self.outcome is not None:
            return
        self.outcome = outcome
        for call in self.calls:
            call.undecided -= 1
            if not call.undecided:
                call.end()


class Queue:
    """One partition: what waits for it, and what is under way to it."""

    __slots__ = ("flying", "partition", "topic", "waiting")

    def __init__(self, topic: str, partition: int) -> None:
        self.topic = topic
        self.partition = partition
        self.waiting: deque[Queued] = deque()
        self.flying: list[Queued] = []

    def load(self, add: Callable[[Record], bool]) -> list[Queued]:
        """Take under way what `add` takes; return what nobody waits for any more, left behind."""
        left: list[Queued] = []
        waiting, flying = self.waiting, self.flying
        while waiting:
            parcel = waiting[0]
            if parcel.abandoned:
                left.append(parcel)
            elif add(parcel.record):
                flying.append(parcel)
            else:
                break
            waiting.popleft()
        return left

    def land(self) -> list[Queued]:
        """Return what was under way; it is no longer."""
        landed, self.flying = self.flying, []
        return landed

    def put_back(self, parcels: list[Queued]) -> None:
        """Send these again, before all that waits, in their order."""
        self.waiting.extendleft(reversed(parcels))


class Queues:
    """Every lane that was used; as many as there are partitions."""

    def __init__(self) -> None:
        self._lanes: dict[tuple[str, int], Queue] = {}

    def __iter__(self) -> Iterator[Queue]:
        """Iterate over all lanes."""
        return iter(self._lanes.values())

    def at(self, topic: str, partition: int) -> Queue:
        """Return the lane of a partition."""
        lane = self._lanes.get((topic, partition))
        if lane is None:
            lane = self._lanes[topic, partition] = Queue(topic, partition)
        return lane

    def due(self) -> list[Queue]:
        """Return the lanes that have something to send and nothing under way."""
        return [lane for lane in self if lane.waiting and not lane.flying]

    def flying(self) -> list[Queue]:
        """Return the lanes that have something under way."""
        return [lane for lane in self if lane.flying]
