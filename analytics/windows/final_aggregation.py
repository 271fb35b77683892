"""The second stage: windows of all partitions made whole.

A `MergeFold` is fed the parcels of one partition of the partials' topic. Of each window it keeps,
by series, what every source last said: a source that says it again replaces it, so replays and
repeats change nothing. A window closes once the watermark over the active `sources` has reached its
end, a slice an outcome (see `closing`), tenants in turns. What comes for a window that is closed
revises it: the window is told of again, whole, under the next revision, for as long as it is kept:
`kept_ms` after it closed, by the clock and not by event time, since partitions that work off a
backlog may be hours apart. What comes later still is counted, and only the store's rows of its
partition hold it.

What is kept is the parcels themselves, and a small `AggregationState`: an outcome says which
parcels to add and from when on they are not needed, and a fold made of what is kept goes on as the
one before. Memory has a limit, `partials_max`: beyond it the oldest windows are let go, and those
of them that are still open close early. The clock is the latest time at which the broker got a
parcel, so the same parcels have the same end whenever they are read.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec
from msgspec import Struct

from analytics.contracts.errors import BadSetting
from analytics.measures.columns import COLUMN_COUNT, SUM_MAX
from analytics.measures.rows import BatchOutcome, KeptRow, Measures, MergedRow, SessionRow
from analytics.measures.session_memory import SessionKey
from analytics.measures.sketch import Counts, from_bytes, merge, to_bytes
from analytics.windows.closing import in_turns
from analytics.windows.partials import BadShuffleBatch, Partial, ShuffleBatch, decode
from analytics.windows.sources import Source, Sources, SourceState

Series = tuple[str, ...]
"""The dimensions of a `CellKey`, in its order."""
Window = tuple[int, int]
"""Where a window ends, and its width: sorted, the oldest comes first."""

MARKS_MAX: Final = 60
"""In so many steps it is remembered when windows closed."""
NAMES_SPARE: Final = 1_000
"""So many series more than there are partials may be remembered by name."""


class MergeRules(Struct, frozen=True, kw_only=True):
    """How long the second stage waits, and how much it keeps."""

    idle_ms: int = 20_000
    """A source silent for so long holds no window open."""
    kept_ms: int = 600_000
    """How long after it closed a window can still be revised."""
    partials_max: int = 200_000
    """Partials that are kept at once."""
    closing_max: int = 200
    """So many windows of series an outcome closes, or as many as came with it."""

    def __post_init__(self) -> None:
        if min(self.idle_ms, self.kept_ms, self.partials_max, self.closing_max) <= 0:
            raise BadSetting(f"the second stage cannot wait or keep nothing: {self!r}; raise it")


class Arrived(Struct, frozen=True, gc=False):
    """A parcel as the log holds it."""

    offset: int
    received_ms: int
    """When the broker got it."""
    parcel: ShuffleBatch
    payload: bytes


class AggregationState(Struct, array_like=True):
    """What a fold knows beside the parcels that are kept."""

    clock_ms: int = 0
    watermark_ms: int = 0
    released_ms: int = 0
    sources: list[SourceState] = []
    revisions: list[tuple[int, int, int]] = []
    """end, width, revision: of windows that are still kept and were revised."""
    marks: list[tuple[int, int]] = []
    """clock, watermark: by when which windows had closed, of those that are still kept."""
    whole: Window = (0, 0)
    """The last window of which all series are closed."""
    current: Window = (0, 0)
    """The one that is being closed."""
    reached: list[Series] = []
    """The last series of each tenant that was closed in it."""


class MergeFold:
    """Merges the parcels of one partition of the partials' topic."""

    def __init__(self, *, state: bytes, kept: Iterable[bytes], rules: MergeRules) -> None:
        """Take up what the store kept; raise `BadShuffleBatch` where it cannot be read."""
        before = _state_of(state)
        self._rules = rules
        self._clock_ms = before.clock_ms
        self._watermark_ms = before.watermark_ms
        self._released_ms = before.released_ms
        self._marks = deque(before.marks)
        self._sources = Sources(
            before.sources, idle_ms=rules.idle_ms, forgotten_ms=rules.idle_ms + rules.kept_ms
        )
        self._revisions = {(end, width): number for end, width, number in before.revisions}
        self._windows: dict[Window, dict[Series, dict[Source, Partial]]] = {}
        self._names: dict[Series, Series] = {}
        self._partial_count = 0
        self._revised: dict[tuple[Window, Series], bool] = {}
        """What to tell of again, and whether it is told of for the first time."""
        self._whole, self._current = before.whole, before.current
        self._reached = {series[0]: series for series in before.reached}
        self._late_count = self._forced_count = self._closing_count = 0
        for payload in kept:
            self._take(decode(payload))
        self._revised.clear()
        self._late_count = 0

    @property
    def watermark_ms(self) -> int:
        """How far event time has come over all active sources."""
        return self._watermark_ms

    @property
    def open_count(self) -> int:
        """How many windows of series are open."""
        mark_ms = self._watermark_ms
        return sum(len(held) for (end, _), held in self._windows.items() if end > mark_ms)

    @property
    def closing_count(self) -> int:
        """How many windows of series have ended and wait to be closed."""
        return self._closing_count

    @property
    def remembered_count(self) -> int:
        """How many partials are kept."""
        return self._partial_count

    def unknown(self, arrivals: Sequence[Arrived]) -> set[SessionKey]:
        """Return nothing: no session has to be remembered."""
        del arrivals
        return set()

    def remember(self, key: SessionKey, row: SessionRow | None, memories: Sequence[bytes]) -> None:
        """Refuse: nothing was asked for."""
        raise LookupError(f"the second stage remembers no session, {key!r} neither")

    def fold(
        self, arrivals: Sequence[Arrived], *, first_offset: int, next_offset: int, now_ms: int
    ) -> BatchOutcome:
        """Return what the parcels amount to; the time is when the broker got them, not `now_ms`."""
        del now_ms
        kept = []
        for one in arrivals:
            parcel, heard_ms = one.parcel, one.received_ms
            self._clock_ms = max(self._clock_ms, heard_ms)
            self._sources.hear(
                parcel.source,
                watermark_ms=parcel.watermark_ms,
                heard_ms=heard_ms,
                quiet=parcel.quiet,
            )
            if self._take(parcel):
                kept.append(KeptRow(one.offset, parcel.until_ms, one.payload))
        count = sum(len(one.parcel.partials) for one in arrivals)
        return self._outcome(kept, first_offset=first_offset, next_offset=next_offset, count=count)

    def settle(self, *, next_offset: int, now_ms: int) -> BatchOutcome:
        """Return what closes more of the windows that have ended; time does not pass by it."""
        del now_ms
        return self._outcome([], first_offset=next_offset, next_offset=next_offset)

    def tick(self, *, next_offset: int, now_ms: int) -> BatchOutcome | None:
        """Return what time alone changes: sources fall idle, and windows that waited close.

        Call it only when all parcels of the partition have been folded.
        """
        before = (self._watermark_ms, self._released_ms)
        self._clock_ms = max(self._clock_ms, now_ms)
        outcome = self._outcome([], first_offset=next_offset, next_offset=next_offset)
        changed = before != (self._watermark_ms, self._released_ms)
        return outcome if outcome.merged or changed else None

    def _take(self, parcel: ShuffleBatch) -> bool:
        """Put the parcel's partials where they belong; false if none of them is needed."""
        needed = False
        for partial in parcel.partials:
            if partial.end_ms <= self._released_ms:
                self._late_count += 1
                continue
            needed = True
            series = self._names.setdefault(partial.series, partial.series)
            window = (partial.end_ms, partial.width_ms)
            of_window = self._windows.setdefault(window, {})
            first = series not in of_window
            held = of_window.setdefault(series, {})
            before = held.get(parcel.source)
            if before == partial:
                continue
            held[parcel.source] = _named(partial, series)
            self._partial_count += before is None
            if self._is_told(window, series):
                self._revised.setdefault((window, series), first)
        return needed

    def _is_told(self, window: Window, series: Series) -> bool:
        """Say whether a window of a series is closed."""
        if window[0] <= self._watermark_ms or window <= self._whole or window < self._current:
            return True
        return window == self._current and series <= self._reached.get(series[0], ())

    def _outcome(
        self, kept: list[KeptRow], *, first_offset: int, next_offset: int, count: int = 0
    ) -> BatchOutcome:
        rows = self._revise()
        reached_ms = self._sources.reached_ms(self._clock_ms)
        if not self._sources.active_count:  # who sent a partial of a window was beyond its end
            reached_ms = max([reached_ms, *(end_ms for end_ms, _ in self._windows)])
        rows += self._close(reached_ms, limit=max(count, self._rules.closing_max))
        self._sources.forget(self._clock_ms, watermark_ms=self._watermark_ms)
        self._mark()
        rows += self._let_go()
        late_count, self._late_count = self._late_count, 0
        forced_count, self._forced_count = self._forced_count, 0
        return BatchOutcome(
            first_offset=first_offset,
            next_offset=next_offset,
            watermark_ms=self._watermark_ms,
            raw=(),
            cells=(),
            closed=(),
            sessions=(),
            seen=(),
            late_count=late_count,
            duplicate_count=0,
            backfill_count=0,
            merged=tuple(rows),
            forced_count=forced_count,
            kept=tuple(row for row in kept if row.until_ms > self._released_ms),
            released_ms=self._released_ms,
            state=self._encoded(),
        )

    def _revise(self) -> list[MergedRow]:
        revised, self._revised = self._revised, {}
        numbers = {
            window: self._revisions.get(window, 0) + 1
            for (window, _), first in revised.items()
            if not first
        }
        self._revisions |= numbers
        return [
            _merged(window, self._windows[window][series], 0 if first else numbers[window])
            for (window, series), first in sorted(revised.items())
        ]

    def _close(self, reached_ms: int, *, limit: int) -> list[MergedRow]:
        """Return what is closed of the windows that ended by then, one window after the other."""
        rows: list[MergedRow] = []
        ended = sorted(one for one in self._windows if self._watermark_ms < one[0] <= reached_ms)
        for place, window in enumerate(ended):
            held = self._windows[window]
            left = [series for series in held if not self._is_told(window, series)]
            chosen = _first_of(left, limit - len(rows))
            rows += [_merged(window, held[series], 0) for series in chosen]
            if len(chosen) < len(left):
                if window != self._current:
                    self._current, self._reached = window, {}
                self._reached |= {series[0]: series for series in chosen}
                self._watermark_ms = max(self._watermark_ms, window[0] - 1)
                others = sum(len(self._windows[one]) for one in ended[place + 1 :])
                self._closing_count = len(left) - len(chosen) + others
                return rows
            self._whole = max(self._whole, window)
        self._closing_count = 0
        self._watermark_ms = max(self._watermark_ms, reached_ms)
        return rows

    def _mark(self) -> None:
        """Note now and then how far event time is, and find out by it what closed long ago."""
        marks, clock_ms, kept_ms = self._marks, self._clock_ms, self._rules.kept_ms
        marked_at_ms, marked_ms = marks[-1] if marks else (clock_ms - kept_ms, 0)
        if self._watermark_ms > marked_ms and clock_ms - marked_at_ms >= kept_ms // MARKS_MAX:
            marks.append((clock_ms, self._watermark_ms))
        while marks and clock_ms - marks[0][0] >= kept_ms:
            self._released_ms = max(self._released_ms, marks.popleft()[1])

    def _let_go(self) -> list[MergedRow]:
        """Drop what is not kept any more, and the oldest while there is too much."""
        rows: list[MergedRow] = []
        for window in sorted(self._windows):
            end_ms = window[0]
            if end_ms > self._released_ms:
                if self._partial_count <= self._rules.partials_max:
                    break
                self._released_ms = end_ms
            held = self._windows.pop(window)
            self._partial_count -= sum(map(len, held.values()))
            self._revisions.pop(window, None)
            forced = sorted(series for series in held if not self._is_told(window, series))
            self._forced_count += len(forced)
            rows += [_merged(window, held[series], 0) for series in forced]
        if len(self._names) > self._partial_count + NAMES_SPARE:
            self._names = {name: name for held in self._windows.values() for name in held}
        return rows

    def _encoded(self) -> bytes:
        return _encoder.encode(
            AggregationState(
                self._clock_ms,
                self._watermark_ms,
                self._released_ms,
                self._sources.known,
                [(*window, revision) for window, revision in sorted(self._revisions.items())],
                list(self._marks),
                self._whole,
                self._current,
                sorted(self._reached.values()),
            )
        )


def _first_of(left: list[Series], limit: int) -> list[Series]:
    """Return the first series of each tenant, of all tenants as many, up to a limit; in order."""
    waiting: dict[str, deque[Series]] = {}
    for series in sorted(left):
        waiting.setdefault(series[0], deque()).append(series)
    return sorted(in_turns(waiting, limit))


def _named(partial: Partial, series: Series) -> Partial:
    """Return the partial with a name that others have too, so that it is in memory once."""
    return Partial(
        series, partial.width_ms, partial.start_ms, partial.columns, partial.latency, partial.later
    )


def _merged(window: Window, held: dict[Source, Partial], revision: int) -> MergedRow:
    end_ms, width_ms = window
    sums = [0] * COLUMN_COUNT
    for partial in held.values():
        for column, amount in (*partial.columns, *partial.later):
            sums[column] += amount
    [some, *others] = held.values()
    return MergedRow(
        some.key,
        width_ms,
        end_ms - width_ms,
        revision,
        len(held),
        Measures(*(max(-SUM_MAX, min(SUM_MAX, amount)) for amount in sums)),
        _latency(held.values()) if others else some.latency,
    )


def _latency(partials: Iterable[Partial]) -> bytes:
    counts: Counts = {}
    for partial in partials:
        if partial.latency:
            merge(counts, from_bytes(partial.latency))
    return to_bytes(counts)


def _state_of(data: bytes) -> AggregationState:
    if not data:
        return AggregationState()
    try:
        return _decoder.decode(data)
    except msgspec.MsgspecError as error:
        raise BadShuffleBatch(f"the state of a second stage cannot be read: {error}") from error


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(AggregationState)
