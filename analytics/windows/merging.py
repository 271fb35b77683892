"""The second stage: windows of all partitions made whole.

A `MergeFold` is fed the parcels of one partition of the partials' topic. Of each window it keeps,
by series, what every source last said: a source that says it again replaces it, so replays and
repeats change nothing. A window closes once the least watermark of the active sources has reached
its end (the low watermark of Akidau et al., "The Dataflow Model", VLDB 2015); a source silent for
`idle_ms` is left out until it speaks again. What comes for a window that is closed revises it: the
window is told of again, whole, under the next revision, for as long as it is kept (`kept_ms`). What
comes later still is counted, and only the store's rows of its partition hold it.

What is kept is the parcels themselves, and a small `State`: an outcome says which parcels to add
and from when on they are not needed, and a fold made of what is kept goes on as the one before.
Memory has a limit, `partials_max`: beyond it the oldest windows close early and are let go.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec
from msgspec import Struct

from analytics.contracts.errors import BadSetting
from analytics.measures.columns import COLUMN_COUNT, SUM_MAX
from analytics.measures.memory import SessionKey
from analytics.measures.rows import KeptRow, Measures, MergedRow, Outcome, SessionRow
from analytics.measures.sketch import Counts, from_bytes, merge, to_bytes
from analytics.windows.partials import BadParcel, Parcel, Partial, decode, encode

Source = tuple[int, int, int]
"""The store's number of a log, a partition, and the target that it tells."""
Series = tuple[str, ...]
"""The dimensions of a `CellKey`, in its order."""
Window = tuple[int, int]
"""Where a window ends, and its width: sorted, the oldest comes first."""


class MergeRules(Struct, frozen=True, kw_only=True):
    """How long the second stage waits, and how much it keeps."""

    idle_ms: int = 20_000
    """A source silent for so long holds no window open."""
    kept_ms: int = 600_000
    """How long behind the watermark a closed window can still be revised."""
    partials_max: int = 200_000
    """Partials that are kept at once."""

    def __post_init__(self) -> None:
        if min(self.idle_ms, self.kept_ms, self.partials_max) <= 0:
            raise BadSetting(f"the second stage cannot wait or keep nothing: {self!r}; raise it")


class Arrived(Struct, frozen=True, gc=False):
    """A parcel as the log holds it."""

    offset: int
    received_ms: int
    """When the broker got it."""
    parcel: Parcel


class State(Struct, array_like=True):
    """What a fold knows beside the parcels that are kept."""

    watermark_ms: int = 0
    released_ms: int = 0
    sources: list[tuple[int, int, int, int, int]] = []
    """log, partition, target, watermark, when it was last heard of."""
    revisions: list[tuple[int, int, tuple[str, ...], int]] = []
    """end, width, series, revision: of windows that are still kept and were revised."""


class _Known(Struct, gc=False):
    """A source: how far its watermark is, and when it was last heard of."""

    watermark_ms: int = 0
    heard_ms: int = 0


class MergeFold:
    """Merges the parcels of one partition of the partials' topic."""

    def __init__(self, *, state: bytes, kept: Iterable[bytes], rules: MergeRules) -> None:
        """Take up what the store kept; raise `BadParcel` where it cannot be read."""
        before = _state_of(state)
        self._rules = rules
        self._watermark_ms = before.watermark_ms
        self._released_ms = before.released_ms
        self._sources = {
            (log_id, partition, target): _Known(watermark_ms, heard_ms)
            for log_id, partition, target, watermark_ms, heard_ms in before.sources
        }
        self._windows: dict[Window, dict[Series, dict[Source, Partial]]] = {}
        self._revisions: dict[Window, dict[Series, int]] = defaultdict(dict)
        for end_ms, width_ms, series, revision in before.revisions:
            self._revisions[end_ms, width_ms][series] = revision
        self._partial_count = 0
        self._clock_ms = max((one.heard_ms for one in self._sources.values()), default=0)
        self._revised: dict[tuple[Window, Series], bool] = {}
        """What to tell of again, and whether it is told of for the first time."""
        self._late_count = 0
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
    def partial_count(self) -> int:
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
    ) -> Outcome:
        """Return what the parcels amount to; the time is when the broker got them, not `now_ms`."""
        del now_ms
        kept = []
        for one in arrivals:
            parcel = one.parcel
            source = self._sources.setdefault(parcel.source, _Known())
            source.watermark_ms = max(source.watermark_ms, parcel.watermark_ms)
            source.heard_ms = max(source.heard_ms, one.received_ms)
            self._clock_ms = max(self._clock_ms, one.received_ms)
            if self._take(parcel):
                kept.append(KeptRow(one.offset, parcel.until_ms, encode(parcel)))
        return self._outcome(kept, first_offset=first_offset, next_offset=next_offset)

    def tick(self, *, next_offset: int, now_ms: int) -> Outcome | None:
        """Return what time alone changes: sources fall idle, and windows that waited close.

        Call it only when all parcels of the partition have been folded.
        """
        before = self._watermark_ms
        self._clock_ms = max(self._clock_ms, now_ms)
        outcome = self._outcome([], first_offset=next_offset, next_offset=next_offset)
        return outcome if outcome.merged or outcome.watermark_ms != before else None

    def _take(self, parcel: Parcel) -> bool:
        """Put the parcel's partials where they belong; false if none of them is needed."""
        needed = False
        for partial in parcel.partials:
            if partial.end_ms <= self._released_ms:
                self._late_count += 1
                continue
            needed = True
            window = (partial.end_ms, partial.width_ms)
            of_window = self._windows.setdefault(window, {})
            first = partial.series not in of_window
            held = of_window.setdefault(partial.series, {})
            before = held.get(parcel.source)
            if before == partial:
                continue
            held[parcel.source] = partial
            self._partial_count += before is None
            if partial.end_ms <= self._watermark_ms:
                self._revised.setdefault((window, partial.series), first)
        return needed

    def _outcome(self, kept: list[KeptRow], *, first_offset: int, next_offset: int) -> Outcome:
        rows = [self._revise(*which, first=first) for which, first in self._revised.items()]
        self._revised.clear()
        self._forget_sources()
        reached_ms = self._reached()
        rows += self._close(reached_ms)
        self._watermark_ms = max(self._watermark_ms, reached_ms)
        rows += self._let_go()
        late_count, self._late_count = self._late_count, 0
        return Outcome(
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
            kept=tuple(row for row in kept if row.until_ms > self._released_ms),
            released_ms=self._released_ms,
            state=self._encoded(),
        )

    def _reached(self) -> int:
        """Return the least watermark of the active sources; where it is, if none is active."""
        idle_ms = self._rules.idle_ms
        known = self._sources.values()
        active = [one.watermark_ms for one in known if self._clock_ms - one.heard_ms < idle_ms]
        return min(active) if active else max((one.watermark_ms for one in known), default=0)

    def _forget_sources(self) -> None:
        """Forget sources that fell silent long ago; they are met anew when they speak."""
        silent_ms = self._rules.idle_ms + self._rules.kept_ms
        for name, one in list(self._sources.items()):
            if (
                self._clock_ms - one.heard_ms >= silent_ms
                and one.watermark_ms <= self._watermark_ms
            ):
                del self._sources[name]

    def _close(self, reached_ms: int) -> list[MergedRow]:
        before = self._watermark_ms
        return [
            _merged(window, series, held, revision=0)
            for window in sorted(self._windows)
            if before < window[0] <= reached_ms
            for series, held in sorted(self._windows[window].items())
        ]

    def _revise(self, window: Window, series: Series, *, first: bool) -> MergedRow:
        revision = 0 if first else self._revisions[window].get(series, 0) + 1
        if revision:
            self._revisions[window][series] = revision
        return _merged(window, series, self._windows[window][series], revision=revision)

    def _let_go(self) -> list[MergedRow]:
        """Drop what is not kept any more; close and drop the oldest while there is too much."""
        rows: list[MergedRow] = []
        released_ms = max(self._released_ms, self._watermark_ms - self._rules.kept_ms)
        for window in sorted(self._windows):
            end_ms = window[0]
            if end_ms > released_ms:
                if self._partial_count <= self._rules.partials_max:
                    break
                released_ms = end_ms
            held = self._windows.pop(window)
            self._partial_count -= sum(map(len, held.values()))
            self._revisions.pop(window, None)
            if end_ms > self._watermark_ms:
                rows += [
                    _merged(window, series, held[series], revision=0) for series in sorted(held)
                ]
        self._released_ms = released_ms
        return rows

    def _encoded(self) -> bytes:
        known = sorted(self._sources.items())
        return _encoder.encode(
            State(
                self._watermark_ms,
                self._released_ms,
                [(*name, one.watermark_ms, one.heard_ms) for name, one in known],
                [
                    (*window, series, revision)
                    for window, revised in sorted(self._revisions.items())
                    for series, revision in sorted(revised.items())
                ],
            )
        )


def _merged(
    window: Window, series: Series, held: dict[Source, Partial], *, revision: int
) -> MergedRow:
    end_ms, width_ms = window
    sums = [0] * COLUMN_COUNT
    latency: Counts = {}
    for partial in held.values():
        for column, amount in partial.columns:
            sums[column] += amount
        if partial.latency:
            merge(latency, from_bytes(partial.latency))
    [any_partial, *_] = held.values()
    return MergedRow(
        any_partial.key,
        width_ms,
        end_ms - width_ms,
        revision,
        len(held),
        Measures(*(max(-SUM_MAX, min(SUM_MAX, amount)) for amount in sums)),
        to_bytes(latency),
    )


def _state_of(data: bytes) -> State:
    if not data:
        return State()
    try:
        return _decoder.decode(data)
    except msgspec.MsgspecError as error:
        raise BadParcel(f"the state of a second stage cannot be read: {error}") from error


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(State)
