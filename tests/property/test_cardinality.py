"""Laws of a tenant's limits: no total depends on them, and nobody else's series either."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from analytics.measures.cardinality import LABELS, OTHER, CardinalityLimits
from analytics.measures.fold import Arrival, FoldRules
from analytics.measures.rows import MEASURES, WIDTHS_MS, CellKey, Grain
from tests.property.strategies import SPAN_MS, batchings, cut, streams
from tests.support.facts import T0_MS
from tests.support.folding import Kept, fold_all

NOW_MS = T0_MS + SPAN_MS
NONE_AT_A_LIMIT = CardinalityLimits()
limits = st.builds(
    CardinalityLimits,
    values_max=st.integers(1, 3),
    series_max=st.integers(1, 6),
    sessions_max=st.integers(1, 2),
    idle_ms=st.sampled_from((4, 4_000, SPAN_MS, 100 * SPAN_MS)),
)
lasting = limits.map(lambda one: structs.replace(one, idle_ms=100 * SPAN_MS))
cuts = st.sets(st.integers(1, 30), max_size=10)


def rules(limits: CardinalityLimits) -> FoldRules:
    """Return rules of a fold that waits for nothing long."""
    return FoldRules(lateness_ms=2_000, idle_ms=2_000, future_skew_ms=60_000, cardinality=limits)


def totals(kept: Kept) -> dict[tuple[str, str, int, int], Counter[str]]:
    """Return every measure by tenant, grain, width and window."""
    found: dict[tuple[str, str, int, int], Counter[str]] = {}
    for row in kept.cells.values():
        place = (row.key.tenant, str(row.key.grain), row.width_ms, row.start_ms)
        of_window = found.setdefault(place, Counter())
        for name in MEASURES:
            of_window[name] += getattr(row.measures, name)
    return {
        place: Counter({name: amount for name, amount in sums.items() if amount})
        for place, sums in found.items()
        if any(sums.values())
    }


@given(batches=batchings(streams()), limits=limits)
def test_no_total_depends_on_a_limit(
    batches: list[list[Arrival]], limits: CardinalityLimits
) -> None:
    limited = fold_all(batches, rules=rules(limits), now_ms=NOW_MS)

    whole = fold_all(batches, rules=rules(NONE_AT_A_LIMIT), now_ms=NOW_MS)
    assert totals(limited) == totals(whole)
    assert limited.sessions == whole.sessions
    assert limited.raw == whole.raw


@given(whole=streams(), cuts=cuts, limits=limits)
def test_what_is_told_apart_does_not_depend_on_batches(
    whole: list[Arrival], cuts: set[int], limits: CardinalityLimits
) -> None:
    at_once = fold_all([whole], rules=rules(limits), now_ms=NOW_MS)

    in_pieces = fold_all(cut(whole, sorted(cuts)), rules=rules(limits), now_ms=NOW_MS)

    for width_ms in WIDTHS_MS:
        for grain in (Grain.FLEET, Grain.SESSION):
            assert at_once.totals(width_ms, grain) == in_pieces.totals(width_ms, grain)
    assert at_once.apart == in_pieces.apart
    assert at_once.limited == in_pieces.limited


@given(whole=streams(), cuts=cuts, limits=limits)
def test_what_is_told_apart_survives_a_restart(
    whole: list[Arrival], cuts: set[int], limits: CardinalityLimits
) -> None:
    batches = cut(whole, sorted(cuts))

    uninterrupted = fold_all(batches, rules=rules(limits), now_ms=NOW_MS)
    restarted = fold_all(batches, rules=rules(limits), now_ms=NOW_MS, restarting=True)

    assert uninterrupted.cells == restarted.cells
    assert uninterrupted.apart == restarted.apart
    assert uninterrupted.limited == restarted.limited


@given(batches=batchings(streams()), limits=lasting)
def test_no_tenant_has_more_than_its_limits(
    batches: list[list[Arrival]], limits: CardinalityLimits
) -> None:
    kept = fold_all(batches, rules=rules(limits), now_ms=NOW_MS)

    fleet = {row.key for row in kept.cells.values() if row.key.grain is Grain.FLEET}
    own = {row.key for row in kept.cells.values() if row.key.grain is Grain.SESSION}
    for tenant in {key.tenant for key in fleet}:
        for name in LABELS:
            values = {getattr(key, name) for key in fleet if key.tenant == tenant}
            assert len(values - {"", OTHER}) <= limits.values_max
        sessions = {key.session_id for key in own if key.tenant == tenant}
        assert len(sessions - {OTHER}) <= limits.sessions_max
        series = [key for key in fleet if key.tenant == tenant and not stands_for_others(key)]
        assert len(series) <= limits.series_max


@given(batches=batchings(streams()), limits=lasting)
def test_a_tenant_at_its_limits_takes_nothing_from_the_others(
    batches: list[list[Arrival]], limits: CardinalityLimits
) -> None:
    tenant = min(one.event.tenant for batch in batches for one in batch)
    alone = [[one for one in batch if one.event.tenant == tenant] for batch in batches]

    together = fold_all(batches, rules=rules(limits), now_ms=NOW_MS)

    kept = fold_all(alone, rules=rules(limits), now_ms=NOW_MS)
    assert {one for one in together.apart if one[0] == tenant} == kept.apart.keys()


def stands_for_others(key: CellKey) -> bool:
    """Say whether every value that a series has is the one that stands for all others."""
    return all(getattr(key, name) in {"", OTHER} for name in LABELS)
