"""Windows as they open and close, late and imported events, and the limits of the fold."""

from collections.abc import Sequence

import pytest

from analytics.contracts.errors import BadSetting
from analytics.contracts.events import Event
from analytics.contracts.facts import Source
from analytics.measures.fold import Arrival, FoldRules
from analytics.measures.rows import ON_TIME, ROLLED_MS, Grain
from tests.support.facts import T0_MS, Session, arrivals, request, tool
from tests.support.folding import Kept, fold_all, fold_batch, new_fold

RULES = FoldRules(lateness_ms=5_000, idle_ms=20_000, future_skew_ms=30_000)
DAY_MS = 86_400_000


def at(*seconds: int) -> list[Event]:
    return [tool(f"t{s}", id=f"e{s}", at_ms=T0_MS + s * 1_000) for s in seconds]


def fold(*batches: Sequence[Event], rules: FoldRules = RULES) -> Kept:
    offset, cut = 0, []
    for batch in batches:
        cut.append(arrivals(batch, first_offset=offset))
        offset += len(batch)
    return fold_all(cut, rules=rules)


def windows(kept: Kept, *, closed: bool) -> list[tuple[int, int]]:
    """Return (width, start) of the fleet's on-time windows, in seconds."""
    return sorted(
        (row.width_ms // 1_000, (row.start_ms - T0_MS) // 1_000)
        for row in kept.cells.values()
        if row.closed is closed and row.batch_offset == ON_TIME and row.key.grain is Grain.FLEET
    )


def test_a_window_closes_when_the_watermark_reaches_its_end() -> None:
    assert windows(fold(at(1, 14)), closed=True) == []
    assert windows(fold(at(1, 15)), closed=True) == [(10, 0)]


def test_a_window_that_closes_is_written_once_more_and_told_as_closed() -> None:
    kept = fold(at(1), at(15))

    assert {(row.width_ms, row.start_ms) for row in kept.closed} == {(10_000, T0_MS)}
    assert all(row.measures.tool_calls == 1 for row in kept.closed)
    assert all(row.closed for row in kept.closed)


def test_an_open_window_is_written_whole_each_time_it_is_touched() -> None:
    folded, kept = new_fold(rules=RULES), Kept()
    first, second = arrivals(at(1)), arrivals([request(at_ms=T0_MS + 2_000)], first_offset=1)
    third = arrivals([tool("t9", id="e9", at_ms=T0_MS + 3_000)], first_offset=2)

    fold_batch(folded, kept, first)
    fold_batch(folded, kept, second)
    last = fold_batch(folded, kept, third)

    calls = {row.measures.tool_calls for row in last.cells if row.key.tool == "Bash"}
    assert calls == {2}
    assert all(row.key.model == "" for row in last.cells)


@pytest.mark.requirement("late-counted")
def test_a_late_event_is_kept_raw_counted_as_late_and_goes_to_a_row_of_its_own() -> None:
    kept = fold(at(1), at(30), at(2))

    assert kept.late_count == 1
    assert len(kept.raw) == 3
    rows = {
        (row.start_ms - T0_MS, row.batch_offset): row
        for row in kept.cells.values()
        if row.width_ms == 10_000 and row.key.grain is Grain.FLEET
    }
    assert rows[0, ON_TIME].measures.tool_calls == 1
    assert rows[0, 2].measures.tool_calls == 1
    assert rows[0, 2].closed
    minute = [row for row in kept.cells.values() if row.width_ms == 60_000]
    assert all(row.batch_offset == ON_TIME for row in minute)


def test_an_imported_event_moves_no_watermark_and_touches_no_open_window() -> None:
    imported = [request(id="old", at_ms=T0_MS + 50_000, source=Source.TRANSCRIPT)]

    kept = fold(at(1), imported)

    assert kept.watermark_ms == T0_MS - 4_000
    assert (kept.backfill_count, kept.late_count) == (1, 0)
    assert {row.batch_offset for row in kept.cells.values() if row.key.model} == {1}


def test_a_clock_far_ahead_is_held_to_the_brokers() -> None:
    ahead = [Arrival(0, T0_MS, tool(at_ms=T0_MS + DAY_MS), b"{}")]

    kept = fold_all([ahead], rules=RULES)

    assert kept.watermark_ms == T0_MS + 30_000 - 5_000
    assert {row.start_ms for row in kept.cells.values() if row.width_ms == 10_000} == {
        T0_MS + 30_000
    }
    assert kept.raw[0].at_ms == T0_MS + DAY_MS


def test_narrow_windows_are_not_kept_for_what_is_older_than_they_last() -> None:
    old = [Arrival(0, T0_MS + 40 * DAY_MS, tool(source=Source.TRANSCRIPT), b"{}")]

    kept = fold_all([old], rules=RULES)

    assert {row.width_ms for row in kept.cells.values()} == set(ROLLED_MS)
    assert all(row.batch_offset == 0 and row.closed for row in kept.cells.values())
    assert len(kept.raw) == 1


def test_an_idle_partition_closes_its_windows_by_the_clock() -> None:
    folded, kept = new_fold(rules=RULES), Kept()
    fold_batch(folded, kept, arrivals(at(1)))

    early = folded.tick(next_offset=1, now_ms=T0_MS + 19_000)
    idle = folded.tick(next_offset=1, now_ms=T0_MS + 31_000)

    assert early is None
    assert idle is not None
    assert (idle.first_offset, idle.next_offset) == (1, 1)
    assert {row.width_ms for row in idle.closed} == {10_000}
    assert idle.watermark_ms == T0_MS + 11_000


def test_a_fold_without_records_waits_before_it_believes_the_partition_idle() -> None:
    kept = fold(at(1))
    folded = new_fold(kept, rules=RULES)

    assert folded.tick(next_offset=1, now_ms=T0_MS + 90_000) is None
    later = folded.tick(next_offset=1, now_ms=T0_MS + 110_000)

    assert later is not None
    assert folded.watermark_ms == later.watermark_ms == T0_MS + 90_000


def test_a_fold_of_nothing_commits_offsets_alone() -> None:
    folded = new_fold(rules=RULES)

    outcome = folded.fold((), first_offset=3, next_offset=7, now_ms=T0_MS)

    assert (outcome.first_offset, outcome.next_offset) == (3, 7)
    assert [*outcome.cells, *outcome.raw, *outcome.sessions, *outcome.seen] == []


def test_a_session_must_be_remembered_before_it_is_folded() -> None:
    folded = new_fold()
    batch = arrivals([request()])

    assert folded.unknown(batch) == {("local", "s1")}
    with pytest.raises(LookupError, match="'s1'"):
        folded.fold(batch, first_offset=0, next_offset=1, now_ms=T0_MS)


@pytest.mark.requirement("limits-have-names")
def test_sessions_least_recently_heard_of_are_forgotten_and_asked_for_again() -> None:
    folded, kept = new_fold(rules=FoldRules(sessions_max=2)), Kept()
    for offset, name in enumerate(("a", "b", "a", "c")):
        fold_batch(folded, kept, arrivals([Session(name).add(type(tool()), id=f"{offset}")]))

    known = arrivals([tool(session_id=name) for name in ("a", "b", "c")])
    assert folded.unknown(known) == {("local", "b")}
    assert folded.session_count == 2
    assert folded.counters.sessions_forgotten == 1


@pytest.mark.requirement("limits-have-names")
def test_what_all_sessions_remember_together_has_a_limit() -> None:
    folded, kept = new_fold(rules=FoldRules(remembered_max=10)), Kept()

    for number in range(8):
        session = Session(f"s{number}")
        fold_batch(folded, kept, arrivals([session.tool() for _ in range(3)]))

    assert folded.session_count == 1


@pytest.mark.requirement("limits-have-names")
def test_windows_beyond_the_limit_become_rows_of_their_batch() -> None:
    folded, kept = new_fold(rules=FoldRules(open_cells_max=3)), Kept()

    fold_batch(folded, kept, arrivals([tool(), request()]))

    assert folded.open_count == 3
    assert folded.counters.cells_spilled == 5
    assert kept.sum_of(10_000, Grain.FLEET, "events") == 2


def test_a_series_that_came_to_nothing_writes_no_row() -> None:
    kept = fold([request(id="a", model=""), request(id="b", duration_ms=None)])

    assert all(any(total.sums) for total in kept.totals(10_000, Grain.FLEET).values())


def test_an_idle_time_below_the_lateness_is_refused() -> None:
    with pytest.raises(BadSetting, match="idle time of 5 ms"):
        FoldRules(lateness_ms=10, idle_ms=5)
