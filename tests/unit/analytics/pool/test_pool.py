"""A pool over time: agents that work, rest, vanish, come back, age and leave; asks that wait."""

import msgspec
import pytest

from analytics.contracts.errors import BadBody
from analytics.pool.balance import Algorithm
from analytics.pool.breaker import BreakerLimits
from analytics.pool.breaker import BreakerState as Guarded
from analytics.pool.ejection import EjectionLimits
from analytics.pool.leases import Lease, LeaseOutcome
from analytics.pool.lifecycle import AgentState
from analytics.pool.members import Member
from analytics.pool.notices import NoAgentReason
from analytics.pool.pool import Pool, PoolFull
from analytics.pool.rules import Rules, changed
from analytics.pool.skills import Needs
from tests.support.pool import NOW_MS, ask, ended, granted, joining, moves, pool, unserved

TRUSTING = BreakerLimits(calls_min=1_000)


def _lease(under_test: Pool) -> Lease:
    [told] = granted(under_test.take())
    return told.lease


def _member(under_test: Pool, member_id: str = "a") -> Member:
    member = under_test.roster.get(member_id)
    assert member is not None
    return member


def test_work_goes_to_who_has_the_skill_and_ends_with_its_answer() -> None:
    under_test = pool()
    under_test.register(joining("a", skills=("code",)), NOW_MS)
    under_test.register(joining("b", skills=("review",)), NOW_MS)

    under_test.acquire(ask(needs=Needs(skill="review")), NOW_MS)
    lease = _lease(under_test)
    assert (lease.member, _member(under_test, "b").state) == ("b", AgentState.ACTIVE)
    under_test.finish(lease, LeaseOutcome.DONE, now_ms=NOW_MS + 40, answer=b"7")

    [over] = ended(under_test.take())
    assert (over.lease, over.outcome, over.answer) == (lease, LeaseOutcome.DONE, b"7")
    assert _member(under_test, "b").state is AgentState.READY
    assert _member(under_test, "b").latency_ms == 40


def test_who_does_not_want_to_wait_is_told_at_once_that_there_is_nobody() -> None:
    under_test = pool()
    under_test.register(joining(skills=("code",)), NOW_MS)

    under_test.acquire(ask(needs=Needs(skill="review")), NOW_MS)

    [told] = unserved(under_test.take())
    assert told.why is NoAgentReason.NOBODY


def test_who_waits_is_served_in_the_order_of_asking() -> None:
    under_test = pool()
    for name in ("q1", "q2"):
        under_test.acquire(ask(name, wait_ms=5_000), NOW_MS)

    under_test.register(joining(), NOW_MS + 100)
    [first] = granted(under_test.take())
    under_test.finish(first.lease, LeaseOutcome.DONE, now_ms=NOW_MS + 200)
    [second] = granted(under_test.take())

    assert (first.ask.id, second.ask.id) == ("q1", "q2")


def test_waiting_ends_with_its_time_and_past_the_limit_nobody_waits() -> None:
    under_test = pool(Rules(waiting_max=1))
    under_test.acquire(ask("q1", wait_ms=5_000), NOW_MS)
    under_test.acquire(ask("q2", wait_ms=5_000), NOW_MS)
    under_test.tick(NOW_MS + 4_999)
    assert [(one.ask.id, one.why) for one in unserved(under_test.take())] == [
        ("q2", NoAgentReason.FULL)
    ]

    under_test.tick(NOW_MS + 5_000)

    assert [(one.ask.id, one.why) for one in unserved(under_test.take())] == [
        ("q1", NoAgentReason.TIMED_OUT)
    ]


def test_a_lease_that_is_not_renewed_expires_and_counts_as_a_failure() -> None:
    under_test = pool(Rules(breaker=BreakerLimits(calls_min=1)))
    member = under_test.register(joining(), NOW_MS)
    under_test.acquire(ask(lease_ms=1_000), NOW_MS)
    lease = _lease(under_test)

    under_test.renew(lease, lease_ms=1_000, now_ms=NOW_MS + 900)
    under_test.tick(NOW_MS + 1_899)
    assert under_test.leases
    under_test.tick(NOW_MS + 1_900)

    assert [one.outcome for one in ended(under_test.take())] == [LeaseOutcome.EXPIRED]
    assert member.breaker.state(NOW_MS + 1_900) is Guarded.OPEN


def test_a_lease_cannot_be_renewed_past_its_last_day() -> None:
    under_test = pool(Rules(lease_ms=1_000, lease_ms_max=2_500))
    under_test.register(joining(), NOW_MS)
    under_test.acquire(ask(lease_ms=1_000), NOW_MS)
    lease = _lease(under_test)

    for later_ms in (900, 1_800, 2_400):
        under_test.renew(lease, lease_ms=1_000, now_ms=NOW_MS + later_ms)

    assert lease.until_ms == NOW_MS + 2_500


def test_who_misses_its_heartbeats_gets_nothing_more_and_is_given_up_later() -> None:
    under_test = pool(Rules(heartbeat_ms=1_000, misses_max=2, gone_misses=5))
    member = under_test.register(joining(capacity=2), NOW_MS)
    under_test.acquire(ask("q1", lease_ms=600_000), NOW_MS)
    under_test.take()

    under_test.tick(NOW_MS + 2_000)
    under_test.acquire(ask("q2"), NOW_MS + 2_000)
    assert member.state is AgentState.UNHEALTHY
    assert len(unserved(under_test.take())) == 1
    under_test.tick(NOW_MS + 5_000)

    assert _member(under_test).state is AgentState.FAILED
    assert [one.outcome for one in ended(under_test.take())] == [LeaseOutcome.LOST]


def test_a_late_heartbeat_brings_it_back_with_what_it_holds() -> None:
    under_test = pool(Rules(heartbeat_ms=1_000))
    member = under_test.register(joining(capacity=2), NOW_MS)
    under_test.acquire(ask("q1", lease_ms=600_000), NOW_MS)
    under_test.tick(NOW_MS + 2_000)
    under_test.take()

    under_test.beat(member, NOW_MS + 2_500)

    assert moves(under_test.take()) == ["ready", "active"]


@pytest.mark.requirement("pool-leases")
def test_who_loses_its_connection_keeps_its_work_and_comes_back_with_it() -> None:
    under_test = pool()
    under_test.register(joining(connection_id="c1"), NOW_MS)
    under_test.acquire(ask(lease_ms=600_000), NOW_MS)
    lease = _lease(under_test)

    under_test.lose("c1", NOW_MS + 1_000)
    assert _member(under_test).state is AgentState.SUSPENDED
    under_test.register(joining(connection_id="c2"), NOW_MS + 2_000)

    assert moves(under_test.take()) == ["suspended", "ready", "active"]
    assert under_test.leases == {lease.id: lease}
    under_test.lose("c1", NOW_MS + 3_000)
    assert _member(under_test).state is AgentState.ACTIVE


@pytest.mark.requirement("pool-leases")
def test_who_does_not_come_back_in_time_is_gone_and_its_work_is_told_lost() -> None:
    under_test = pool(Rules(suspend_ms=5_000))
    under_test.register(joining(connection_id="c1"), NOW_MS)
    under_test.acquire(ask(lease_ms=600_000), NOW_MS)
    under_test.lose("c1", NOW_MS)
    under_test.take()

    under_test.tick(NOW_MS + 5_000)

    told = under_test.take()
    assert [one.outcome for one in ended(told)] == [LeaseOutcome.LOST]
    assert moves(told) == ["closed"]
    assert len(under_test.roster) == 0


def test_a_drained_agent_finishes_what_it_holds_and_is_gone() -> None:
    under_test = pool()
    member = under_test.register(joining(capacity=2), NOW_MS)
    under_test.acquire(ask("q1"), NOW_MS)
    lease = _lease(under_test)

    under_test.drain(member, NOW_MS)
    under_test.acquire(ask("q2"), NOW_MS)
    assert len(unserved(under_test.take())) == 1
    under_test.finish(lease, LeaseOutcome.DONE, now_ms=NOW_MS + 10)

    assert moves(under_test.take()) == ["closed"]


def test_one_that_drains_and_loses_its_connection_goes_on_draining_when_it_is_back() -> None:
    under_test = pool()
    member = under_test.register(joining(connection_id="c1"), NOW_MS)
    under_test.acquire(ask(), NOW_MS)
    under_test.drain(member, NOW_MS)
    under_test.lose("c1", NOW_MS)
    under_test.take()

    under_test.register(joining(connection_id="c2"), NOW_MS + 10)

    assert moves(under_test.take()) == ["ready", "active", "draining"]


def test_one_that_drained_while_away_is_gone_when_it_is_back_without_work() -> None:
    under_test = pool()
    member = under_test.register(joining(connection_id="c1"), NOW_MS)
    under_test.lose("c1", NOW_MS)
    under_test.drain(member, NOW_MS)

    under_test.register(joining(connection_id="c2"), NOW_MS + 10)

    assert len(under_test.roster) == 0


def test_an_old_registration_is_recycled_once_its_work_is_done() -> None:
    under_test = pool(Rules(age_ms=60_000, heartbeat_ms=600_000))
    member = under_test.register(joining(), NOW_MS)
    under_test.acquire(ask(lease_ms=600_000), NOW_MS)
    lease = _lease(under_test)

    under_test.tick(NOW_MS + 60_000)
    under_test.finish(lease, LeaseOutcome.DONE, now_ms=NOW_MS + 60_000)
    assert moves(under_test.take()) == ["recycling", "initializing"]
    under_test.beat(member, NOW_MS + 60_001)
    assert member.state is AgentState.INITIALIZING
    under_test.register(joining(), NOW_MS + 60_002)

    assert moves(under_test.take()) == ["ready"]


def test_who_rests_is_idle_and_leaves_only_above_the_minimum() -> None:
    under_test = pool(Rules(idle_ms=1_000, retire_ms=5_000, members_min=1, heartbeat_ms=600_000))
    for name in ("a", "b"):
        under_test.register(joining(name), NOW_MS)

    for later_ms in range(500, 20_000, 500):
        under_test.tick(NOW_MS + later_ms)

    assert [member.state for member in under_test.roster] == [AgentState.IDLE]
    assert moves(under_test.take()).count("closed") == 1


def test_one_that_never_says_it_is_ready_fails_and_is_forgotten() -> None:
    under_test = pool(Rules(start_ms=1_000, suspend_ms=1_000))
    under_test.register(joining(ready=False), NOW_MS)

    under_test.tick(NOW_MS + 1_000)
    under_test.tick(NOW_MS + 2_000)

    assert moves(under_test.take()) == ["initializing", "failed", "closed"]


def test_a_full_pool_takes_nobody_but_knows_who_is_in_it() -> None:
    under_test = pool(Rules(members_max=1))
    under_test.register(joining("a"), NOW_MS)

    with pytest.raises(PoolFull, match="1 members"):
        under_test.register(joining("b"), NOW_MS)
    under_test.register(joining("a"), NOW_MS)

    assert len(under_test.roster) == 1


def test_an_open_breaker_gets_nothing_until_its_time_and_then_one_probe() -> None:
    limits = BreakerLimits(calls_min=2, probes=1, open_ms=1_000, jitter=0)
    under_test = pool(Rules(breaker=limits, ejection=EjectionLimits(share_max=0)))
    under_test.register(joining(capacity=5), NOW_MS)
    for number in range(2):
        under_test.acquire(ask(f"q{number}"), NOW_MS)
        under_test.finish(_lease(under_test), LeaseOutcome.FAILED, now_ms=NOW_MS)
        under_test.take()

    under_test.acquire(ask("barred"), NOW_MS + 999)
    assert len(unserved(under_test.take())) == 1
    under_test.acquire(ask("waits", wait_ms=5_000), NOW_MS + 999)
    under_test.tick(NOW_MS + 1_000)
    assert [one.ask.id for one in granted(under_test.take())] == ["waits"]
    under_test.acquire(ask("second"), NOW_MS + 1_001)

    assert len(unserved(under_test.take())) == 1


def test_a_failing_upstream_bars_all_who_rest_on_it_and_nobody_else() -> None:
    under_test = pool(
        Rules(
            breaker=TRUSTING,
            upstream=BreakerLimits(calls_min=2),
            ejection=EjectionLimits(share_max=0),
        )
    )
    under_test.register(joining("a", upstreams=("models",), skills=("x",)), NOW_MS)
    under_test.register(joining("b", upstreams=("models",)), NOW_MS)
    under_test.register(joining("c", upstreams=("other",)), NOW_MS)
    for number in range(2):
        under_test.acquire(ask(f"q{number}", needs=Needs(skill="x")), NOW_MS)
        under_test.finish(_lease(under_test), LeaseOutcome.FAILED, now_ms=NOW_MS)
        under_test.take()

    taken = []
    for number in range(2):
        under_test.acquire(ask(f"r{number}"), NOW_MS)
        taken += [one.lease.member for one in granted(under_test.take())]

    assert taken == ["c"]


def test_an_ejected_member_is_overlooked_unless_too_few_are_left() -> None:
    limits = EjectionLimits(failures_in_a_row=1, share_max=0.5, panic_share=0.5)
    under_test = pool(Rules(breaker=TRUSTING, ejection=limits, algorithm=Algorithm.ROUND_ROBIN))
    for name in ("a", "b"):
        under_test.register(joining(name, capacity=9), NOW_MS)
    under_test.acquire(ask("bad"), NOW_MS)
    under_test.finish(_lease(under_test), LeaseOutcome.FAILED, now_ms=NOW_MS)
    under_test.take()

    under_test.acquire(ask("q1"), NOW_MS)
    under_test.acquire(ask("q2"), NOW_MS)
    assert {one.lease.member for one in granted(under_test.take())} == {"b"}
    under_test.drain(_member(under_test, "b"), NOW_MS)
    under_test.acquire(ask("q3"), NOW_MS)

    assert [one.lease.member for one in granted(under_test.take())] == ["a"]


def test_a_key_of_affinity_keeps_to_its_agent() -> None:
    under_test = pool()
    for name in ("a", "b", "c", "d"):
        under_test.register(joining(name, capacity=100), NOW_MS)

    for number in range(20):
        under_test.acquire(ask(f"q{number}", affinity="repository-7"), NOW_MS)

    assert len({one.lease.member for one in granted(under_test.take())}) == 1


def test_a_lease_from_another_node_is_taken_over_once() -> None:
    under_test = pool()
    under_test.register(joining(capacity=1), NOW_MS)
    lease = Lease(
        id="elsewhere", member="a", holder="grace", connection_id="", granted_ms=NOW_MS - 500,
        until_ms=NOW_MS + 1_000, ends_ms=NOW_MS + 9_000,
    )  # fmt: skip

    assert under_test.adopt(lease, NOW_MS)
    assert under_test.adopt(lease, NOW_MS)
    assert not under_test.adopt(msgspec.structs.replace(lease, id="second"), NOW_MS)
    assert not under_test.adopt(lease, NOW_MS + 1_000)
    under_test.tick(NOW_MS + 1_000)

    assert [one.lease.id for one in ended(under_test.take())] == ["elsewhere"]


def test_rules_are_changed_in_part_and_the_rest_stays() -> None:
    rules = changed(Rules(), {"algorithm": "round_robin", "breaker": {"probes": 7}})

    assert (rules.algorithm, rules.breaker.probes) == (Algorithm.ROUND_ROBIN, 7)
    assert rules.breaker.calls_min == Rules().breaker.calls_min


@pytest.mark.parametrize(
    ("patch", "word"),
    [
        ({"algorithm": "guessing"}, "algorithm"),
        ({"members_min": 5, "members_max": 4}, "members_min"),
        ({"no_such_rule": 1}, "no_such_rule"),
        ({"breaker": {"failure_share": 0}}, "failure_share"),
        ({"breaker": 5}, "breaker"),
        ({"lease_ms": None}, "lease_ms"),
    ],
)
def test_rules_that_make_no_sense_are_refused_by_name(patch: dict[str, object], word: str) -> None:
    with pytest.raises(BadBody, match=word):
        changed(Rules(), patch)


def test_changed_rules_hold_for_those_who_are_there() -> None:
    under_test = pool()
    member = under_test.register(joining(), NOW_MS)

    under_test.configure(changed(under_test.rules, {"idle_ms": 10}), NOW_MS)
    under_test.tick(NOW_MS + 10)

    assert member.state is AgentState.IDLE
