"""A pool of agents of one tenant: who is in it, who gets work, and what is to be told of it.

No clock, no chance and no socket: time is an argument, chance and names are passed in, and what has
to be told to agents and holders gathers as notices until `take` fetches them. Work is given to who
fits it, has capacity, is not ejected (unless most are) and whose breaker and upstreams' breakers
let it through; an open breaker is never overlooked. Every lease ends once: done or failed as its
agent says, released by its holder, expired, or lost with its agent.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from analytics.contracts.errors import Unavailable
from analytics.pool import lifecycle
from analytics.pool.balance import Algorithm, Balancer, observed
from analytics.pool.breaker import Breaker, BreakerState
from analytics.pool.deadlines import Deadlines
from analytics.pool.ejection import Ejection
from analytics.pool.leases import BLAMED, Ask, Lease, LeaseOutcome, Waiting
from analytics.pool.lifecycle import AgentSignal, AgentState
from analytics.pool.members import Joining, Member, Roster
from analytics.pool.notices import Granted, LeaseEnded, Moved, NoAgentReason, Notice, Unserved
from analytics.pool.rules import Rules

UPSTREAMS_MAX: Final = 64
"""Different upstreams that a pool keeps a breaker of; further ones have none."""
ENDED_MAX: Final = 10_000
SERVED_AT_ONCE: Final = 16
"""Queues of waiting asks that one tick looks at."""


class PoolFull(Unavailable):
    """More agents than the pool takes."""

    code = "pool-full"


class Pool:
    """See the module."""

    def __init__(
        self, rules: Rules, *, chance: Callable[[], float], new_id: Callable[[], str]
    ) -> None:
        self.rules = rules
        self.roster = Roster()
        self.leases: dict[str, Lease] = {}
        self.waiting = Waiting()
        self.upstreams: dict[str, Breaker] = {}
        self.ejection = Ejection(rules.ejection)
        self._chance = chance
        self._new_id = new_id
        self._balancer = Balancer(rules.algorithm, rules.slow_start, chance)
        self._due: Deadlines[str] = Deadlines()
        self._swept_ms = 0
        self._notices: list[Notice] = []
        self._ended: OrderedDict[str, None] = OrderedDict()
        """Leases that ended lately: an agent that still names one does not hold it again."""

    def take(self) -> list[Notice]:
        """Return what is to be told since the last time, in order."""
        told, self._notices = self._notices, []
        return told

    def configure(self, rules: Rules, now_ms: int) -> None:
        """Go on under other rules."""
        self.rules = rules
        self._balancer.algorithm = rules.algorithm
        self._balancer.slow = rules.slow_start
        self.ejection.limits = rules.ejection
        self.ejection.fit(now_ms, total=len(self.roster))
        for member in self.roster:
            member.breaker.limits = rules.breaker
        for breaker in self.upstreams.values():
            breaker.limits = rules.upstream
        for member in self.roster:
            self._plan(member)

    def register(self, joining: Joining, now_ms: int) -> Member:
        """Take an agent in, anew, or back on another connection with all that it held."""
        for name in joining.upstreams:
            if name not in self.upstreams and len(self.upstreams) < UPSTREAMS_MAX:
                self.upstreams[name] = Breaker(self.rules.upstream, self._chance)
        member = self.roster.get(joining.id)
        if member is None:
            member = self._enter(joining, now_ms)
        else:
            before = member.connection_id
            member.told(joining, now_ms=now_ms)
            self.roster.put(member, before=before)
            if member.state is AgentState.SUSPENDED:
                self._resume(member, now_ms)
            else:
                self._happen(member, AgentSignal.REGISTERED, now_ms)
        if joining.ready:
            self.beat(member, now_ms)
        return member

    def adopt(self, lease: Lease, now_ms: int) -> bool:
        """Take over a lease that its agent brought from another node; say whether it holds here."""
        member = self.roster.get(lease.member)
        if member is None or now_ms >= lease.until_ms or lease.id in self._ended:
            return False
        if member.state not in lifecycle.PICKABLE | {AgentState.INITIALIZING}:
            return False
        known = self.leases.get(lease.id)
        if known is not None or len(member.leases) >= member.capacity:
            return known is not None and known.member == lease.member
        self._hold(member, lease, now_ms)
        return True

    def beat(self, member: Member, now_ms: int) -> None:
        """Take notice that an agent showed itself and takes work.

        One whose registration has run out has to register first.
        """
        if member.state in {AgentState.CLOSED, AgentState.SUSPENDED}:
            return
        member.beat_ms = now_ms
        outdated = now_ms - member.registered_ms >= self.rules.age_ms
        if member.state is AgentState.INITIALIZING and outdated:
            return
        self._happen(member, AgentSignal.PASSED, now_ms)
        if member.state is AgentState.READY and member.leases:
            self._happen(member, AgentSignal.LEASED, now_ms)
        self._serve(member, now_ms)

    def acquire(self, ask: Ask, now_ms: int) -> None:
        """Grant a lease now or later, or refuse it; a notice says which."""
        member = self._pick(ask, now_ms)
        if member is not None:
            self._grant(ask, member, now_ms)
        elif ask.wait_ms <= 0:
            self._notices.append(Unserved(ask, NoAgentReason.NOBODY))
        elif len(self.waiting) >= self.rules.waiting_max:
            self._notices.append(Unserved(ask, NoAgentReason.FULL))
        else:
            self.waiting.add(ask)
            self._due.plan(_ASK + ask.id, now_ms + min(ask.wait_ms, self.rules.acquire_ms_max))

    def give_up(self, ask_id: str) -> None:
        """Take notice that nobody waits for an ask any more."""
        self._due.forget(_ASK + ask_id)
        self.waiting.take(ask_id)

    def renew(self, lease: Lease, *, lease_ms: int, now_ms: int) -> None:
        """Let a lease last `lease_ms` from now, as far as it may."""
        lease.until_ms = max(lease.until_ms, min(now_ms + lease_ms, lease.ends_ms))
        self._due.plan(_LEASE + lease.id, lease.until_ms)

    def finish(
        self, lease: Lease, outcome: LeaseOutcome, *, now_ms: int, answer: bytes = b"null"
    ) -> None:
        """End a lease and let what came of it count."""
        member = self.roster.get(lease.member)
        del self.leases[lease.id]
        self._ended[lease.id] = None
        if len(self._ended) > ENDED_MAX:
            self._ended.popitem(last=False)
        self._due.forget(_LEASE + lease.id)
        self._notices.append(LeaseEnded(lease, outcome, answer))
        took_ms = now_ms - lease.granted_ms
        for breaker, permit in lease.permits:
            if outcome in BLAMED or outcome is LeaseOutcome.DONE:
                failed = outcome in BLAMED
                breaker.end(permit, now_ms=now_ms, failed=failed, took_ms=took_ms)
            else:
                breaker.cancel(permit)
        if member is None:
            return
        member.leases.pop(lease.id, None)
        self._learn(member, outcome, took_ms=took_ms, now_ms=now_ms)
        if not member.leases:
            self._emptied(member, now_ms)
        self.roster.refresh(member)
        self._serve(member, now_ms)

    def drain(self, member: Member, now_ms: int) -> None:
        """Let an agent finish what it holds and leave."""
        member.leaving = True
        self._happen(member, AgentSignal.DRAIN, now_ms)
        if member.state is AgentState.DRAINING and not member.leases:
            self._happen(member, AgentSignal.EMPTIED, now_ms)

    def remove(self, member: Member, now_ms: int) -> None:
        """Take an agent out at once; what it held is lost."""
        self._happen(member, AgentSignal.REMOVED, now_ms)

    def lose(self, connection_id: str, now_ms: int) -> None:
        """Take notice that a connection is gone, with the agents on it and who waited on it."""
        for member in self.roster.on(connection_id):
            if member.state is not AgentState.SUSPENDED:
                self._happen(member, AgentSignal.LOST, now_ms)
        for ask in self.waiting.of(connection_id):
            self.give_up(ask.id)
            self._notices.append(Unserved(ask, NoAgentReason.LEFT))

    def tick(self, now_ms: int) -> None:
        """Do what has become due."""
        for name in self._due.pop_due(now_ms):
            kind, key = name[0], name[1:]
            if kind == _ASK and (ask := self.waiting.take(key)) is not None:
                self._notices.append(Unserved(ask, NoAgentReason.TIMED_OUT))
            elif kind == _LEASE and (lease := self.leases.get(key)) is not None:
                self.finish(lease, LeaseOutcome.EXPIRED, now_ms=now_ms)
            elif kind == _MEMBER and (member := self.roster.get(key)) is not None:
                self._look_after(member, now_ms)
        if now_ms - self._swept_ms >= self.rules.ejection.sweep_ms:
            self._swept_ms = now_ms
            self.ejection.sweep(now_ms, total=len(self.roster))
        for served, ask in enumerate(list(self.waiting.heads())):
            if served == SERVED_AT_ONCE:
                break
            self._retry(ask, now_ms)

    def doubt(self, upstream: str) -> None:
        """Take advice that an upstream fails elsewhere: try it with probes only."""
        if upstream in self.upstreams:
            self.upstreams[upstream].doubt()

    def breaker_states(self, now_ms: int) -> dict[BreakerState, int]:
        """Return how many breakers are in which state."""
        counts = dict.fromkeys(BreakerState, 0)
        for breaker in [*(one.breaker for one in self.roster), *self.upstreams.values()]:
            counts[breaker.state(now_ms)] += 1
        return counts

    def _enter(self, joining: Joining, now_ms: int) -> Member:
        if len(self.roster) >= self.rules.members_max:
            raise PoolFull(f"the pool has {self.rules.members_max} members; register later")
        breaker = Breaker(self.rules.breaker, self._chance)
        member = Member(joining, breaker=breaker, now_ms=now_ms)
        self.roster.put(member)
        self._notices.append(Moved(member, AgentSignal.REGISTERED, member.state, before=None))
        self._plan(member)
        return member

    def _retry(self, ask: Ask, now_ms: int) -> bool:
        member = self._pick(ask, now_ms)
        if member is None:
            return False
        self.give_up(ask.id)
        self._grant(ask, member, now_ms)
        return True

    def _pick(self, ask: Ask, now_ms: int) -> Member | None:
        free = self.roster.free(ask.needs)
        shut = {name for name, one in self.upstreams.items() if not one.allows(now_ms)}
        able = [one for one in free if _lets_through(one, shut, now_ms)]
        out = self.ejection.out(now_ms)
        if out and not self._panics(out):
            able = [one for one in able if one.id not in out]
        sticky = self.rules.algorithm is Algorithm.RENDEZVOUS
        key = ask.affinity or (ask.holder if sticky else "")
        return self._balancer.pick(able, now_ms=now_ms, key=key)

    def _panics(self, out: frozenset[str]) -> bool:
        well = sum(one.state in lifecycle.PICKABLE and one.id not in out for one in self.roster)
        return self.ejection.panics(in_balance=well, total=len(self.roster))

    def _grant(self, ask: Ask, member: Member, now_ms: int) -> None:
        rules = self.rules
        lease = Lease(
            id=self._new_id(),
            member=member.id,
            holder=ask.holder,
            connection_id=ask.connection_id,
            granted_ms=now_ms,
            until_ms=now_ms + min(ask.lease_ms, rules.lease_ms_max),
            ends_ms=now_ms + rules.lease_ms_max,
            task=ask.task,
            permits=tuple((one, one.begin(now_ms)) for one in self._breakers(member)),
        )
        self._hold(member, lease, now_ms)
        self._notices.append(Granted(ask, lease))

    def _hold(self, member: Member, lease: Lease, now_ms: int) -> None:
        self.leases[lease.id] = lease
        self._due.plan(_LEASE + lease.id, lease.until_ms)
        member.leases[lease.id] = None
        if member.state in lifecycle.PICKABLE:
            self._happen(member, AgentSignal.LEASED, now_ms)
        self.roster.refresh(member)

    def _breakers(self, member: Member) -> list[Breaker]:
        found = [self.upstreams[name] for name in member.upstreams if name in self.upstreams]
        return [member.breaker, *found]

    def _learn(self, member: Member, outcome: LeaseOutcome, *, took_ms: int, now_ms: int) -> None:
        if outcome is LeaseOutcome.DONE:
            member.latency = observed(
                member.latency, took_ms, now_ms=now_ms, decay_ms=self.rules.decay_ms
            )
        if outcome is LeaseOutcome.DONE or outcome in BLAMED:
            total = len(self.roster)
            failed = outcome in BLAMED
            self.ejection.record(member.id, failed=failed, now_ms=now_ms, total=total)

    def _serve(self, member: Member, now_ms: int) -> None:
        """Give a member to those who wait for one like it."""
        while member.takes_work and self.waiting:
            ask = self.waiting.first_for(member.card)
            if ask is None or not self._retry(ask, now_ms):
                return

    def _resume(self, member: Member, now_ms: int) -> None:
        self._happen(member, AgentSignal.RESUMED, now_ms)
        if member.leases:
            self._happen(member, AgentSignal.LEASED, now_ms)
        if member.leaving:
            self.drain(member, now_ms)

    def _emptied(self, member: Member, now_ms: int) -> None:
        if member.state in {
            AgentState.CLOSED,
            AgentState.FAILED,
            AgentState.READY,
            AgentState.IDLE,
        }:
            return
        self._happen(member, AgentSignal.EMPTIED, now_ms)

    def _happen(self, member: Member, signal: AgentSignal, now_ms: int) -> None:
        """Go where the table says, and do what every arrival in a state asks for."""
        before = member.state
        if not member.happen(signal, now_ms):
            return
        state = member.state
        self._notices.append(Moved(member, signal, state, before))
        self.roster.refresh(member)
        if state in {AgentState.FAILED, AgentState.CLOSED}:
            for lease_id in list(member.leases):
                self.finish(self.leases[lease_id], LeaseOutcome.LOST, now_ms=now_ms)
        if state is AgentState.CLOSED:
            self._forget(member, now_ms)
            return
        if state is AgentState.RECYCLING and not member.leases:
            self._happen(member, AgentSignal.EMPTIED, now_ms)
            return
        self._plan(member)

    def _forget(self, member: Member, now_ms: int) -> None:
        self._due.forget(_MEMBER + member.id)
        self.roster.drop(member)
        for name in member.upstreams:
            if not any(name in one.upstreams for one in self.roster):
                self.upstreams.pop(name, None)
        self._balancer.forget(member.id)
        self.ejection.forget(member.id, now_ms=now_ms, total=len(self.roster))

    def _plan(self, member: Member) -> None:
        self._due.plan(_MEMBER + member.id, min(self._deadlines(member).values()))

    def _deadlines(self, member: Member) -> dict[AgentSignal, int]:
        """Return when what will happen to a member if it does nothing."""
        rules, state = self.rules, member.state
        lasts_ms = {
            AgentState.INITIALIZING: rules.start_ms,
            AgentState.RECYCLING: rules.drain_ms,
            AgentState.DRAINING: rules.drain_ms,
            AgentState.SUSPENDED: rules.suspend_ms,
            AgentState.FAILED: rules.suspend_ms,
        }.get(state)
        if lasts_ms is not None:
            return {AgentSignal.EXPIRED: member.state_ms + lasts_ms}
        silent = AgentSignal.GAVE_UP if state is AgentState.UNHEALTHY else AgentSignal.MISSED
        misses = rules.gone_misses if state is AgentState.UNHEALTHY else rules.misses_max
        due = {
            silent: member.beat_ms + rules.heartbeat_ms * misses,
            AgentSignal.AGED: member.registered_ms + rules.age_ms,
        }
        if state is AgentState.READY:
            due[AgentSignal.RESTED] = member.state_ms + rules.idle_ms
        if state is AgentState.IDLE and len(self.roster) > rules.members_min:
            due[AgentSignal.DRAIN] = member.state_ms + rules.retire_ms
        return due

    def _look_after(self, member: Member, now_ms: int) -> None:
        due = self._deadlines(member)
        passed = [signal for signal, at_ms in due.items() if at_ms <= now_ms]
        if not passed:
            self._plan(member)
        elif passed[0] is AgentSignal.DRAIN:
            self.drain(member, now_ms)
        else:
            self._happen(member, passed[0], now_ms)


_ASK: Final = "a"
_LEASE: Final = "l"
_MEMBER: Final = "m"


def _lets_through(member: Member, shut: set[str], now_ms: int) -> bool:
    if not member.breaker.allows(now_ms):
        return False
    return not shut or shut.isdisjoint(member.upstreams)
