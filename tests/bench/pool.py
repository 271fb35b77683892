"""What a session costs in a pool: many over one socket, beside one socket each, in the same run.

Agents come to one gateway process on Apache Kafka, register, and show themselves once; first each
by a socket of its own, then a hundred to a socket, as a fleet's host would hold them. Counted are
handshakes, bytes on the wire both ways, and by how much the gateway's memory grew. Then work is
leased: in this process alone, over sockets with agents that wait, and cold, where the agent first
has to connect and register.
"""

import asyncio
import random
import re
import time
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Final

import uvloop
from msgspec import Struct

from analytics.pool.leases import Ask, LeaseOutcome
from analytics.pool.members import Joining
from analytics.pool.notices import Granted
from analytics.pool.pool import Pool
from analytics.pool.rules import Rules
from analytics.pool.skills import ANYBODY, AgentCard
from apps.bench.report import BenchReport, Figure, percentile, report
from apps.local.ports import LOOPBACK
from tests.bench import gateway_parts
from tests.bench.gateway import drop, open_many
from tests.bench.gateway_parts import Server
from tests.bench.sockets import Peer, connected

REQUIREMENTS = ("gateway-session-overhead", "pool-acquire")
SESSIONS: Final = 1_000
A_SOCKET: Final = 100
"""Sessions that share a socket."""
SAVED_GOAL: Final = 0.5
ROUNDS: Final = 3
LEASES: Final = 2_000
COLD: Final = 200
PROCESS_GOAL_MS: Final = 5.0
COLD_GOAL_MS: Final = 100.0
SETTLE_S: Final = 1.0
WARMING: Final = 50
"""Sockets that come and go first: what the process takes once is no session's."""
KIB: Final = 1_024
CARD: Final = b'{"name":"coder","version":"1","skills":[{"id":"code"},{"id":"review"}]}'
_LEASE: Final = re.compile(rb'"type":"pool\.work".*?"lease":"([^"]+)"')


class Cost(Struct, frozen=True):
    """What sessions cost together."""

    handshakes: int
    wire_bytes: int
    memory_bytes: int


def run() -> BenchReport:
    """Measure overhead, then leases."""
    figures = _in_process()
    with (
        TemporaryDirectory(prefix="bench-") as folder,
        gateway_parts.broker(Path(folder)) as broker,
    ):
        figures += uvloop.run(_all(Path(folder), broker))
    about = f"{SESSIONS:,} sessions of agents at one gateway, {A_SOCKET} a socket and one each."
    return report("pool", about, figures=tuple(figures))


async def _all(folder: Path, broker: str) -> list[Figure]:
    apart: list[Cost] = []
    pooled: list[Cost] = []
    for _ in range(ROUNDS):
        for a_socket, found in ((1, apart), (A_SOCKET, pooled)):
            with gateway_parts.gateway(folder, broker) as server:
                found.append(await _sessions(server, a_socket))
    figures = _saved(apart, pooled)
    with gateway_parts.gateway(folder, broker) as server:
        return [*figures, *await _leased(server), *await _cold(server)]


def _saved(apart: Sequence[Cost], pooled: Sequence[Cost]) -> list[Figure]:
    """Return what sharing saves of each cost, by the medians of the rounds."""
    figures = []
    for name, of, unit, scale in (
        ("handshakes", lambda cost: cost.handshakes, "", 1),
        ("bytes on the wire", lambda cost: cost.wire_bytes, "B", 1),
        ("memory of the gateway", lambda cost: cost.memory_bytes, "KiB", KIB),
    ):
        alone = median(map(of, apart)) / SESSIONS / scale
        shared = median(map(of, pooled)) / SESSIONS / scale
        figures += [
            Figure(name=f"a session's {name}, pooled", value=shared, unit=unit, limit=alone),
            Figure(
                name=f"a session's {name}: saved",
                value=1 - shared / alone,
                unit="",
                goal=SAVED_GOAL,
                at_least=True,
                note=f"{alone:,.1f} with a socket each, {A_SOCKET} a socket {shared:,.2f}",
            ),
        ]
    return figures


async def _sessions(server: Server, a_socket: int) -> Cost:
    """Let agents come and show themselves once; return what that cost."""

    async def opener() -> Peer:
        return await connected(LOOPBACK, server.port, server.token)

    drop(await open_many(WARMING, opener))
    await asyncio.sleep(SETTLE_S)
    before = server.memory_bytes()
    peers = await open_many(SESSIONS // a_socket, opener)
    numbers = count()
    for peer in peers:
        for _ in range(a_socket):
            await _register(peer, f"agent-{next(numbers)}")
    for peer in peers:
        await peer.call(b'"rpc":{"method":"pool.heartbeat","data":{}}')
    await asyncio.sleep(SETTLE_S)
    grown = server.memory_bytes() - before
    wire = sum(peer.sent_bytes + peer.received_bytes for peer in peers)
    drop(peers)
    return Cost(handshakes=len(peers), wire_bytes=wire, memory_bytes=grown)


async def _register(peer: Peer, agent: str) -> None:
    asked = b'{"agent":"%b","capacity":4,"card":%b}' % (agent.encode(), CARD)
    reply = await peer.call(b'"rpc":{"method":"pool.register","data":%b}' % asked)
    assert b'"ready"' in reply, reply


def _in_process() -> list[Figure]:
    """Lease from a full pool with nothing around it."""
    ids = count()
    pool = Pool(Rules(), chance=random.Random(1).random, new_id=lambda: f"l{next(ids)}")
    card = AgentCard(name="coder")
    for number in range(SESSIONS):
        joining = Joining(
            id=f"agent-{number}", card=card, user="ada", connection_id=f"c{number}", capacity=4
        )
        pool.register(joining, number)
    pool.take()
    took_ms = []
    for number in range(LEASES):
        now_ms = SESSIONS + number
        ask = Ask(
            id=f"q{number}", holder="grace", connection_id="h", needs=ANYBODY, lease_ms=60_000
        )
        began = time.perf_counter()
        pool.acquire(ask, now_ms)
        notices = pool.take()
        took_ms.append((time.perf_counter() - began) * 1_000)
        [lease] = [one.lease for one in notices if isinstance(one, Granted)]
        pool.finish(lease, LeaseOutcome.DONE, now_ms=now_ms)
        pool.take()
    return _times(f"to acquire a ready agent of {SESSIONS:,}, in process", took_ms, PROCESS_GOAL_MS)


async def _leased(server: Server) -> list[Figure]:
    """Lease agents that are there, one after the other, and let them answer."""
    hosts = await open_many(SESSIONS // A_SOCKET, lambda: _host(server))
    for number, host in enumerate(hosts):
        for one in range(A_SOCKET):
            await _register(host, f"warm-{number}-{one}")
    holder = await connected(LOOPBACK, server.port, server.token)
    took_ms = []
    for _ in range(LEASES):
        began = time.perf_counter()
        reply = await holder.call(_ACQUIRE % 0)
        took_ms.append((time.perf_counter() - began) * 1_000)
        assert b'"lease"' in reply, reply
    drop([*hosts, holder])
    return _times("to acquire a ready agent, over a socket", took_ms, PROCESS_GOAL_MS)


async def _cold(server: Server) -> list[Figure]:
    """Ask while nobody is there; the agent connects, registers and is leased."""
    holder = await connected(LOOPBACK, server.port, server.token)
    took_ms = []
    for number in range(COLD):
        began = time.perf_counter()
        asked = holder.call(_ACQUIRE_COLD % (number, 5_000))
        agent = await _host(server)
        card = b'{"name":"coder","version":"1","skills":[{"id":"cold-%d"}]}' % number
        registering = agent.call(
            b'"rpc":{"method":"pool.register","data":{"agent":"cold-%d","card":%b}}'
            % (number, card)
        )
        reply = await asked
        took_ms.append((time.perf_counter() - began) * 1_000)
        assert b'"lease"' in reply, reply
        await registering
        agent.abort()
    drop([holder])
    return _times("to acquire an agent that has yet to connect", took_ms, COLD_GOAL_MS)


async def _host(server: Server) -> Peer:
    """Return a socket that answers all work at once."""
    held: list[Peer] = []

    def worked(push: bytes) -> None:
        found = _LEASE.search(push)
        if found is not None and not held[0].closed:
            held[0].send(_RESULT % (UNHEARD, found[1]))

    peer = await connected(LOOPBACK, server.port, server.token, on_push=worked)
    held.append(peer)
    return peer


def _times(name: str, took_ms: list[float], goal_ms: float) -> list[Figure]:
    return [
        Figure(name=f"{name}: p50", value=percentile(took_ms, 0.5), unit="ms"),
        Figure(name=f"{name}: p95", value=percentile(took_ms, 0.95), unit="ms", goal=goal_ms),
    ]


_ACQUIRE: Final = b'"rpc":{"method":"pool.acquire","data":{"needs":{"skill":"code"},"wait_ms":%d}}'
_ACQUIRE_COLD: Final = (
    b'"rpc":{"method":"pool.acquire","data":{"needs":{"skill":"cold-%d"},"wait_ms":%d}}'
)
_RESULT: Final = b'{"id":%d,"rpc":{"method":"pool.result","data":{"lease":"%b"}}}'
UNHEARD: Final = 2**32 - 1
"""The number of calls whose answers nobody waits for."""
