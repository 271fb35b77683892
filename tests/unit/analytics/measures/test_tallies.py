"""Connections and reviews are counted by type: once by id, in windows, and kept raw."""

from typing import Final

import msgspec
import pytest

from analytics.contracts import events, topics
from analytics.contracts.events import ConnectionClosed, ConnectionOpened, Event
from analytics.contracts.facts import Source
from analytics.contracts.ids import ConnectionId, EventId, SessionId, TenantId
from analytics.measures.count_fold import BY_KIND, CountFold, Kind, spec_of
from analytics.measures.fold import Arrival, FoldRules
from analytics.measures.recent_ids import BadIds, DedupLimits, RecentIds
from analytics.measures.rows import ON_TIME, BatchOutcome, CellRow, Grain
from analytics.measures.session_memory import former_digest_of
from analytics.measures.sketch import to_bytes

T0_MS: Final = 1_750_000_000_000
TENANT: Final = TenantId("acme")
RULES: Final = FoldRules(lateness_ms=2_000, idle_ms=5_000)
SUBJECT: Final = (TENANT, SessionId("connections.v1/c1"))


def _closed(
    event_id: str, at_ms: int = T0_MS, *, duration_ms: int = 1, source: Source = Source.GATEWAY
) -> Event:
    return ConnectionClosed(
        id=EventId(event_id),
        tenant=TENANT,
        at_ms=at_ms,
        source=source,
        connection_id=ConnectionId("c1"),
        duration_ms=duration_ms,
    )


def _opened(event_id: str, at_ms: int = T0_MS) -> Event:
    return ConnectionOpened(
        id=EventId(event_id), tenant=TENANT, at_ms=at_ms, connection_id=ConnectionId("c1")
    )


def _arrivals(*told: Event, offset: int = 0, received_ms: int = T0_MS) -> list[Arrival]:
    return [
        Arrival(offset + place, received_ms, event, events.encode(event))
        for place, event in enumerate(told)
    ]


def _fold(*, watermark_ms: int = 0, open_cells: tuple[CellRow, ...] = ()) -> CountFold[Kind]:
    return CountFold(
        topics.CONNECTIONS,
        BY_KIND,
        spec_of(RULES),
        watermark_ms=watermark_ms,
        open_cells=open_cells,
        rules=RULES,
    )


def _take(
    fold: CountFold[Kind], *told: Event, first: int = 0, received_ms: int = T0_MS
) -> BatchOutcome:
    arrivals = _arrivals(*told, offset=first, received_ms=received_ms)
    for key in fold.unknown(arrivals):
        fold.remember(key, None, ())
    return fold.fold(
        arrivals, first_offset=first, next_offset=first + len(told), now_ms=received_ms
    )


def test_events_are_counted_by_tenant_and_type_with_their_durations() -> None:
    outcome = _take(_fold(), _opened("1"), _closed("2", duration_ms=100), _closed("3"))

    narrow = {cell.key.kind: cell for cell in outcome.cells if cell.width_ms == 10_000}
    assert {cell.key.grain for cell in outcome.cells} == {Grain.TOPIC}
    assert {cell.key.tenant for cell in outcome.cells} == {TENANT}
    assert {kind: cell.measures.events for kind, cell in narrow.items()} == {
        "connection.opened": 1,
        "connection.closed": 2,
    }
    closed = narrow["connection.closed"].measures
    assert (closed.latency_count, closed.latency_sum_ms) == (2, 101)
    assert narrow["connection.opened"].latency == to_bytes({})


def test_a_raw_row_is_kept_of_each_event_with_its_duration() -> None:
    outcome = _take(_fold(), _opened("1"), _closed("2", duration_ms=100), first=7)

    assert [(row.offset, row.type, row.duration_ms) for row in outcome.raw] == [
        (7, "connection.opened", None),
        (8, "connection.closed", 100),
    ]
    assert [row.session_id for row in outcome.raw] == ["c1", "c1"]


@pytest.mark.requirement("counted-once-by-id")
def test_an_id_counts_once_within_a_batch_across_batches_and_after_a_restart() -> None:
    fold = _fold()
    first = _take(fold, _closed("1"), _closed("1"))
    second = _take(fold, _closed("1"), _closed("2"), first=2)
    again = _fold(watermark_ms=second.watermark_ms, open_cells=second.cells)
    again.remember(SUBJECT, None, [row.memory for row in (*first.seen, *second.seen)])

    third = _take(again, _closed("1"), _closed("2"), _closed("3"), first=4)

    assert [out.duplicate_count for out in (first, second, third)] == [1, 1, 2]
    assert [row.id for row in third.raw] == ["3"]
    assert {cell.measures.events for cell in third.cells} == {3}


@pytest.mark.requirement("late-counted")
def test_a_late_event_is_counted_late_and_goes_into_a_row_apart() -> None:
    fold = _fold()
    _take(fold, _closed("1", T0_MS + 60_000), received_ms=T0_MS + 60_000)

    outcome = _take(fold, _closed("2", T0_MS), first=1, received_ms=T0_MS + 60_000)

    assert outcome.late_count == 1
    assert {(cell.width_ms, cell.batch_offset) for cell in outcome.cells} == {
        (10_000, 1),
        (60_000, 1),
    }


def test_windows_close_at_the_watermark_and_on_a_quiet_partition_by_the_clock() -> None:
    fold = _fold()
    _take(fold, _closed("1"))
    by_event = _take(fold, _closed("2", T0_MS + 15_000), first=1, received_ms=T0_MS + 15_000)

    by_clock = fold.tick(next_offset=2, now_ms=T0_MS + 120_000)

    assert [(cell.width_ms, cell.start_ms) for cell in by_event.closed] == [(10_000, T0_MS)]
    assert by_clock is not None
    assert sorted(cell.width_ms for cell in by_clock.closed) == [10_000, 60_000]
    assert fold.tick(next_offset=2, now_ms=T0_MS + 121_000) is None
    assert fold.open_count == 0


def test_what_is_imported_goes_apart_and_moves_no_watermark() -> None:
    fold = _fold()

    outcome = _take(fold, _closed("1", source=Source.TRANSCRIPT))

    assert (outcome.backfill_count, outcome.late_count, outcome.watermark_ms) == (1, 0, 0)
    assert {cell.batch_offset for cell in outcome.cells} == {0}


def test_an_event_too_old_for_narrow_windows_reaches_those_that_keep_it() -> None:
    day_ms = 86_400_000

    outcome = _take(_fold(), _closed("1", T0_MS - 40 * day_ms), received_ms=T0_MS)

    assert {(cell.width_ms, cell.batch_offset) for cell in outcome.cells} == {
        (300_000, 0),
        (3_600_000, 0),
        (day_ms, 0),
    }


def test_open_windows_are_restored_from_their_cells() -> None:
    first = _take(_fold(), _closed("1", duration_ms=70_000))
    fold = _fold(watermark_ms=first.watermark_ms, open_cells=first.cells)

    second = _take(fold, _closed("2", duration_ms=3), first=1)

    assert {cell.batch_offset for cell in second.cells} == {ON_TIME}
    assert {cell.measures.events for cell in second.cells} == {2}
    assert {cell.measures.latency_sum_ms for cell in second.cells} == {70_003}
    whole = _take(_fold(), _closed("1", duration_ms=70_000), _closed("2", duration_ms=3))
    assert [cell.latency for cell in second.cells] == [cell.latency for cell in whole.cells]


def test_an_event_of_a_subject_that_was_not_remembered_is_a_bug() -> None:
    with pytest.raises(LookupError, match="was not remembered"):
        _fold().fold(_arrivals(_closed("1")), first_offset=0, next_offset=1, now_ms=T0_MS)


def _ids(*, subjects_max: int = 9, ids_max: int = 9, remembered_max: int = 99) -> RecentIds:
    limits = DedupLimits(subjects_max=subjects_max, ids_max=ids_max, remembered_max=remembered_max)
    return RecentIds(limits)


def _new(ids: RecentIds, subject: tuple[TenantId, SessionId], event_id: str) -> bool:
    [verdict] = ids.are_new([subject], [event_id])
    return verdict


def _subjects(*names: str) -> list[tuple[TenantId, SessionId]]:
    return [(TENANT, SessionId(name)) for name in names]


def test_subjects_least_recently_touched_are_forgotten_beyond_the_limit() -> None:
    ids = _ids(subjects_max=2)
    for subject in _subjects("a", "b", "c"):
        ids.remember(subject, ())
        _new(ids, subject, "1")
        ids.take(batch_offset=0)

    assert ids.unknown(_subjects("a", "b", "c")) == set(_subjects("a"))


def test_subjects_are_forgotten_when_all_their_ids_are_too_many_but_not_those_at_hand() -> None:
    ids = _ids(remembered_max=2)
    for subject in _subjects("a", "b"):
        ids.remember(subject, ())
    for place, subject in enumerate(_subjects("a", "b", "b", "b")):
        _new(ids, subject, str(place))

    ids.take(batch_offset=0)
    assert ids.unknown(_subjects("a", "b")) == set()
    _new(ids, _subjects("b")[0], "9")
    ids.take(batch_offset=1)

    assert ids.unknown(_subjects("a", "b")) == set(_subjects("a"))


def test_the_oldest_ids_of_a_subject_are_forgotten_beyond_its_limit() -> None:
    ids = _ids(ids_max=2)
    [subject] = _subjects("a")
    ids.remember(subject, ())
    for event_id in ("1", "2", "3"):
        assert _new(ids, subject, event_id)
    ids.take(batch_offset=0)

    assert not _new(ids, subject, "3")
    assert _new(ids, subject, "1")


def test_a_memory_that_broke_off_is_refused() -> None:
    ids = _ids()
    [subject] = _subjects("a")
    ids.remember(subject, ())
    _new(ids, subject, "1")
    [row] = ids.take(batch_offset=0)

    for broken in (row.memory[:-1], b"\x01\x00\x00\x00\xc1"):
        with pytest.raises(BadIds, match="restore the store"):
            ids.remember(subject, [broken])


def test_what_was_remembered_as_of_a_session_is_known_by_its_former_digests() -> None:
    [subject] = _subjects("a")
    former = msgspec.msgpack.encode([former_digest_of("1"), [], [], [], [], []])
    ids = _ids()

    ids.remember(subject, [len(former).to_bytes(4, "little") + former])

    assert not _new(ids, subject, "1")
    assert _new(ids, subject, "2")
    assert not _new(ids, subject, "2")
