"""The watermark: how far event time is believed to have come on one partition.

It is the newest event time seen less an allowed lateness, never goes back, and follows no clock
that runs ahead of the broker's by more than a stated skew. A partition without records is moved on
by the wall clock once it has been idle long enough, so that its last windows close too.
"""

from typing import Final

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
