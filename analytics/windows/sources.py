"""The sources of a second stage: whom it waits for, and how far event time has come over them.

A source is a partition of a log of facts. It is active while it is heard of; one that says it has
fallen quiet, or is silent for `idle_ms`, is idle and holds no window open (idle sources as in
Flink). It is active again once it tells of a later time; what was said before changes nothing. One
that is silent for `forgotten_ms` is unknown again, so that logs that are gone take no memory.

The low watermark is the least of the active sources' (Akidau et al., "The Dataflow Model", VLDB
2015); with none active, nobody has more to say for now, and it is the greatest of all. It may go
back when a source that lags is met or comes back: who closes windows holds on to how far it was.
"""

from collections.abc import Iterable
from enum import IntEnum
from typing import Final

from msgspec import Struct

Source = tuple[int, int, int]
"""The store's number of a log, a partition, and the target that it tells."""


class SourceStanding(IntEnum):
    """What a source is to the second stage."""

    UNKNOWN = 0
    ACTIVE = 1
    IDLE = 2


class SourceSignal(IntEnum):
    """What happens to a source."""

    CAME_ON = 0
    """It told of a later time than before."""
    REPEATED = 1
    """It told of no later time: a repeat, or the first pieces of what it has to say."""
    LEFT = 2
    """It said that it has fallen quiet."""
    SILENT = 3
    """It was not heard of for `idle_ms`."""
    FORGOTTEN = 4
    """It was not heard of for `forgotten_ms`."""


TRANSITIONS: Final[dict[SourceStanding, dict[SourceSignal, SourceStanding]]] = {
    SourceStanding.UNKNOWN: {
        SourceSignal.CAME_ON: SourceStanding.ACTIVE,
        SourceSignal.REPEATED: SourceStanding.ACTIVE,
        SourceSignal.LEFT: SourceStanding.IDLE,
    },
    SourceStanding.ACTIVE: {
        SourceSignal.CAME_ON: SourceStanding.ACTIVE,
        SourceSignal.REPEATED: SourceStanding.ACTIVE,
        SourceSignal.LEFT: SourceStanding.IDLE,
        SourceSignal.SILENT: SourceStanding.IDLE,
    },
    SourceStanding.IDLE: {
        SourceSignal.CAME_ON: SourceStanding.ACTIVE,
        SourceSignal.REPEATED: SourceStanding.IDLE,
        SourceSignal.LEFT: SourceStanding.IDLE,
        SourceSignal.FORGOTTEN: SourceStanding.UNKNOWN,
    },
}
"""What a signal makes of a source; a pair that is not here is a bug in `Sources`."""


class SourceState(Struct, array_like=True):
    """A source as the store keeps it."""

    log_id: int
    partition: int
    target: int
    watermark_ms: int
    heard_ms: int
    standing: SourceStanding = SourceStanding.UNKNOWN

    @property
    def source(self) -> Source:
        """Who it is."""
        return (self.log_id, self.partition, self.target)

    def take(self, signal: SourceSignal) -> None:
        """Stand as the signal has it."""
        self.standing = TRANSITIONS[self.standing][signal]


class Sources:
    """All sources of one partition of the second stage."""

    def __init__(self, known: Iterable[SourceState], *, idle_ms: int, forgotten_ms: int) -> None:
        self._known = {one.source: one for one in known}
        self._idle_ms = idle_ms
        self._forgotten_ms = forgotten_ms

    @property
    def known(self) -> list[SourceState]:
        """All sources, in order."""
        return [one for _, one in sorted(self._known.items())]

    @property
    def active_count(self) -> int:
        """How many are waited for."""
        return sum(one.standing is SourceStanding.ACTIVE for one in self._known.values())

    def hear(self, source: Source, *, watermark_ms: int, heard_ms: int, quiet: bool) -> None:
        """Take what a source told of itself, and when."""
        one = self._known.get(source)
        if one is None:
            one = self._known[source] = SourceState(*source, 0, heard_ms)
        one.heard_ms = max(one.heard_ms, heard_ms)
        if quiet and watermark_ms >= one.watermark_ms:
            one.take(SourceSignal.LEFT)
        elif watermark_ms > one.watermark_ms:
            one.take(SourceSignal.CAME_ON)
        else:
            one.take(SourceSignal.REPEATED)
        one.watermark_ms = max(one.watermark_ms, watermark_ms)

    def reached_ms(self, now_ms: int) -> int:
        """Return how far event time has come; who was not heard of for long is idle from now on."""
        known = self._known.values()
        for one in known:
            if one.standing is SourceStanding.ACTIVE and now_ms - one.heard_ms >= self._idle_ms:
                one.take(SourceSignal.SILENT)
        active = [one.watermark_ms for one in known if one.standing is SourceStanding.ACTIVE]
        return min(active) if active else max((one.watermark_ms for one in known), default=0)

    def forget(self, now_ms: int, *, watermark_ms: int) -> None:
        """Forget who is long gone, once `watermark_ms` is as far as they were."""
        for source, one in list(self._known.items()):
            gone = one.standing is SourceStanding.IDLE and one.watermark_ms <= watermark_ms
            if gone and now_ms - one.heard_ms >= self._forgotten_ms:
                one.take(SourceSignal.FORGOTTEN)
                del self._known[source]
