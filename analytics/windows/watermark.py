"""The watermark: how far event time is believed to have come on one partition.

It is the newest event time seen less an allowed lateness, never goes back, and follows no clock
that runs ahead of the broker's by more than a stated skew. A partition without records is moved on
by the wall clock once it has been idle long enough, so that its last windows close too. `Quiet`
says what of that others have to hear: they wait for the partition until it says that it has fallen
quiet, which it does once, when nothing of it is open any more.
"""

from typing import Final

from msgspec import structs

from analytics.measures.rows import BatchOutcome
from analytics.windows.tumbling import passes_an_end

UNSEEN_MS: Final = 0
"""The watermark of a partition that has seen nothing."""


def seen_ms(at_ms: int, *, received_ms: int, future_skew_ms: int) -> int:
    """Return the event time to go by: a clock that runs too far ahead is held to the broker's."""
    return min(at_ms, received_ms + future_skew_ms)


def advanced(watermark_ms: int, *, seen_ms: int, lateness_ms: int) -> int:
    """Return the watermark after an event seen at `seen_ms`."""
    return max(watermark_ms, seen_ms - lateness_ms)


def idled(watermark_ms: int, *, quiet_since_ms: int, now_ms: int, idle_ms: int) -> int:
    """Return the watermark of a partition that had no record since `quiet_since_ms`."""
    if now_ms - quiet_since_ms < idle_ms:
        return watermark_ms
    return max(watermark_ms, now_ms - idle_ms)


class Quiet:
    """How long a partition has had no record, and what it has said since."""

    def __init__(self, watermark_ms: int, *, idle_ms: int) -> None:
        self._idle_ms = idle_ms
        self._since_ms: int | None = None
        self._said_ms = watermark_ms
        self._has_left = watermark_ms == UNSEEN_MS

    def end(self, watermark_ms: int, *, now_ms: int) -> None:
        """Note that records came, and that others hear of this watermark."""
        self._since_ms = now_ms
        self._said_ms = watermark_ms
        self._has_left = False

    def moved(self, watermark_ms: int, *, now_ms: int) -> int:
        """Return the watermark of a partition for which there is no record now."""
        if self._since_ms is None:
            self._since_ms = now_ms
        return idled(
            watermark_ms, quiet_since_ms=self._since_ms, now_ms=now_ms, idle_ms=self._idle_ms
        )

    def told(self, outcome: BatchOutcome, *, now_ms: int, is_open: bool) -> BatchOutcome | None:
        """Return what has to be written of what a quiet moment came to; None if nothing.

        That the watermark passed the end of a window is to be heard as long as something is open;
        afterwards, that the partition has fallen quiet.
        """
        since_ms = now_ms if self._since_ms is None else self._since_ms
        if not (self._has_left or is_open) and now_ms - since_ms >= self._idle_ms:
            self._has_left = True
            outcome = structs.replace(outcome, quiet=True)
        passed = is_open and passes_an_end(self._said_ms, outcome.watermark_ms)
        if not (outcome.quiet or passed or outcome.cells or outcome.sessions):
            return None
        self._said_ms = outcome.watermark_ms
        return outcome
