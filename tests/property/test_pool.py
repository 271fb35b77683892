"""What holds of a pool whatever happens to it: leases end once, open breakers get nothing."""

from collections import Counter
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.pool.balance import Algorithm
from analytics.pool.breaker import BreakerLimits
from analytics.pool.ejection import EjectionLimits
from analytics.pool.leases import LeaseOutcome
from analytics.pool.lifecycle import PICKABLE, AgentState
from analytics.pool.members import Member
from analytics.pool.notices import Granted, LeaseEnded, Unserved
from analytics.pool.pool import Pool
from analytics.pool.rules import Rules
from analytics.pool.skills import ANYBODY, Needs
from tests.support.pool import NOW_MS, ask, joining, pool

CONNECTIONS: Final = ("c1", "c2", "c3")
STEPS: Final = st.lists(
    st.tuples(
        st.sampled_from(
            ["register", "register", "beat", "acquire", "acquire", "acquire", "finish", "finish",
             "fail", "fail", "renew", "drain", "remove", "lose", "tick", "give_up"]
        ),
        st.integers(0, 8),
        st.sampled_from([0, 0, 100, 2_000, 15_000]),
    ),
    max_size=90,
)  # fmt: skip
RULES: Final = st.builds(
    Rules,
    algorithm=st.sampled_from(Algorithm),
    members_max=st.just(6),
    waiting_max=st.integers(0, 3),
    idle_ms=st.sampled_from([1_000, 60_000]),
    retire_ms=st.sampled_from([5_000, 600_000]),
    age_ms=st.sampled_from([20_000, 86_400_000]),
    breaker=st.just(BreakerLimits(calls_min=1, window_calls=4, probes=1, open_ms=5_000)),
    upstream=st.just(BreakerLimits(calls_min=3, window_calls=6, probes=2, open_ms=5_000)),
    ejection=st.sampled_from(
        [EjectionLimits(failures_in_a_row=1, share_max=share) for share in (0.0, 0.2, 0.5)]
    ),
)


class Play:
    """A pool that things happen to, with what was granted and what ended."""

    def __init__(self, rules: Rules) -> None:
        self.pool = pool(rules)
        self.now_ms = NOW_MS
        self.asked = 0
        self.granted: Counter[str] = Counter()
        self.ended: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()

    def step(self, what: str, which: int, pause_ms: int) -> None:
        """Let one thing happen, and look at all that is told of it."""
        self.now_ms += pause_ms
        barred = {one.id for one in self.pool.roster if not _open(self.pool, one, self.now_ms)}
        getattr(self, f"_{what}")(which)
        for notice in self.pool.take():
            if isinstance(notice, Granted):
                self._look_at(notice, barred if what != "tick" else set())
            elif isinstance(notice, LeaseEnded):
                self.ended[notice.lease.id] += 1
            elif isinstance(notice, Unserved):
                self.answered[notice.ask.id] += 1

    def _look_at(self, told: Granted, barred: set[str]) -> None:
        self.granted[told.lease.id] += 1
        self.answered[told.ask.id] += 1
        member = self.pool.roster.get(told.lease.member)
        assert member is not None
        assert told.lease.member not in barred
        assert not told.ask.needs.skill or told.ask.needs.skill in {
            skill.id for skill in member.card.skills
        }

    def _register(self, which: int) -> None:
        known = self.pool.roster.get(f"a{which}")
        if known is None and len(self.pool.roster) >= self.pool.rules.members_max:
            return
        skills = ("code",) if which % 2 else ("code", "review")
        self.pool.register(
            joining(
                f"a{which}", skills=skills, capacity=1 + which % 3, upstreams=("models",),
                connection_id=CONNECTIONS[which % 3],
            ),
            self.now_ms,
        )  # fmt: skip

    def _beat(self, which: int) -> None:
        member = self.pool.roster.get(f"a{which}")
        if member is not None:
            self.pool.beat(member, self.now_ms)

    def _acquire(self, which: int) -> None:
        self.asked += 1
        needs = Needs(skill="review") if which % 3 == 0 else ANYBODY
        wait_ms = 10_000 if which % 2 else 0
        self.pool.acquire(
            ask(f"q{self.asked}", needs=needs, wait_ms=wait_ms, lease_ms=8_000), self.now_ms
        )

    def _finish(self, which: int, outcome: LeaseOutcome = LeaseOutcome.DONE) -> None:
        leases = list(self.pool.leases.values())
        if leases:
            self.pool.finish(leases[which % len(leases)], outcome, now_ms=self.now_ms)

    def _fail(self, which: int) -> None:
        self._finish(which, LeaseOutcome.FAILED)

    def _renew(self, which: int) -> None:
        leases = list(self.pool.leases.values())
        if leases:
            self.pool.renew(leases[which % len(leases)], lease_ms=8_000, now_ms=self.now_ms)

    def _drain(self, which: int) -> None:
        member = self.pool.roster.get(f"a{which}")
        if member is not None:
            self.pool.drain(member, self.now_ms)

    def _remove(self, which: int) -> None:
        member = self.pool.roster.get(f"a{which}")
        if member is not None:
            self.pool.remove(member, self.now_ms)

    def _lose(self, which: int) -> None:
        self.pool.lose(CONNECTIONS[which % 3], self.now_ms)

    def _tick(self, _which: int) -> None:
        self.pool.tick(self.now_ms)

    def _give_up(self, which: int) -> None:
        self.pool.give_up(f"q{which}")
        self.answered[f"q{which}"] += 0


def _open(under_test: Pool, member: Member, now_ms: int) -> bool:
    """Say whether a member's breakers would let a call through."""
    upstreams = [under_test.upstreams[name] for name in member.upstreams]
    return all(one.allows(now_ms) for one in [member.breaker, *upstreams])


def _consistent(under_test: Pool) -> None:
    for member in under_test.roster:
        assert member.state is not AgentState.CLOSED
        assert len(member.leases) <= member.capacity
        assert all(under_test.leases[lease].member == member.id for lease in member.leases)
        if member.state is AgentState.ACTIVE:
            assert member.leases
        if member.state in {
            AgentState.READY,
            AgentState.IDLE,
            AgentState.INITIALIZING,
            AgentState.FAILED,
        }:
            assert not member.leases
        listed = any(one is member for one in under_test.roster.free(ANYBODY))
        assert listed == (member.state in PICKABLE and len(member.leases) < member.capacity)
    held = sum(len(member.leases) for member in under_test.roster)
    assert held == len(under_test.leases)


@pytest.mark.requirement("pool-leases")
@settings(max_examples=200)
@given(rules=RULES, steps=STEPS)
def test_a_lease_ends_once_and_no_open_breaker_is_picked_whatever_happens(
    rules: Rules, steps: list[tuple[str, int, int]]
) -> None:
    play = Play(rules)

    for what, which, pause_ms in steps:
        play.step(what, which, pause_ms)
        _consistent(play.pool)
        out = play.pool.ejection.out(play.now_ms)
        one = rules.ejection.share_max > 0 and len(play.pool.roster) > 1
        assert len(out) <= max(rules.ejection.share_max * len(play.pool.roster), one)

    assert set(play.granted) - set(play.ended) == set(play.pool.leases)
    assert all(count == 1 for count in [*play.granted.values(), *play.ended.values()])
    assert all(count <= 1 for count in play.answered.values())

    play.step("tick", 0, 90_000_000)
    play.step("tick", 0, 90_000_000)
    assert not play.pool.leases
    assert not play.pool.waiting
