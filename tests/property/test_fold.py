"""Laws of the fold: counted once, in any batching, through any restart, in any order of sources."""

import random
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.contracts import topics
from analytics.contracts.agent_events import RequestFinished
from analytics.measures.fold import Arrival, FoldRules, PartitionFold
from analytics.measures.rows import MEASURES, ON_TIME, WIDTHS_MS, Grain
from tests.property.strategies import (
    SPAN_MS,
    batchings,
    cut,
    reports_of_one_request,
    streams,
)
from tests.support.facts import T0_MS, arrivals
from tests.support.folding import Kept, fold_all, fold_batch, new_fold

NOW_MS = T0_MS + SPAN_MS
RULES = FoldRules(lateness_ms=2_000, idle_ms=2_000, future_skew_ms=60_000)


def assert_same(left: Kept, right: Kept) -> None:
    """Whatever a reader of the store can add up is the same."""
    for width_ms in WIDTHS_MS:
        for grain in (Grain.FLEET, Grain.SESSION):
            assert left.totals(width_ms, grain) == right.totals(width_ms, grain)
    assert left.sessions == right.sessions
    assert sorted(row.id for row in left.raw) == sorted(row.id for row in right.raw)
    assert (left.late_count, left.backfill_count) == (right.late_count, right.backfill_count)
    assert left.watermark_ms == right.watermark_ms


@pytest.mark.requirement("counted-once-by-id")
@given(batches=batchings(streams()))
def test_every_event_counts_exactly_once(batches: list[list[Arrival]]) -> None:
    kept = fold_all(batches, rules=RULES, now_ms=NOW_MS)

    sent = {
        (arrival.event.tenant, topics.key_of(arrival.event), arrival.event.id)
        for batch in batches
        for arrival in batch
    }
    assert len(kept.raw) == len(sent)
    assert kept.duplicate_count == sum(map(len, batches)) - len(sent)
    for width_ms in WIDTHS_MS:
        for grain in (Grain.FLEET, Grain.SESSION):
            assert kept.sum_of(width_ms, grain, "events") == len(sent)


@pytest.mark.requirement("batching-changes-nothing")
@given(whole=streams(), cuts=st.sets(st.integers(1, 30), max_size=10))
def test_any_batching_gives_the_same(whole: list[Arrival], cuts: set[int]) -> None:
    at_once = fold_all([whole], rules=RULES, now_ms=NOW_MS)

    in_pieces = fold_all(cut(whole, sorted(cuts)), rules=RULES, now_ms=NOW_MS)

    assert_same(at_once, in_pieces)


@pytest.mark.requirement("counted-once-on-replay")
@given(whole=streams(), cuts=st.sets(st.integers(1, 30), max_size=10))
def test_a_fold_rebuilt_from_the_store_goes_on_as_if_uninterrupted(
    whole: list[Arrival], cuts: set[int]
) -> None:
    batches = cut(whole, sorted(cuts))

    uninterrupted = fold_all(batches, rules=RULES, now_ms=NOW_MS)
    restarted = fold_all(batches, rules=RULES, now_ms=NOW_MS, restarting=True)

    assert_same(uninterrupted, restarted)
    assert uninterrupted.cells == restarted.cells
    assert uninterrupted.memories == restarted.memories


@given(whole=streams(), cuts=st.sets(st.integers(1, 30), max_size=10))
def test_sessions_that_are_forgotten_and_recalled_lose_nothing(
    whole: list[Arrival], cuts: set[int]
) -> None:
    batches = cut(whole, sorted(cuts))
    forgetful = FoldRules(lateness_ms=2_000, idle_ms=2_000, future_skew_ms=60_000, sessions_max=1)

    assert_same(
        fold_all(batches, rules=RULES, now_ms=NOW_MS),
        fold_all(batches, rules=forgetful, now_ms=NOW_MS),
    )


@pytest.mark.requirement("counted-once-by-id")
@given(whole=streams(), order=st.randoms(use_true_random=False))
def test_replays_of_anything_already_sent_change_nothing(
    whole: list[Arrival], order: random.Random
) -> None:
    plain = fold_all([whole], rules=RULES, now_ms=NOW_MS)
    replayed = list(whole)
    for number in range(len(whole)):
        if order.random() < 0.5:
            early = order.randrange(number + 1)
            replayed.append(whole[early])
    newest_ms = whole[-1].received_ms
    again = [
        Arrival(
            offset,
            newest_ms if offset >= len(whole) else arrival.received_ms,
            arrival.event,
            arrival.payload,
        )
        for offset, arrival in enumerate(replayed)
    ]

    assert_same(plain, fold_all([again], rules=RULES, now_ms=NOW_MS))


@given(batches=batchings(streams()))
def test_the_grains_agree_with_each_other_and_with_the_sessions(
    batches: list[list[Arrival]],
) -> None:
    kept = fold_all(batches, rules=RULES, now_ms=NOW_MS)

    for measure in MEASURES:
        whole = sum(getattr(row.totals, measure) for row in kept.sessions.values())
        for width_ms in WIDTHS_MS:
            assert kept.sum_of(width_ms, Grain.FLEET, measure) == whole
            assert kept.sum_of(width_ms, Grain.SESSION, measure) == whole
    for (tenant, session_id), row in kept.sessions.items():
        own = [
            cell
            for cell in kept.cells.values()
            if cell.width_ms == WIDTHS_MS[0]
            and (cell.key.tenant, cell.key.session_id) == (tenant, session_id)
        ]
        assert sum(cell.measures.cost_nanousd for cell in own) == row.totals.cost_nanousd


@pytest.mark.requirement("late-counted")
@given(batches=batchings(streams()))
def test_a_closed_window_is_never_written_again(batches: list[list[Arrival]]) -> None:
    fold, kept = new_fold(rules=RULES), Kept()
    closed = set()

    for batch in batches:
        for row in fold_batch(fold, kept, batch).cells:
            if row.batch_offset == ON_TIME:
                window = (row.key, row.width_ms, row.start_ms)
                assert window not in closed
                if row.closed:
                    closed.add(window)


@given(batches=batchings(streams()))
def test_the_watermark_never_goes_back(batches: list[list[Arrival]]) -> None:
    fold, kept = new_fold(rules=RULES), Kept()

    marks = [fold_batch(fold, kept, batch).watermark_ms for batch in batches]

    assert marks == sorted(marks)


@given(reports=reports_of_one_request(), order=st.randoms(use_true_random=False))
def test_a_request_counts_the_same_in_whatever_order_its_sources_report_it(
    reports: list[RequestFinished], order: random.Random
) -> None:
    shuffled = order.sample(reports, len(reports))

    one, other = _counted(reports), _counted(shuffled)

    assert _series_of(one) == _series_of(other)
    for measure in ("calls", "latency_count", "latency_sum_ms"):
        assert one.sum_of(WIDTHS_MS[1], Grain.FLEET, measure) == other.sum_of(
            WIDTHS_MS[1], Grain.FLEET, measure
        )
    assert one.sum_of(WIDTHS_MS[1], Grain.FLEET, "calls") == 1
    assert [row.latency for row in one.sessions.values()] == [
        row.latency for row in other.sessions.values()
    ]


def _counted(reports: Sequence[RequestFinished]) -> Kept:
    return fold_all([[arrival] for arrival in arrivals(reports, received_ms=T0_MS)], rules=RULES)


def _series_of(kept: Kept) -> dict[object, list[int]]:
    """Return what every series counts of the request itself.

    A duration that reached a closed or imported window stays in the series that first had it, so
    durations are compared as a whole.
    """
    aside = {"events", "sessions", "active_ms", "latency_sum_ms", "latency_count"}
    kept_columns = [column for column, name in enumerate(MEASURES) if name not in aside]
    added: dict[object, list[int]] = {}
    for (key, _), total in kept.totals(WIDTHS_MS[1], Grain.FLEET).items():
        sums = added.setdefault(key, [0] * len(kept_columns))
        for place, column in enumerate(kept_columns):
            sums[place] += total.sums[column]
    return {key: sums for key, sums in added.items() if any(sums)}


@settings(max_examples=40)
@given(batches=batchings(streams()), open_max=st.integers(0, 12))
def test_too_many_open_windows_cost_rows_and_change_no_sum(
    batches: list[list[Arrival]], open_max: int
) -> None:
    narrow = FoldRules(
        lateness_ms=2_000, idle_ms=2_000, future_skew_ms=60_000, open_cells_max=open_max
    )
    fold = new_fold(rules=narrow)

    kept = Kept()
    for batch in batches:
        fold_batch(fold, kept, batch, now_ms=NOW_MS)
        assert fold.open_count <= open_max

    plain = fold_all(batches, rules=RULES, now_ms=NOW_MS)
    for measure in MEASURES:
        for width_ms in WIDTHS_MS:
            assert kept.sum_of(width_ms, Grain.FLEET, measure) == plain.sum_of(
                width_ms, Grain.FLEET, measure
            )
    assert isinstance(fold, PartitionFold)
