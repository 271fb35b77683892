"""Events that are about no session (connections, reviews), counted by what they are.

A `CountFold` is fed batches in the order of the log, as `fold.PartitionFold` is, and answers each
with a `BatchOutcome`: raw rows, cells of ordinary windows, and the ids to remember. It promises
that an event counts once by its id, within its subject (the key of its topic), however often it
comes, and of the windows what `analytics.windows.keyed` promises. An event is counted in `events`
of its series; a duration that it states is counted as latency there.

`KeyColumns` says what is told apart; `BY_KIND` is by tenant and type of event.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import compress
from operator import attrgetter
from typing import Final, Generic, TypeVar

from msgspec import Struct

from analytics.contracts.events import TYPES, Event
from analytics.contracts.facts import Source
from analytics.contracts.ids import SessionId, TenantId
from analytics.contracts.topics import Topic
from analytics.measures.fold import Arrival, FoldRules
from analytics.measures.recent_ids import DedupLimits, RecentIds, Subject
from analytics.measures.rows import (
    ON_TIME,
    ROLLED_MS,
    WIDTHS_MS,
    BatchOutcome,
    CellKey,
    CellRow,
    Grain,
    Measures,
    RawRow,
    SeenRow,
    SessionRow,
)
from analytics.windows import keyed
from analytics.windows.keyed import NO_VALUE, KeyedBatch, KeyedWindows, Pane, Width, WindowSpec
from analytics.windows.tumbling import RETENTIONS_MS
from analytics.windows.watermark import Quiet

K = TypeVar("K", bound=tuple[object, ...])

_WIDTHS: Final = tuple(map(Width, (*WIDTHS_MS, *ROLLED_MS), RETENTIONS_MS))


class KeyColumns(Struct, Generic[K], frozen=True):
    """What events are told apart by."""

    of: Callable[[Event], K]
    """An event's series as a plain tuple, quick to look up."""
    key: Callable[[K], CellKey]
    """The series as the store has it."""
    back: Callable[[CellKey], K]
    """The plain tuple again."""


Kind = tuple[TenantId, str]


def _kind_of(event: Event) -> Kind:
    return (event.tenant, _TYPE_NAMES[type(event)])


def _kind_key(kind: Kind) -> CellKey:
    return CellKey(tenant=kind[0], grain=Grain.TOPIC, kind=kind[1])


def _kind_back(key: CellKey) -> Kind:
    return (key.tenant, key.kind)


_NEVER_FAILED: Final = False
"""The `failed` of a raw row: that is told of requests and tools only."""
_IMPORTED: Final = Source.TRANSCRIPT
_TYPE_NAMES: Final = {kind: name for name, kind in TYPES.items()}
BY_KIND: Final = KeyColumns(_kind_of, _kind_key, _kind_back)
"""By tenant and type of event."""


def spec_of(rules: FoldRules) -> WindowSpec:
    """Return the windows that the stream folds, by the rules that hold for sessions too."""
    return WindowSpec(
        widths=_WIDTHS[: len(WIDTHS_MS)],
        rolled=_WIDTHS[len(WIDTHS_MS) :],
        lateness_ms=rules.lateness_ms,
        future_skew_ms=rules.future_skew_ms,
        panes_max=rules.open_cells_max,
    )


class WindowFold(Generic[K]):
    """Counts events into the windows of their series, and makes the rows of these."""

    def __init__(
        self,
        series: KeyColumns[K],
        spec: WindowSpec,
        *,
        watermark_ms: int,
        open_cells: Iterable[CellRow],
    ) -> None:
        self._series = series
        restored = [_pane(cell, series.back(cell.key)) for cell in open_cells]
        self.windows: KeyedWindows[K] = KeyedWindows(
            spec, watermark_ms=watermark_ms, restored=restored
        )

    def count(self, arrivals: Sequence[Arrival], *, apart: bool = False) -> None:
        """Count events, in the order in which they came; `apart` keeps them off open windows."""
        events = [arrival.event for arrival in arrivals]
        readings = KeyedBatch(
            list(map(self._series.of, events)),
            [event.at_ms for event in events],
            [arrival.received_ms for arrival in arrivals],
            [getattr(event, "duration_ms", NO_VALUE) for event in events],
        )
        if apart:
            self.windows.add_apart(readings)
        else:
            self.windows.add(readings)

    def rows(self, *, batch_offset: int) -> tuple[tuple[CellRow, ...], tuple[CellRow, ...]]:
        """Return all cells to write, and those of them that the watermark closed; begin anew."""
        panes: keyed.Panes[K] = self.windows.take()
        keys: dict[K, CellKey] = {}

        def row(pane: Pane[K], offset: int, *, closed: bool) -> CellRow:
            key = keys.get(pane.key)
            if key is None:
                key = keys[pane.key] = self._series.key(pane.key)
            measures = Measures(
                events=pane.count,
                latency_sum_ms=pane.value_sum,
                latency_count=pane.value_count,
            )
            return CellRow(key, pane.width_ms, pane.start_ms, offset, measures, pane.sketch, closed)

        closed = tuple([row(pane, ON_TIME, closed=True) for pane in panes.closed])
        cells = [row(pane, ON_TIME, closed=False) for pane in panes.open]
        cells += [row(pane, batch_offset, closed=True) for pane in panes.apart]
        return (*cells, *closed), closed


class CountFold(Generic[K]):
    """Folds the batches of one partition of a topic whose events are about no session."""

    def __init__(
        self,
        topic: Topic,
        series: KeyColumns[K],
        spec: WindowSpec,
        *,
        watermark_ms: int,
        open_cells: Iterable[CellRow],
        rules: FoldRules,
    ) -> None:
        self._prefix = f"{topic.name}/"
        self._named: Callable[[Event], tuple[TenantId, str]] = attrgetter("tenant", topic.key)
        self._subject_of: Callable[[Event], str] = attrgetter(topic.key)
        self._asked: tuple[Sequence[Arrival], list[Subject]] = ((), [])
        self._rules = rules
        self._window_fold = WindowFold(
            series, spec, watermark_ms=watermark_ms, open_cells=open_cells
        )
        self._ids = RecentIds(
            DedupLimits(
                subjects_max=rules.sessions_max,
                ids_max=rules.memory.ids_max,
                remembered_max=rules.remembered_max,
            )
        )
        self._quiet = Quiet(watermark_ms, idle_ms=rules.idle_ms)

    @property
    def watermark_ms(self) -> int:
        """How far event time has come."""
        return self._window_fold.windows.watermark_ms

    @property
    def open_count(self) -> int:
        """How many cells of windows are open."""
        return self._window_fold.windows.open_count

    @property
    def remembered_count(self) -> int:
        """How many ids are in memory."""
        return len(self._ids)

    def unknown(self, arrivals: Sequence[Arrival]) -> set[Subject]:
        """Return the subjects that must be remembered before these arrivals are folded."""
        return self._ids.unknown(self._subjects(arrivals))

    def remember(self, key: Subject, row: SessionRow | None, memories: Sequence[bytes]) -> None:
        """Take up what the store knows of a subject; there are no rows of sessions among it."""
        self._ids.remember(key, memories)

    def fold(
        self, arrivals: Sequence[Arrival], *, first_offset: int, next_offset: int, now_ms: int
    ) -> BatchOutcome:
        """Return what the arrivals amount to, for one commit that reaches `next_offset`."""
        fresh = self._fresh(arrivals)
        imported = [one for one in fresh if one.event.source is _IMPORTED]
        live = fresh
        if imported:
            live = [one for one in fresh if one.event.source is not _IMPORTED]
        late_before = self._window_fold.windows.late_count
        self._window_fold.count(live)
        self._window_fold.count(imported, apart=True)
        if arrivals:
            self._quiet.end(self.watermark_ms, now_ms=now_ms)
        return self._outcome(
            self._raw(fresh),
            self._ids.take(batch_offset=first_offset),
            first_offset=first_offset,
            next_offset=next_offset,
            late_count=self._window_fold.windows.late_count - late_before,
            duplicate_count=len(arrivals) - len(fresh),
            backfill_count=len(imported),
        )

    def tick(self, *, next_offset: int, now_ms: int) -> BatchOutcome | None:
        """Return what time alone changes: windows of an idle partition.

        Call it only when all records of the partition have been folded.
        """
        windows = self._window_fold.windows
        windows.watermark_ms = self._quiet.moved(windows.watermark_ms, now_ms=now_ms)
        outcome = self._outcome((), (), first_offset=next_offset, next_offset=next_offset)
        return self._quiet.told(outcome, now_ms=now_ms, is_open=self.open_count > 0)

    def _outcome(
        self,
        raw: tuple[RawRow, ...],
        seen: tuple[SeenRow, ...],
        *,
        first_offset: int,
        next_offset: int,
        late_count: int = 0,
        duplicate_count: int = 0,
        backfill_count: int = 0,
    ) -> BatchOutcome:
        cells, closed = self._window_fold.rows(batch_offset=first_offset)
        return BatchOutcome(
            first_offset=first_offset,
            next_offset=next_offset,
            watermark_ms=self.watermark_ms,
            raw=raw,
            cells=cells,
            closed=closed,
            sessions=(),
            seen=seen,
            late_count=late_count,
            duplicate_count=duplicate_count,
            backfill_count=backfill_count,
        )

    def _fresh(self, arrivals: Sequence[Arrival]) -> Sequence[Arrival]:
        """Return the arrivals whose id comes for the first time."""
        ids = [arrival.event.id for arrival in arrivals]
        are_new = self._ids.are_new(self._subjects(arrivals), ids)
        self._asked = ((), [])
        return arrivals if all(are_new) else list(compress(arrivals, are_new))

    def _subjects(self, arrivals: Sequence[Arrival]) -> list[Subject]:
        """Return what each arrival is about; the last answer is kept until it is folded."""
        asked, subjects = self._asked
        if asked is not arrivals:
            named = list(map(self._named, [arrival.event for arrival in arrivals]))
            prefix = self._prefix
            known = {one: (one[0], SessionId(prefix + one[1])) for one in set(named)}
            subjects = [known[one] for one in named]
            self._asked = (arrivals, subjects)
        return subjects

    def _raw(self, arrivals: Sequence[Arrival]) -> tuple[RawRow, ...]:
        subject_of = self._subject_of
        return tuple(
            [
                RawRow(
                    event.id,
                    event.tenant,
                    subject_of(event),
                    event.at_ms,
                    _TYPE_NAMES[type(event)],
                    str(event.source),
                    "",
                    "",
                    "",
                    "",
                    "",
                    getattr(event, "duration_ms", None),
                    None,
                    _NEVER_FAILED,
                    arrival.offset,
                    arrival.payload,
                )
                for arrival in arrivals
                for event in (arrival.event,)
            ]
        )


def _pane(cell: CellRow, key: K) -> Pane[K]:
    measures = cell.measures
    return Pane(
        key,
        cell.width_ms,
        cell.start_ms,
        measures.events,
        measures.latency_count,
        measures.latency_sum_ms,
        cell.latency,
    )
