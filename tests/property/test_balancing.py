"""The laws of balancing, each as `analytics/pool/balance.py` states it."""

import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.pool.balance import Algorithm, Balancer, SlowStart, observed, ramped, rendezvous
from tests.support.pool import NOW_MS, Standing, chances

AT_ONCE = SlowStart(window_ms=0)
COUNTS = st.integers(1, 12)
PICKS = st.integers(1, 120)
WEIGHTS = st.lists(st.integers(1, 9), min_size=1, max_size=8)
LOADS = st.lists(
    st.tuples(st.integers(0, 50), st.floats(0.1, 10_000), st.floats(0.1, 100)),
    min_size=1,
    max_size=12,
)


def _members(count: int) -> list[Standing]:
    return [Standing(id=f"m{number:02}") for number in range(count)]


def _balancer(algorithm: Algorithm, *, seed: int = 5, slow: SlowStart = AT_ONCE) -> Balancer:
    return Balancer(algorithm, slow, chances(seed))


def _pick(balancer: Balancer, members: list[Standing], key: str = "") -> Standing:
    picked = balancer.pick(members, now_ms=NOW_MS, key=key)
    assert picked is not None
    return picked


@pytest.mark.parametrize("algorithm", Algorithm)
def test_of_nobody_nobody_is_picked(algorithm: Algorithm) -> None:
    nobody: list[Standing] = []

    assert _balancer(algorithm).pick(nobody, now_ms=NOW_MS) is None


@pytest.mark.requirement("balancing-laws")
@given(count=COUNTS, picks=PICKS)
def test_in_turn_everyone_gets_the_same_but_for_one(count: int, picks: int) -> None:
    members, balancer = _members(count), _balancer(Algorithm.ROUND_ROBIN)

    got = Counter(_pick(balancer, members).id for _ in range(picks))

    shares = [got[member.id] for member in members]
    assert set(shares) <= {picks // count, picks // count + 1}


@pytest.mark.requirement("balancing-laws")
@given(weights=WEIGHTS, picks=PICKS)
def test_least_connections_leave_nobody_with_less_to_do_for_its_weight(
    weights: list[int], picks: int
) -> None:
    members = [Standing(id=f"m{i}", weight=weight) for i, weight in enumerate(weights)]
    balancer = _balancer(Algorithm.LEAST_CONNECTIONS)

    for _ in range(picks):
        picked = _pick(balancer, members)
        load = (picked.in_flight + 1) / picked.weight
        assert all(load <= (other.in_flight + 1) / other.weight for other in members)
        picked.in_flight += 1

    if len(set(weights)) == 1:
        held = [member.in_flight for member in members]
        assert max(held) - min(held) <= 1


@pytest.mark.requirement("balancing-laws")
@given(weights=WEIGHTS, rounds=st.integers(1, 4))
def test_by_weight_nobody_strays_from_its_share_and_rounds_are_exact(
    weights: list[int], rounds: int
) -> None:
    members = [Standing(id=f"m{i}", weight=weight) for i, weight in enumerate(weights)]
    balancer, total, got = _balancer(Algorithm.WEIGHTED_ROUND_ROBIN), sum(weights), Counter[str]()

    for picks in range(1, rounds * total + 1):
        got[_pick(balancer, members).id] += 1
        for member in members:
            share = picks * member.weight / total
            assert got[member.id] < share + 1
            assert got[member.id] > share - max(len(members) - 1, 1)

    assert [got[member.id] for member in members] == [rounds * weight for weight in weights]


def test_by_weight_the_order_is_nginxs_own() -> None:
    members = [Standing(id="a", weight=5), Standing(id="b", weight=1), Standing(id="c", weight=1)]
    balancer = _balancer(Algorithm.WEIGHTED_ROUND_ROBIN)

    assert "".join(_pick(balancer, members).id for _ in range(7)) == "aabacaa"


@pytest.mark.requirement("balancing-laws")
@given(loads=LOADS, seed=st.integers(0, 1_000))
def test_of_two_the_worst_is_never_taken(loads: list[tuple[int, float, float]], seed: int) -> None:
    members = [
        Standing(id=f"m{i}", in_flight=busy, latency_ms=late, weight=weight)
        for i, (busy, late, weight) in enumerate(loads)
    ]
    balancer = _balancer(Algorithm.TWO_CHOICES, seed=seed)
    costs = sorted(balancer.score(member, NOW_MS) for member in members)

    picked = balancer.score(_pick(balancer, members), NOW_MS)

    if len(costs) > 1:
        assert picked <= costs[-2]


@pytest.mark.requirement("balancing-laws")
@pytest.mark.parametrize("seed", range(5))
def test_two_choices_keep_the_fullest_near_the_mean_where_one_does_not(seed: int) -> None:
    count, each = 200, 50
    members, balancer = _members(count), _balancer(Algorithm.TWO_CHOICES, seed=seed)
    chance, by_one = chances(seed), Counter[int]()

    for _ in range(count * each):
        _pick(balancer, members).in_flight += 1
        by_one[int(chance() * count)] += 1

    ahead = max(member.in_flight for member in members) - each
    assert ahead <= math.log2(math.log2(count)) + 2
    assert max(by_one.values()) - each > 2 * ahead


@pytest.mark.requirement("balancing-laws")
@given(count=st.integers(2, 12), keys=st.lists(st.text(max_size=8), max_size=40), gone=COUNTS)
def test_only_the_keys_of_whoever_went_move(count: int, keys: list[str], gone: int) -> None:
    members = _members(count)
    left = [member for number, member in enumerate(members) if number != gone % count]

    for key in keys:
        before, after = rendezvous(members, key), rendezvous(left, key)
        assert after is before or before not in left


def test_keys_spread_by_weight() -> None:
    members = [Standing(id="light", weight=1), Standing(id="heavy", weight=3)]

    got = Counter(rendezvous(members, f"key {number}").id for number in range(4_000))

    assert abs(got["heavy"] / 4_000 - 0.75) < 4 * math.sqrt(0.75 * 0.25 / 4_000)


@given(algorithm=st.sampled_from(Algorithm), key=st.text(min_size=1, max_size=8), count=COUNTS)
def test_a_key_keeps_to_its_member_whatever_the_algorithm(
    algorithm: Algorithm, key: str, count: int
) -> None:
    members, balancer = _members(count), _balancer(algorithm)

    assert len({_pick(balancer, members, key).id for _ in range(5)}) == 1


@given(age_ms=st.integers(0, 100_000), weight=st.floats(0.1, 100))
def test_whoever_just_came_gets_its_weight_by_and_by(age_ms: int, weight: float) -> None:
    slow = SlowStart(window_ms=30_000, share_min=0.1)
    member = Standing(id="m", weight=weight, since_ms=NOW_MS - age_ms)

    now, later = ramped(member, slow, NOW_MS), ramped(member, slow, NOW_MS + 1_000)

    assert weight * 0.1 <= now <= later <= weight
    assert (now == weight) or age_ms < 30_000


def test_in_its_slow_start_a_member_is_picked_less_than_others() -> None:
    slow = SlowStart(window_ms=30_000, share_min=0.1)
    members = [
        Standing(id="new", since_ms=NOW_MS - 3_000),
        Standing(id="old", since_ms=NOW_MS - 60_000),
    ]
    balancer = _balancer(Algorithm.WEIGHTED_ROUND_ROBIN, slow=slow)

    got = Counter(_pick(balancer, members).id for _ in range(110))

    assert got == {"old": 100, "new": 10}


@given(readings=st.lists(st.tuples(st.integers(0, 60_000), st.floats(0, 10_000)), min_size=1))
def test_latency_stays_within_what_was_read_and_believes_the_worst_at_once(
    readings: list[tuple[int, float]],
) -> None:
    known, now_ms = None, NOW_MS
    for pause_ms, took_ms in readings:
        now_ms += pause_ms
        known = observed(known, took_ms, now_ms=now_ms, decay_ms=10_000)
        assert known.ms >= took_ms - 1e-6

    taken = [took_ms for _, took_ms in readings]
    assert known is not None
    assert min(taken) - 1e-6 <= known.ms <= max(taken) + 1e-6
