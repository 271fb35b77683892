"""What one gateway does with many sockets, beside the broker, a bare server and a peer.

One gateway process on Apache Kafka; the sockets are this process's. Acknowledged publishes at fixed
rates count from the moment each was due, so a slow answer does not thin out the ones after it, and
are held against what the broker itself takes to acknowledge at the same rate. Memory of idle
connections is held against a FastAPI echo under the same server, fan-out against a server on the Go
library `centrifuge` with the same client. `MAINSTEM_BENCH_SHARE` (such as 0.1) makes it shorter.
"""

import asyncio
import contextlib
import gc
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Final

import uvloop
from aiokafka import AIOKafkaProducer
from msgspec import Struct

from analytics.contracts import topics
from apps.bench.report import BenchReport, Figure, percentile, report
from apps.local.ports import LOOPBACK
from tests.bench import gateway_parts
from tests.bench.gateway_parts import Server
from tests.bench.sockets import Peer, connected, opened

REQUIREMENTS = ("gateway-publish-latency", "gateway-throughput", "gateway-idle-memory")
SHARE: Final = float(os.environ.get("MAINSTEM_BENCH_SHARE", "1"))
SECONDS: Final = max(15 * SHARE, 3.0)
WARM_S: Final = 2.0
OPENING: Final = 200
"""Sockets that are opened at the same time."""
IDLE: Final = 2_000
IDLE_GOAL_KIB: Final = 40.0
IDLE_RATIO_GOAL: Final = 1.3
SINGLE_GOAL: Final = 8_000
BATCHED_GOAL: Final = 50_000
BATCH_EVENTS: Final = 100
PUSHERS: Final = 50
WINDOW: Final = 16
SUBSCRIBERS: Final = 1_000
NOTES: Final = max(int(200 * SHARE), 40)
NOTES_RATE: Final = 20
NOTE_BYTES: Final = 256
ROUNDS: Final = 3
DELIVERY_S: Final = 5.0
CHANNEL: Final = "notes:bench"
KIB: Final = 1_024

_EVENT: Final = (
    b'{"type":"prompt.submitted","id":"%b-%d","at_ms":%d,"source":"websocket","session_id":"bench-%d",'
    b'"project":"bench","agent":"claude-code","length":%d,"text":""}'
)


class Load(Struct, frozen=True):
    """So many connections with so many publishes a second of each."""

    connections: int
    rate: float
    above_ms: float
    """How much above the broker's own acknowledgement is allowed."""


LOADS: Final = (Load(100, 10.0, 20.0), Load(1_000, 2.0, 50.0), Load(10_000, 0.2, 100.0))


class Took(Struct, frozen=True):
    """How long publishes took, in milliseconds, and how many were not accepted."""

    ms: list[float]
    refused: int


class Rate(Struct, frozen=True):
    """What a server did with its CPU."""

    events: int
    cpu_s: float
    seconds: float

    @property
    def per_cpu_s(self) -> float:
        """Events a CPU-second."""
        return self.events / self.cpu_s


def run() -> BenchReport:
    """Measure one thing after the other."""
    with (
        TemporaryDirectory(prefix="bench-") as folder,
        gateway_parts.broker(Path(folder)) as broker,
    ):
        figures = uvloop.run(_all(Path(folder), broker))
    about = "Acknowledged publishes, sockets and fan-out of one gateway process on Apache Kafka."
    return report("gateway", about, figures=tuple(figures))


async def _all(folder: Path, broker: str) -> list[Figure]:
    figures: list[Figure] = []
    for load in LOADS:
        with gateway_parts.gateway(folder, broker) as server:
            figures += await _publishes(server, broker, load)
    with gateway_parts.gateway(folder, broker) as server:
        figures += await _throughput(server)
    figures += await _idle(folder, broker)
    figures += await _fan_out(folder, broker)
    return figures


async def _publishes(server: Server, broker: str, load: Load) -> list[Figure]:
    connections, rate = load.connections, load.rate
    began = time.perf_counter()
    peers = await open_many(connections, lambda: connected(LOOPBACK, server.port, server.token))
    opening_s = time.perf_counter() - began
    bare_ms = await _broker_alone(broker, connections * rate)
    took = await _paced(peers, rate)
    drop(peers)
    name = f"{connections:,} connections × {rate:g}/s"
    limit, found = percentile(bare_ms, 0.99), percentile(took.ms, 0.99)
    return [
        Figure(
            name=f"{name}: acknowledged p99 above the broker's own",
            value=found - limit,
            unit="ms",
            goal=load.above_ms,
            note=f"{took.refused} refused of {len(took.ms):,}",
        ),
        *(
            Figure(
                name=f"{name}: acknowledged p{share}",
                value=percentile(took.ms, share / 100),
                unit="ms",
                limit=percentile(bare_ms, share / 100),
            )
            for share in (50, 99)
        ),
        Figure(name=f"{name}: sockets opened", value=connections / opening_s, unit="/s"),
    ]


async def open_many(number: int, opener: Callable[[], Awaitable[Peer]]) -> list[Peer]:
    """Open so many sockets, some at a time."""
    slots = asyncio.Semaphore(OPENING)

    async def one() -> Peer:
        async with slots:
            return await opener()

    return list(await asyncio.gather(*(one() for _ in range(number))))


def drop(peers: Sequence[Peer]) -> None:
    """Drop sockets."""
    for peer in peers:
        peer.abort()


def _publish(prefix: bytes, number: int, count: int = 1) -> bytes:
    now_ms = time.time_ns() // 1_000_000
    made = b",".join(
        _EVENT % (prefix, number * count + one, now_ms, number % 1_000, number % 100)
        for one in range(count)
    )
    data = made if count == 1 else b"[%b]" % made
    return b'"rpc":{"method":"events.publish","data":%b}' % data


async def _paced(peers: Sequence[Peer], rate: float) -> Took:
    """Publish one event at a time on every socket, each at its own moments."""
    prefix = b"%x" % time.time_ns()
    took: list[float] = []
    refused = 0

    async def one(number: int, due: float, begins: float) -> None:
        nonlocal refused
        await asyncio.sleep(due - time.perf_counter())
        reply = await peers[number % len(peers)].call(_publish(prefix, number))
        if due >= begins:
            took.append((time.perf_counter() - due) * 1_000)
            refused += b'"accepted"' not in reply

    total = len(peers) * rate
    start = time.perf_counter() + 0.5
    moments = [start + number / total for number in range(int(total * (SECONDS + WARM_S)))]
    await asyncio.gather(*(one(n, due, start + WARM_S) for n, due in enumerate(moments)))
    return Took(took, refused)


async def _broker_alone(broker: str, rate: float) -> list[float]:
    """Return how long the broker takes to acknowledge one record, at this rate."""
    producer = AIOKafkaProducer(
        bootstrap_servers=broker, acks="all", enable_idempotence=True, linger_ms=0
    )
    await producer.start()
    took: list[float] = []

    async def one(number: int, due: float, begins: float) -> None:
        await asyncio.sleep(due - time.perf_counter())
        value = _EVENT % (b"bare", number, 1, number % 1_000, 1)
        await (await producer.send(topics.AGENTS.address, value, key=b"%d" % (number % 1_000)))
        if due >= begins:
            took.append((time.perf_counter() - due) * 1_000)

    try:
        start = time.perf_counter() + 0.5
        moments = [start + number / rate for number in range(int(rate * (SECONDS + WARM_S)))]
        await asyncio.gather(*(one(n, due, start + WARM_S) for n, due in enumerate(moments)))
    finally:
        await producer.stop()
    return took


async def _throughput(server: Server) -> list[Figure]:
    peers = await open_many(PUSHERS, lambda: connected(LOOPBACK, server.port, server.token))
    single = [await _pushed(server, peers, 1) for _ in range(ROUNDS)]
    batched = [await _pushed(server, peers, BATCH_EVENTS) for _ in range(ROUNDS)]
    drop(peers)
    return [
        Figure(
            name=f"acknowledged events a CPU-second of the gateway, {name}",
            value=median(one.per_cpu_s for one in rates),
            unit="/s",
            goal=goal,
            at_least=True,
            note=f"{median(one.events / one.seconds for one in rates):,.0f} a second",
        )
        for name, rates, goal in (
            ("one a call", single, SINGLE_GOAL),
            (f"{BATCH_EVENTS} a call", batched, BATCHED_GOAL),
        )
    ]


async def _pushed(server: Server, peers: Sequence[Peer], count: int) -> Rate:
    """Publish as fast as answers come, with a few calls under way on each socket."""
    prefix = b"%x" % time.time_ns()
    ends = time.perf_counter() + SECONDS / 3
    calls = 0

    async def one(peer: Peer, first: int) -> None:
        nonlocal calls
        number = first
        while time.perf_counter() < ends:
            await peer.call(_publish(prefix, number, count))
            calls += 1
            number += PUSHERS * WINDOW

    window = WINDOW if count == 1 else 2
    cpu_s, began = server.cpu_s(), time.perf_counter()
    await asyncio.gather(
        *(one(peer, n * WINDOW + w) for n, peer in enumerate(peers) for w in range(window))
    )
    return Rate(calls * count, server.cpu_s() - cpu_s, time.perf_counter() - began)


async def _idle(folder: Path, broker: str) -> list[Figure]:
    with gateway_parts.gateway(folder, broker) as server:
        ours = await _idle_kib(server, lambda: connected(LOOPBACK, server.port, server.token))
    with gateway_parts.bare_echo() as server:
        bare = await _idle_kib(server, lambda: opened(LOOPBACK, server.port, "/"))
    return [
        Figure(
            name="memory of an idle connection",
            value=ours,
            unit="KiB",
            limit=bare,
            goal=IDLE_GOAL_KIB,
        ),
        Figure(
            name="memory of an idle connection, to a bare echo's",
            value=ours / bare,
            unit="×",
            goal=IDLE_RATIO_GOAL,
        ),
    ]


async def _idle_kib(server: Server, opener: Callable[[], Awaitable[Peer]]) -> float:
    drop(await open_many(OPENING, opener))
    await asyncio.sleep(1)
    before = server.memory_bytes()
    peers = await open_many(IDLE, opener)
    await asyncio.sleep(1)
    grown = server.memory_bytes() - before
    drop(peers)
    return grown / IDLE / KIB


async def _fan_out(folder: Path, broker: str) -> list[Figure]:
    peer_us: list[float] = []
    ours_us: list[float] = []
    lost = 0
    with gateway_parts.gateway(folder, broker) as server, gateway_parts.go_peer(folder) as peer:
        for _ in range(ROUNDS):
            for one, found in ((server, ours_us), (peer, peer_us)):
                micros, missing = await _delivered(one)
                found.append(micros)
                lost += missing
    ours, theirs = median(ours_us), median(peer_us)
    return [
        Figure(
            name=f"CPU of a delivery to {SUBSCRIBERS:,} subscribers",
            value=ours,
            unit="µs",
            limit=theirs,
            goal=theirs,
            note="beside the Go library's server",
        ),
        Figure(name="deliveries that did not come", value=lost, unit="", goal=0),
    ]


async def _delivered(server: Server) -> tuple[float, int]:
    """Publish notes to many subscribers; return the CPU of one delivery, and what is missing."""
    gc.collect()
    heard = 0
    everything = asyncio.Event()

    def push(_: bytes) -> None:
        nonlocal heard
        heard += 1
        if heard == NOTES * SUBSCRIBERS:
            everything.set()

    async def subscriber() -> Peer:
        peer = await connected(LOOPBACK, server.port, server.token, on_push=push)
        await peer.call(b'"subscribe":{"channel":"%b"}' % CHANNEL.encode())
        return peer

    peers = await open_many(SUBSCRIBERS, subscriber)
    sender = await connected(LOOPBACK, server.port, server.token)
    await sender.call(server.note(CHANNEL, b'"warm"'))
    await asyncio.sleep(1)
    heard, cpu_s, start = 0, server.cpu_s(), time.perf_counter()
    text = b'"%b"' % (b"x" * (NOTE_BYTES - 2))
    for number in range(NOTES):
        await asyncio.sleep(start + number / NOTES_RATE - time.perf_counter())
        await sender.call(server.note(CHANNEL, text))
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(DELIVERY_S):
            await everything.wait()
    micros = (server.cpu_s() - cpu_s) / (NOTES * SUBSCRIBERS) * 1e6
    drop([*peers, sender])
    await asyncio.sleep(1)
    return micros, NOTES * SUBSCRIBERS - heard
