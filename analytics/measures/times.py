"""Event time of a whole batch at once: when each event counts as having happened, and where.

What `windows.watermark` and `windows.tumbling` say of one event, said of all arrivals of a batch as
columns: the watermark after an event is the newest event time so far less the lateness, and an
event's place is settled by the watermark that it itself may have moved on.
"""

from collections.abc import Sequence

import numpy as np
from msgspec import Struct

from analytics.windows import tumbling


class ArrivalColumns(Struct, frozen=True, kw_only=True):
    """Arrivals as columns: what event time is made of."""

    at_ms: Sequence[int]
    received_ms: Sequence[int]
    apart: Sequence[bool]
    """Which of them must not touch open windows, such as imported ones."""


class Times:
    """When and where the arrivals of a batch are counted, in their order."""

    __slots__ = (
        "_apart",
        "_marks_ms",
        "_received_ms",
        "late_count",
        "places",
        "told_ms",
        "watermark_ms",
        "when_ms",
    )

    def __init__(
        self, readings: ArrivalColumns, watermark_ms: int, *, future_skew_ms: int, lateness_ms: int
    ) -> None:
        count = len(readings.at_ms)
        received_ms = np.fromiter(readings.received_ms, np.int64, count)
        when_ms = np.minimum(
            np.fromiter(readings.at_ms, np.int64, count), received_ms + future_skew_ms
        )
        apart = np.fromiter(readings.apart, np.bool_, count)
        reached_ms = np.where(apart, watermark_ms, when_ms - lateness_ms)
        marks_ms = np.maximum.accumulate(np.maximum(reached_ms, watermark_ms))
        places = tumbling.places_of(
            when_ms, received_ms=received_ms, watermarks_ms=marks_ms, apart=apart
        )
        self._apart = apart
        self._marks_ms = marks_ms
        self._received_ms = received_ms
        self.when_ms: list[int] = when_ms.tolist()
        self.told_ms: list[int] = np.minimum(when_ms, received_ms).tolist()
        """When each happened, by a clock that is not ahead of the broker's."""
        self.places: list[int] = places.tolist()
        self.late_count = int(np.count_nonzero(tumbling.are_late(places) & ~apart))
        self.watermark_ms: int = self._marks_ms[-1].item() if len(marks_ms) else watermark_ms

    def place_at(self, number: int, at_ms: int) -> int:
        """Return the place of another moment, as windows are open when arrival `number` comes."""
        return tumbling.place_of(
            at_ms,
            received_ms=int(self._received_ms[number]),
            watermark_ms=int(self._marks_ms[number]),
            apart=bool(self._apart[number]),
        )
