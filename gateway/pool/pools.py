"""Every tenant's pool at this gateway: carries calls in, and what the pool wants told out.

A tenant has a pool of its own, so no call can reach another tenant's agents. Many agents may share
one connection; messages name the one that they are for. Messages are sent once and not waited for:
an agent that comes back is sent again what it holds and did not name. Time is the gateway's wheel.
A gateway that stops takes no more work; agents take their leases to another.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from msgspec import Raw, Struct, structs

from analytics.contracts.errors import BadBody
from analytics.contracts.ids import TenantId
from analytics.pool.breaker import BreakerState as Guarded
from analytics.pool.leases import Ask, Lease
from analytics.pool.leases import LeaseOutcome as Over
from analytics.pool.lifecycle import PICKABLE, AgentSignal, AgentState
from analytics.pool.members import Joining, Member
from analytics.pool.notices import Granted, LeaseEnded, Moved, NoAgentReason, Notice, Unserved
from analytics.pool.pool import Pool, PoolFull
from analytics.pool.rules import Rules
from gateway import metrics
from gateway.pool import values
from gateway.pool.chronicle import Chronicle
from gateway.websocket.methods import Link
from gateway.websocket.timer_wheel import SLOT_MS, TimerWheel

QUIET: Final = PICKABLE | {AgentState.SUSPENDED}
"""States that an agent is not told of, since they are its own doing."""
UNCLAIMED_MAX: Final = 1_000
"""Results kept for holders that are away, of all tenants; the oldest goes first."""
LOOKED_MS: Final = 1_000
"""Between two looks at breakers, here and elsewhere."""


class PoolOptions(Struct, frozen=True, kw_only=True):
    """How many of everything, with the rules that pools start with."""

    rules: Rules
    tenants_max: int
    sessions_max: int
    task_bytes_max: int


class _Waiter(Struct, frozen=True):
    pool: Pool
    answered: "asyncio.Future[Lease | NoAgentReason]"


class Pools:
    """See the module."""

    def __init__(
        self,
        ways: PoolOptions,
        *,
        now_ms: Callable[[], int],
        chance: Callable[[], float],
        new_id: Callable[[], str],
        chronicle: Chronicle,
    ) -> None:
        self.ways = ways
        self.now_ms = now_ms
        self.new_id = new_id
        self.wheel: TimerWheel | None = None
        """What wakes it, once there is one."""
        self.elsewhere: Callable[[], Iterable[Mapping[str, str]]] = tuple
        """The breakers that are not closed at other gateways, as advice."""
        self.stopping = False
        self._chance = chance
        self._chronicle = chronicle
        self._pools: dict[TenantId, Pool] = {}
        self._links: dict[str, Link] = {}
        self._waiting: dict[str, _Waiter] = {}
        self._unclaimed: OrderedDict[tuple[TenantId, str, str], values.Outcome] = OrderedDict()
        """What came of leases whose holders are away, by tenant, holder and lease."""
        self._looked_ms = 0
        self._advised: frozenset[str] = frozenset()

    def of(self, tenant: TenantId) -> Pool:
        """Return a tenant's pool; raise `PoolFull` if there are too many tenants."""
        pool = self._pools.get(tenant)
        if pool is None:
            if len(self._pools) >= self.ways.tenants_max:
                raise PoolFull(f"{self.ways.tenants_max} tenants have a pool; come later")
            pool = Pool(self.ways.rules, chance=self._chance, new_id=self.new_id)
            self._pools[tenant] = pool
            self._plan()
        return pool

    def known(self, tenant: TenantId) -> Pool:
        """Return a tenant's pool, an empty one that is not kept if it has none."""
        found = self._pools.get(tenant)
        return found or Pool(self.ways.rules, chance=self._chance, new_id=self.new_id)

    def register(
        self, tenant: TenantId, joining: Joining, link: Link, *, held: Iterable[values.HeldLease]
    ) -> Member:
        """Take an agent in; raise `PoolFull` or `OutOfTurn`."""
        pool, now_ms = self.of(tenant), self.now_ms()
        known = pool.roster.get(joining.id)
        came_back = known is not None and known.connection_id != link.id
        if known is None and len(pool.roster.on(link.id)) >= self.ways.sessions_max:
            metrics.LIMITS_HIT.labels("pool_sessions_max").inc()
            raise PoolFull(f"{self.ways.sessions_max} agents share this connection; open another")
        member = pool.register(structs.replace(joining, ready=False), now_ms)
        self._links[link.id] = link
        brought = {one.lease for one in held}
        for one in held:
            pool.adopt(_lease(one, member, pool.rules, now_ms), now_ms)
        if joining.ready:
            pool.beat(member, now_ms)  # only now: whoever waits must not get the place of these
        if came_back:
            for lease_id in set(member.leases) - brought:
                self._send_work(pool, pool.leases[lease_id])
        self._tell_out(tenant, pool)
        return member

    def beat(self, tenant: TenantId, members: Iterable[Member]) -> None:
        """Take notice that agents showed themselves."""
        pool, now_ms = self.of(tenant), self.now_ms()
        for member in members:
            pool.beat(member, now_ms)
        self._tell_out(tenant, pool)

    async def acquire(self, tenant: TenantId, ask: Ask, link: Link) -> Lease | NoAgentReason:
        """Return a lease, or why there is none."""
        pool = self.of(tenant)
        answered: asyncio.Future[Lease | NoAgentReason] = asyncio.get_running_loop().create_future()
        self._waiting[ask.id] = _Waiter(pool, answered)
        self._links[link.id] = link
        begun_ms = self.now_ms()
        pool.acquire(ask, begun_ms)
        self._tell_out(tenant, pool)
        try:
            found = await answered
        except asyncio.CancelledError:
            pool.give_up(ask.id)
            raise
        finally:
            self._waiting.pop(ask.id, None)
        outcome = found.value if isinstance(found, NoAgentReason) else "granted"
        metrics.POOL_ACQUIRES.labels(outcome).inc()
        metrics.POOL_ACQUIRE_SECONDS.observe((self.now_ms() - begun_ms) / 1_000)
        return found

    def renew(self, tenant: TenantId, lease: Lease, lease_ms: int) -> None:
        """Let a lease last longer."""
        pool = self.of(tenant)
        pool.renew(lease, lease_ms=lease_ms or pool.rules.lease_ms, now_ms=self.now_ms())

    def claim(self, tenant: TenantId, holder: str, lease_id: str, link: Link) -> bool:
        """Send a holder that was away what came of its lease; say whether it was kept."""
        said = self._unclaimed.pop((tenant, holder, lease_id), None)
        if said is not None:
            link.tell(values.encode(said))
        return said is not None

    def is_followed(self, lease: Lease) -> bool:
        """Say whether somebody who is here hears what comes of a lease."""
        return lease.connection_id in self._links

    def follow(self, lease: Lease, link: Link) -> None:
        """Tell what comes of a lease on this connection from now on."""
        lease.connection_id = link.id
        self._links[link.id] = link

    def finish(self, tenant: TenantId, lease: Lease, over: Over, answer: bytes = b"null") -> None:
        """End a lease."""
        pool = self.of(tenant)
        pool.finish(lease, over, now_ms=self.now_ms(), answer=answer)
        self._tell_out(tenant, pool)

    def drain(self, tenant: TenantId, member: Member) -> None:
        """Let an agent finish what it holds and leave."""
        pool = self.of(tenant)
        pool.drain(member, self.now_ms())
        self._tell_out(tenant, pool)

    def remove(self, tenant: TenantId, member: Member) -> None:
        """Take an agent out at once."""
        pool = self.of(tenant)
        pool.remove(member, self.now_ms())
        self._tell_out(tenant, pool)

    def configure(self, tenant: TenantId, rules: Rules) -> None:
        """Put a pool under other rules; raise `BadBody` beyond the gateway's own limits."""
        for name in ("members_max", "waiting_max"):
            most = getattr(self.ways.rules, name)
            if getattr(rules, name) > most:
                raise BadBody(f"{name!r} is at most {most} at this gateway")
        pool = self.of(tenant)
        pool.configure(rules, self.now_ms())
        self._tell_out(tenant, pool)

    def lose(self, connection_id: str) -> None:
        """Take notice that a connection is gone."""
        if self._links.pop(connection_id, None) is None:
            return
        for tenant, pool in list(self._pools.items()):
            pool.lose(connection_id, self.now_ms())
            self._tell_out(tenant, pool)

    def stop(self) -> None:
        """Take no more work, and let nobody wait for it."""
        self.stopping = True
        for ask_id, waiter in list(self._waiting.items()):
            waiter.pool.give_up(ask_id)
            self._answer(ask_id, NoAgentReason.LEFT)

    def tick(self, *, now_ms: int) -> None:
        """Do what has become due in every pool."""
        for tenant, pool in list(self._pools.items()):
            pool.tick(now_ms)
            self._tell_out(tenant, pool)
            if not (pool.roster or pool.waiting or pool.leases) and pool.rules is self.ways.rules:
                del self._pools[tenant]
        metrics.POOL_LEASES.set(sum(len(one.leases) for one in self._pools.values()))
        metrics.POOL_WAITING.set(sum(len(one.waiting) for one in self._pools.values()))
        if now_ms - self._looked_ms >= LOOKED_MS:
            self._looked_ms = now_ms
            self._look_around(now_ms)
        if self._pools:
            self._plan()

    def open_breakers(self) -> dict[str, str]:
        """Return upstreams' breakers that are not closed, to be told to other gateways."""
        now_ms = self.now_ms()
        return {
            f"{tenant}/{name}": breaker.state(now_ms).value
            for tenant, pool in self._pools.items()
            for name, breaker in pool.upstreams.items()
            if breaker.state(now_ms) is not Guarded.CLOSED
        }

    def _look_around(self, now_ms: int) -> None:
        counts = dict.fromkeys(Guarded, 0)
        ejected = 0
        for pool in self._pools.values():
            ejected += len(pool.ejection.out(now_ms))
            for state, count in pool.breaker_states(now_ms).items():
                counts[state] += count
        for state, count in counts.items():
            metrics.POOL_BREAKERS.labels(state.value).set(count)
        metrics.POOL_EJECTED.set(ejected)
        advised = frozenset(
            name
            for node in self.elsewhere()
            for name, state in node.items()
            if state == Guarded.OPEN.value
        )
        for name in advised - self._advised:
            tenant, _, upstream = name.partition("/")
            if (found := self._pools.get(TenantId(tenant))) is not None:
                found.doubt(upstream)
        self._advised = advised

    def _plan(self) -> None:
        if self.wheel is not None:
            self.wheel.plan(self, self.now_ms() + SLOT_MS)

    def _tell_out(self, tenant: TenantId, pool: Pool) -> None:
        for notice in pool.take():
            self._tell(tenant, pool, notice)

    def _tell(self, tenant: TenantId, pool: Pool, notice: Notice) -> None:
        match notice:
            case Granted(ask, lease):
                self._answer(ask.id, lease)
                self._send_work(pool, lease)
            case Unserved(ask, why):
                self._answer(ask.id, why)
            case LeaseEnded():
                self._tell_end(tenant, pool, notice)
            case Moved():
                self._tell_move(tenant, notice)

    def _keep(self, tenant: TenantId, lease: Lease, said: values.Outcome) -> None:
        """Keep what came of work whose holder is away, until it asks."""
        self._unclaimed[tenant, lease.holder, lease.id] = said
        if len(self._unclaimed) > UNCLAIMED_MAX:
            metrics.LIMITS_HIT.labels("pool_unclaimed_max").inc()
            self._unclaimed.popitem(last=False)

    def _tell_end(self, tenant: TenantId, pool: Pool, ended: LeaseEnded) -> None:
        lease, outcome = ended.lease, ended.outcome
        metrics.POOL_ENDED.labels(outcome.value).inc()
        if outcome is not Over.RELEASED:
            said = values.Outcome(lease.id, lease.member, outcome.value, Raw(ended.answer))
            if lease.connection_id in self._links:
                self._send(lease.connection_id, said)
            else:
                self._keep(tenant, lease, said)
        member = pool.roster.get(lease.member)
        if member is not None and outcome in {Over.RELEASED, Over.EXPIRED}:
            self._send(member.connection_id, values.Recall(lease.member, lease.id, outcome.value))

    def _tell_move(self, tenant: TenantId, moved: Moved) -> None:
        member, state = moved.member, moved.state
        if moved.before is not None:
            metrics.POOL_MEMBERS.labels(moved.before.value).dec()
        else:
            self._chronicle.opened(tenant, member)
        if state is AgentState.CLOSED:
            self._chronicle.closed(tenant, member, moved.signal)
        else:
            metrics.POOL_MEMBERS.labels(state.value).inc()
        if state not in QUIET and moved.signal is not AgentSignal.REGISTERED:
            self._send(member.connection_id, values.Moved(member.id, state, moved.signal))

    def _send_work(self, pool: Pool, lease: Lease) -> None:
        member = pool.roster.get(lease.member)
        if member is not None:
            lasts_ms = max(0, lease.until_ms - self.now_ms())
            work = values.Work(member.id, lease.id, lease.holder, lasts_ms, Raw(lease.task))
            self._send(member.connection_id, work)

    def _send(
        self, connection_id: str, said: values.Work | values.Recall | values.Outcome | values.Moved
    ) -> None:
        link = self._links.get(connection_id)
        if link is not None:
            link.tell(values.encode(said))

    def _answer(self, ask_id: str, answer: Lease | NoAgentReason) -> None:
        waiter = self._waiting.get(ask_id)
        if waiter is not None and not waiter.answered.done():
            waiter.answered.set_result(answer)


def _lease(held: values.HeldLease, member: Member, rules: Rules, now_ms: int) -> Lease:
    return Lease(
        id=held.lease,
        member=member.id,
        holder=held.holder,
        connection_id="",
        granted_ms=now_ms,
        until_ms=now_ms + min(held.lasts_ms, rules.lease_ms_max),
        ends_ms=now_ms + rules.lease_ms_max,
    )
