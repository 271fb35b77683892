"""Where the partitions of a consumer are, and whether what a fetch brings is what comes next.

A partition is placed at an offset behind a record of a known mark (see `marks`). The first fetch
from there begins with that record, which is compared and passed over; if it is another one, or the
log does not reach that far, the log is not the one that was stored.
"""

from collections.abc import Sequence

from faust.types import TP
from msgspec import Struct

from streams.consumer.fingerprints import NO_MARK, mark_of
from streams.consumer.records import Record


class Fit(Struct, frozen=True):
    """How the records of a fetch fit to where their partition is."""

    first_offset: int
    records: Sequence[Record]
    """Those that come next; there may be none."""
    misfit: str = ""
    """Why they are not of the log that was stored, if they are not."""

    @property
    def misses(self) -> int:
        """How many offsets are missing before the first record."""
        return self.records[0].offset - self.first_offset if self.records else 0


class _Place(Struct):
    next_offset: int
    mark: int
    """Of the record before, which was stored or handed on; `NO_MARK` if that is not known."""
    is_checked: bool


class Places:
    """The places of one consumer's partitions."""

    def __init__(self) -> None:
        self._places: dict[TP, _Place] = {}

    def put(self, tp: TP, offset: int, mark: int) -> int:
        """Go on at `offset`, behind the record of that mark; return the offset to read from."""
        self._places[tp] = _Place(offset, mark, is_checked=mark == NO_MARK)
        return offset if mark == NO_MARK else offset - 1

    def again(self) -> list[tuple[TP, int]]:
        """Have every partition compared once more; return the offsets to read from."""
        return [
            (tp, self.put(tp, place.next_offset, place.mark)) for tp, place in self._places.items()
        ]

    def leave(self, tp: TP) -> None:
        """Forget a partition: nothing fits until it is put anew."""
        self._places.pop(tp, None)

    def clear(self) -> None:
        """Forget all."""
        self._places.clear()

    def fit(self, tp: TP, records: Sequence[Record]) -> Fit | None:
        """Take the records of a fetch and go past them; None if the partition has no place."""
        place = self._places.get(tp)
        if place is None:
            return None
        first, before = place.next_offset, place.next_offset - 1
        found = records[0]
        if place.is_checked or found.offset != before:
            reached, fits = found.offset >= first, True
        else:
            reached, fits = True, place.mark == mark_of(found.timestamp, found.value)
            records = records[1:]
        if not reached:
            return Fit(first, (), f"its end is before offset {first}, up to which it was stored")
        if not fits:
            return Fit(first, (), f"its record at offset {before} is not the one that was stored")
        place.is_checked = True
        if records:
            last = records[-1]
            place.next_offset, place.mark = last.offset + 1, mark_of(last.timestamp, last.value)
        return Fit(first, records)
