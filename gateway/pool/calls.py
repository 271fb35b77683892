"""What agents and those who have work call over a socket: `pool.acquire` and others.

All of it needs the scope `work`, and reaches the token's tenant only. An agent belongs to the user
who registered it, and its calls come on the connection it is on; a lease belongs to who acquired
it, by user, so both may come back on another connection.
"""

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import msgspec

from analytics.contracts import clean
from analytics.contracts.errors import Forbidden, TooLarge, Unavailable
from analytics.contracts.ids import TenantId
from analytics.pool.leases import Ask, Lease, LeaseOutcome
from analytics.pool.lifecycle import OutOfTurn
from analytics.pool.members import Joining, Member
from analytics.pool.notices import NoAgentReason
from gateway import metrics
from gateway.http.auth import TokenScope
from gateway.pool import values
from gateway.pool.pools import Pools
from gateway.protocol import codes
from gateway.protocol.codes import ErrorReply
from gateway.websocket.methods import Caller, Method, Methods

Asked = TypeVar("Asked")
Handler = Callable[[Caller, Asked], Awaitable[object]]

REFUSALS: Final[dict[NoAgentReason, ErrorReply]] = {
    NoAgentReason.NOBODY: values.NOBODY,
    NoAgentReason.TIMED_OUT: values.WAITED,
    NoAgentReason.FULL: values.CROWDED,
    NoAgentReason.LEFT: values.STOPPING,
}


def methods(pools: Pools) -> Methods:
    """Return every method of the pool by name."""
    calls = Calls(pools)
    return {
        "pool.register": _method(values.Register, calls.register),
        "pool.heartbeat": _method(values.Heartbeat, calls.heartbeat),
        "pool.acquire": _method(values.Acquire, calls.acquire),
        "pool.renew": _method(values.Renew, calls.renew),
        "pool.release": _method(values.Release, calls.release),
        "pool.result": _method(values.WorkResult, calls.result),
        "pool.drain": _method(values.Named, calls.drain),
        "pool.leave": _method(values.Named, calls.leave),
    }


def _method(kind: type[Asked], handler: Handler[Asked]) -> Method:
    decoder = msgspec.json.Decoder(kind)

    async def called(caller: Caller, data: bytes) -> bytes | ErrorReply:
        try:
            caller.grant.require(TokenScope.WORK)
            answer = await handler(caller, clean.decoded(decoder.decode, data))
        except Forbidden:
            return codes.PERMISSION_DENIED
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, TooLarge) as error:
            return ErrorReply(codes.BAD_CALL.code, str(error))
        except OutOfTurn as error:
            return ErrorReply(values.OUT_OF_TURN.code, str(error))
        except Unavailable as error:
            return ErrorReply(values.POOL_FULL.code, str(error), temporary=True)
        return answer if isinstance(answer, ErrorReply) else values.encode(answer)

    return called


class Calls:
    """The methods, each a request's value in and an answer's out."""

    def __init__(self, pools: Pools) -> None:
        self._pools = pools

    async def register(
        self, caller: Caller, asked: values.Register
    ) -> values.Registered | ErrorReply:
        """Take an agent in, anew or back."""
        pools, tenant = self._pools, caller.grant.tenant
        if pools.stopping:
            return values.STOPPING
        agent = asked.agent or pools.new_id()
        rules = pools.known(tenant).rules
        known = pools.known(tenant).roster.get(agent)
        if known is not None and known.user != caller.grant.user:
            return codes.PERMISSION_DENIED
        joining = Joining(
            id=agent,
            card=asked.card,
            user=caller.grant.user,
            connection_id=caller.link.id,
            capacity=min(asked.capacity, rules.capacity_max),
            weight=asked.weight,
            upstreams=asked.upstreams,
            ready=asked.ready,
        )
        member = pools.register(tenant, joining, caller.link, held=asked.leases)
        return values.Registered(
            agent=agent,
            state=member.state,
            heartbeat_ms=rules.heartbeat_ms,
            suspend_ms=rules.suspend_ms,
            leases=list(member.leases),
        )

    async def heartbeat(self, caller: Caller, asked: values.Heartbeat) -> values.Beaten:
        """Note that agents of this connection are well."""
        tenant = caller.grant.tenant
        here = {one.id: one for one in self._pools.known(tenant).roster.on(caller.link.id)}
        named = asked.agents or tuple(here)
        self._pools.beat(tenant, [here[agent] for agent in named if agent in here])
        return values.Beaten(unknown=[agent for agent in named if agent not in here])

    async def acquire(self, caller: Caller, asked: values.Acquire) -> values.Acquired | ErrorReply:
        """Lease an agent, waiting for one if that is wanted."""
        pools, tenant = self._pools, caller.grant.tenant
        if pools.stopping:
            return values.STOPPING
        task = self._fitting(bytes(asked.task))
        ask = Ask(
            id=pools.new_id(),
            holder=caller.grant.user,
            connection_id=caller.link.id,
            needs=asked.needs,
            affinity=asked.affinity,
            lease_ms=asked.lease_ms or pools.known(tenant).rules.lease_ms,
            wait_ms=asked.wait_ms,
            task=task,
        )
        found = await pools.acquire(tenant, ask, caller.link)
        if isinstance(found, NoAgentReason):
            return REFUSALS[found]
        lasts_ms = max(0, found.until_ms - pools.now_ms())
        return values.Acquired(lease=found.id, agent=found.member, lasts_ms=lasts_ms)

    async def renew(self, caller: Caller, asked: values.Renew) -> values.Renewed | ErrorReply:
        """Let a lease last longer."""
        pools, grant = self._pools, caller.grant
        lease = self._lease(caller, asked.lease)
        if lease is None:
            kept = pools.claim(grant.tenant, grant.user, asked.lease, caller.link)
            return values.Renewed(lasts_ms=0) if kept else values.NOT_HERE
        pools.renew(grant.tenant, lease, asked.lease_ms)
        holds = lease.holder == grant.user
        if holds and not (self._works_on(caller, lease) and pools.is_followed(lease)):
            pools.follow(lease, caller.link)
        return values.Renewed(lasts_ms=max(0, lease.until_ms - self._pools.now_ms()))

    async def release(self, caller: Caller, asked: values.Release) -> dict[str, str] | ErrorReply:
        """Give a lease back."""
        lease = self._lease(caller, asked.lease)
        if lease is None or lease.holder != caller.grant.user:
            return values.UNKNOWN_LEASE
        self._pools.finish(caller.grant.tenant, lease, LeaseOutcome.RELEASED)
        return {}

    async def result(self, caller: Caller, asked: values.WorkResult) -> dict[str, str] | ErrorReply:
        """Hand back what came of the work."""
        answer = self._fitting(bytes(asked.answer))
        lease = self._lease(caller, asked.lease)
        if lease is None or not self._works_on(caller, lease):
            return values.UNKNOWN_LEASE
        outcome = LeaseOutcome.DONE if asked.ok else LeaseOutcome.FAILED
        self._pools.finish(caller.grant.tenant, lease, outcome, answer)
        return {}

    async def drain(self, caller: Caller, asked: values.Named) -> values.Standing | ErrorReply:
        """Let an agent finish and leave."""
        member = self._agent(caller, asked.agent)
        if member is None:
            return values.UNKNOWN_AGENT
        self._pools.drain(caller.grant.tenant, member)
        return values.Standing(member.state)

    async def leave(self, caller: Caller, asked: values.Named) -> values.Standing | ErrorReply:
        """Let an agent leave at once."""
        member = self._agent(caller, asked.agent)
        if member is None:
            return values.UNKNOWN_AGENT
        self._pools.remove(caller.grant.tenant, member)
        return values.Standing(member.state)

    def _fitting(self, data: bytes) -> bytes:
        limit = self._pools.ways.task_bytes_max
        if len(data) > limit:
            metrics.LIMITS_HIT.labels("pool_task_bytes_max").inc()
            raise TooLarge(f"{len(data)} bytes, at most {limit}; send where it lies instead")
        return data

    def _agent(self, caller: Caller, agent: str) -> Member | None:
        member = self._pools.known(caller.grant.tenant).roster.get(agent)
        return member if member is not None and member.connection_id == caller.link.id else None

    def _lease(self, caller: Caller, lease_id: str) -> Lease | None:
        """Return a lease that the caller holds, or works on."""
        lease = self._pools.known(caller.grant.tenant).leases.get(lease_id)
        if lease is None:
            return None
        mine = lease.holder == caller.grant.user or self._works_on(caller, lease)
        return lease if mine else None

    def _works_on(self, caller: Caller, lease: Lease) -> bool:
        return self._on(caller.grant.tenant, lease.member) == caller.link.id

    def _on(self, tenant: TenantId, agent: str) -> str:
        member = self._pools.known(tenant).roster.get(agent)
        return "" if member is None else member.connection_id
