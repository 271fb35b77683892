"""Windows that end together are closed in slices, tenants in turns: nothing lost, nothing twice."""

import random
from collections import Counter, defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.contracts import events
from analytics.contracts.ids import TenantId
from analytics.measures.fold import Arrival, FoldRules
from analytics.measures.rows import CellKey, CellRow, Grain, Measures
from analytics.windows.closing import Closing
from tests.property.strategies import batchings, streams
from tests.property.test_fold import RULES
from tests.support import facts
from tests.support.facts import T0_MS
from tests.support.folding import Kept, fold_all, fold_batch, new_fold

NOW_MS = T0_MS + 10**9
TENANTS = [TenantId(f"t{number}") for number in range(6)]
SLICED = FoldRules(
    lateness_ms=RULES.lateness_ms,
    idle_ms=RULES.idle_ms,
    future_skew_ms=RULES.future_skew_ms,
    closing_max=1,
)


def _ended(tenant: TenantId, number: int, start: int = 0) -> CellRow:
    key = CellKey(tenant, Grain.FLEET, project=f"p{number}")
    return CellRow(key, 10_000, start * 10_000, -1, Measures(), b"", closed=False)


@given(
    counts=st.lists(st.integers(0, 30), min_size=6, max_size=6),
    limits=st.lists(st.integers(1, 12), min_size=1, max_size=8),
    more=st.lists(st.tuples(st.integers(0, 5), st.integers(1, 5)), max_size=10),
)
def test_all_that_ended_comes_out_once_and_in_order_of_its_tenant(
    counts: list[int], limits: list[int], more: list[tuple[int, int]]
) -> None:
    closing: Closing[CellRow] = Closing()
    put: dict[TenantId, list[CellRow]] = defaultdict(list)
    out: dict[TenantId, list[CellRow]] = defaultdict(list)
    watermark_ms = 10_000

    def add(tenant: TenantId, count: int, start: int) -> None:
        rows = [_ended(tenant, len(put[tenant]) + number, start) for number in range(count)]
        put[tenant] += rows
        closing.add(rows)

    for tenant, count in zip(TENANTS, counts, strict=True):
        add(tenant, count, 0)
    turn = 0
    while len(closing) or more:
        if more:
            place, count = more.pop()
            watermark_ms += 10_000
            add(TENANTS[place], count, turn + 1)
        before = len(closing)
        taken = closing.take(limits[turn % len(limits)])
        turn += 1
        assert len(taken) == min(before, limits[(turn - 1) % len(limits)])
        for row in taken:
            out[row.key.tenant].append(row)
        waiting = [row for tenant in put for row in put[tenant][len(out[tenant]) :]]
        ends = [row.start_ms + row.width_ms for row in waiting]
        assert closing.settled_ms(10**9) == min(ends, default=10**9 + 1) - 1

    assert all(out[tenant] == rows for tenant, rows in put.items())


@given(
    loud=st.integers(0, 5_000), calm=st.integers(1, 40), others=st.integers(0, 4),
    limit=st.integers(6, 300), early=st.integers(0, 3),
)  # fmt: skip
def test_how_long_a_small_tenant_waits_depends_on_how_many_tenants_wait_and_not_on_how_much(
    loud: int, calm: int, others: int, limit: int, early: int
) -> None:
    closing: Closing[CellRow] = Closing()
    for tenant in TENANTS[: others + 1]:
        closing.add([_ended(tenant, number) for number in range(loud)])
    for _ in range(early):
        closing.take(limit)
    closing.add([_ended(TENANTS[5], number) for number in range(calm)])

    rows_before = left = 0
    while left < calm:
        taken = closing.take(limit)
        left += sum(row.key.tenant == TENANTS[5] for row in taken)
        rows_before += len(taken)

    share = limit // (others + 2)
    assert rows_before <= limit * -(-calm // share)


@pytest.mark.requirement("batching-changes-nothing")
@given(batches=batchings(streams()), chance=st.randoms(use_true_random=False))
def test_windows_that_are_closed_in_slices_end_as_those_closed_at_once_also_when_killed(
    batches: list[list[Arrival]], chance: random.Random
) -> None:
    whole = fold_all(batches, rules=RULES, now_ms=NOW_MS)
    kept = Kept()
    fold = new_fold(kept, rules=SLICED)
    told: Counter[tuple[CellKey, int, int]] = Counter()

    for batch in batches:
        settled_ms = kept.settled_ms
        _noted(told, fold_batch(fold, kept, batch).closed)
        assert kept.settled_ms >= settled_ms
        if chance.random() < 0.3:
            fold = new_fold(kept, rules=SLICED)
    for number in range(10):
        outcome = fold.tick(next_offset=10**6, now_ms=NOW_MS + number * 10**8)
        while outcome is not None:
            kept.commit(outcome)
            _noted(told, outcome.closed)
            assert all(row.start_ms + row.width_ms > kept.settled_ms for row in kept.open_cells())
            if chance.random() < 0.3:
                fold = new_fold(kept, rules=SLICED)
            outcome = fold.settle(next_offset=10**6, now_ms=NOW_MS) if kept.behind else None

    assert not kept.open_cells()
    assert set(told.values()) <= {1}
    _same_sums(kept, whole)


def _noted(told: Counter[tuple[CellKey, int, int]], closed: tuple[CellRow, ...]) -> None:
    told.update((row.key, row.width_ms, row.start_ms) for row in closed)


def _same_sums(one: Kept, other: Kept) -> None:
    for width_ms in (10_000, 60_000):
        for grain in (Grain.FLEET, Grain.SESSION):
            assert one.totals(width_ms, grain) == other.totals(width_ms, grain)


def test_after_a_flood_ended_a_partition_holds_what_it_held_before() -> None:
    fold, kept = new_fold(rules=RULES), Kept()

    def tell(number: int, at_ms: int, *, tenant: str, tool: str) -> None:
        event = facts.tool(
            f"t{number}", tenant=tenant, session_id=f"of-{tenant}", at_ms=at_ms, tool=tool
        )
        fold_batch(fold, kept, [Arrival(number, at_ms, event, events.encode(event))])

    tell(0, T0_MS, tenant="calm", tool="Bash")
    tell(1, T0_MS + 200_000, tenant="calm", tool="Bash")
    quiet = (fold.open_count, fold.series_count)
    for number in range(2, 800):
        tell(number, T0_MS + 200_000 + number, tenant="loud", tool=f"tool-{number}")
    flooded = (fold.open_count, fold.series_count)
    for number in range(800, 804):
        tell(number, T0_MS + (number - 795) * 100_000, tenant="calm", tool="Bash")
        while fold.closing_count:
            kept.commit(fold.settle(next_offset=number + 1, now_ms=NOW_MS))

    assert flooded > (1_500, 790)
    assert (fold.open_count, fold.series_count) <= quiet
