"""What clients notice when something around a gateway fails, with real processes and sockets.

A node is killed with a thousand watchers on it, who come back to another node from where they were;
a node is replaced by SIGTERM while senders send; one of a thousand watchers does not read; the
broker, or Redis, is gone for a minute; calls take that long, and so does the event loop.
`MAINSTEM_BENCH_SHARE` (such as 0.1) makes crowds and times smaller.
"""

import asyncio
import contextlib
import os
import random
import re
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import uvloop

from apps.bench.report import BenchReport, Figure, percentile, report
from apps.local.ports import LOOPBACK
from tests.bench import gateway_parts, gateway_stalls
from tests.bench.gateway import CHANNEL, drop, open_many
from tests.bench.gateway_parts import Server
from tests.bench.sockets import Peer, Refused, connected

REQUIREMENTS = ("gateway-faults",)
SHARE: Final = float(os.environ.get("MAINSTEM_BENCH_SHARE", "1"))
WATCHERS: Final = max(int(1_000 * SHARE), 100)
NOTES: Final = max(int(400 * SHARE), 100)
NOTES_RATE: Final = 20
KILLED_AFTER: Final = 0.4
"""Which part of the notes is sent before a node is killed."""
BACKOFF_S: Final = 1.0
"""How long a client waits at most before it comes back, by chance."""
BACK_GOAL_S: Final = 5.0
SETTLE_S: Final = 15.0
SLOWER_GOAL: Final = 1.2
AWAY_S: Final = max(60.0 * SHARE, 10.0)
SENDERS: Final = 20
SEND_RATE: Final = 5.0
_OFFSET: Final = re.compile(rb'"offset":(\d+)')
_EPOCH: Final = re.compile(rb'"epoch":"([^"]*)"')


class Watcher:
    """A client that is in the channel, and comes back to where it was."""

    def __init__(self) -> None:
        self.seen: list[int] = []
        self.took_ms: list[float] = []
        self.back_s = 0.0
        self._at = (b"", 0)
        self._early: list[int] | None = None
        """What came while the answer to a subscription was not looked at yet."""
        self._peer: Peer | None = None

    async def join(self, server: Server, *, recover: bool = False) -> None:
        """Connect and subscribe; with `recover`, from the last publication that was seen."""
        self._early = []
        self._peer = await connected(LOOPBACK, server.port, server.token, on_push=self._push)
        asked = b'"channel":"%b"' % CHANNEL.encode()
        if recover:
            asked += b',"recover":true,"epoch":"%b","offset":%d' % self._at
        reply = await self._peer.call(b'"subscribe":{%b}' % asked)
        epoch, offset = _EPOCH.search(reply), _OFFSET.findall(reply)
        if recover and b'"recovered":true' not in reply:
            raise Refused(f"not recovered: {reply[:200]!r}")
        if recover:
            published = reply.partition(b'"publications":')[2].partition(b"]")[0]
            for number in _OFFSET.findall(published):
                self._take(int(number))
        elif epoch and offset:
            self._at = (epoch[1], int(offset[-1]))
        early, self._early = self._early, None
        for number in early:
            self._take(number)

    async def come_back(self, server: Server, killed_s: float) -> None:
        """Wait a moment by chance, then recover on another node until it works."""
        while True:
            await asyncio.sleep(random.random() * BACKOFF_S)
            try:
                await self.join(server, recover=True)
            except (OSError, TimeoutError):
                continue
            self.back_s = time.perf_counter() - killed_s
            return

    def drop(self) -> None:
        """Leave."""
        if self._peer is not None:
            self._peer.abort()

    def _push(self, push: bytes) -> None:
        found = _OFFSET.search(push)
        if found is not None and self._early is not None:
            self._early.append(int(found[1]))
        elif found is not None:
            self._take(int(found[1]))

    def _take(self, offset: int) -> None:
        self.seen.append(offset)
        self._at = (self._at[0], offset)


def run() -> BenchReport:
    """Let one thing after the other fail."""
    with TemporaryDirectory(prefix="bench-") as folder, gateway_parts.kafka(Path(folder)) as node:
        figures = uvloop.run(_all(Path(folder), node))
    about = "What clients notice when something around a gateway fails."
    return report("gateway-faults", about, figures=tuple(figures))


async def _all(folder: Path, node: gateway_parts.KafkaNode) -> list[Figure]:
    figures = await _killed(folder, node.address)
    figures += await _stuck(folder, node.address)
    figures += await _replaced(folder, node.address)
    figures += await gateway_stalls.redis_gone(folder, node.address, away_s=AWAY_S)
    figures += await gateway_stalls.handler_busy(folder, node.address, busy_s=AWAY_S)
    figures += await _broker_gone(folder, node)
    return figures


async def _publish_notes(server: Server, number: int, *, first: int = 0) -> list[int]:
    """Publish so many notes at a steady rate, each acknowledged; return their numbers."""
    sender = await connected(LOOPBACK, server.port, server.token)
    start = time.perf_counter()
    for one in range(number):
        await asyncio.sleep(start + one / NOTES_RATE - time.perf_counter())
        reply = await sender.call(server.note(CHANNEL, b'{"n":%d}' % (first + one)))
        if b'"error"' in reply:
            raise Refused(reply.decode())
    sender.abort()
    return list(range(first, first + number))


async def _killed(folder: Path, broker: str) -> list[Figure]:
    """Kill a node that all watchers are on, while another publishes."""
    with (
        gateway_parts.gateway(folder, broker) as other,
        gateway_parts.gateway(folder, broker) as node,
    ):
        watchers = [Watcher() for _ in range(WATCHERS)]
        await _together(watchers, node)
        publishing = asyncio.create_task(_publish_notes(other, NOTES))
        await asyncio.sleep(NOTES * KILLED_AFTER / NOTES_RATE)
        node.signal(signal.SIGKILL)
        killed_s = time.perf_counter()
        await asyncio.gather(*(one.come_back(other, killed_s) for one in watchers))
        await publishing
        await _all_seen(watchers, NOTES)
        lost = sum(max(NOTES - len(set(one.seen)), 0) for one in watchers)
        repeated = sum(len(one.seen) - len(set(one.seen)) for one in watchers)
        disordered = sum(one.seen != sorted(one.seen) for one in watchers)
        for one in watchers:
            one.drop()
    backs = [one.back_s for one in watchers]
    name = f"node killed with {WATCHERS:,} watchers"
    return [
        Figure(name=f"{name}: back and recovered, p99", value=percentile(backs, 0.99), unit="s",
               goal=BACK_GOAL_S,
               note=f"p50 {percentile(backs, 0.5):.2f} s, {BACKOFF_S:g} s of jitter"),
        Figure(name=f"{name}: publications lost", value=lost, unit="", goal=0,
               note=f"of {NOTES * WATCHERS:,}"),
        Figure(name=f"{name}: publications repeated", value=repeated, unit="", goal=0),
        Figure(name=f"{name}: watchers that saw disorder", value=disordered, unit="", goal=0),
    ]  # fmt: skip


async def _together(watchers: Sequence[Watcher], server: Server) -> None:
    slots = asyncio.Semaphore(100)

    async def one(watcher: Watcher) -> None:
        async with slots:
            await watcher.join(server)

    await asyncio.gather(*map(one, watchers))


async def _all_seen(watchers: Sequence[Watcher], number: int) -> None:
    ends = time.perf_counter() + SETTLE_S
    while time.perf_counter() < ends:
        if all(len(set(one.seen)) >= number for one in watchers):
            return
        await asyncio.sleep(0.1)


async def _stuck(folder: Path, broker: str) -> list[Figure]:
    """Publish to a crowd with and without one that does not read."""
    with gateway_parts.gateway(folder, broker) as server:
        free = await _delivery_ms(server, stuck=False)
        with_one = await _delivery_ms(server, stuck=True)
    limit, found = percentile(free, 0.99), percentile(with_one, 0.99)
    return [
        Figure(
            name=f"one of {WATCHERS:,} watchers does not read: the others' p99",
            value=found,
            unit="ms",
            limit=limit,
            goal=SLOWER_GOAL * limit,
        )
    ]


async def _delivery_ms(server: Server, *, stuck: bool) -> list[float]:
    took: list[float] = []

    def push(frame: bytes) -> None:
        sent = re.search(rb'"t":(\d+)', frame)
        if sent is not None:
            took.append((time.perf_counter_ns() - int(sent[1])) / 1e6)

    async def one() -> Peer:
        peer = await connected(LOOPBACK, server.port, server.token, on_push=push)
        await peer.call(b'"subscribe":{"channel":"%b"}' % CHANNEL.encode())
        return peer

    peers = await open_many(WATCHERS, one)
    if stuck:
        peers[0].stop_reading()
    sender = await connected(LOOPBACK, server.port, server.token)
    filling = b"x" * 4_000
    for _ in range(NOTES // 2):
        data = b'{"t":%d,"filling":"%b"}' % (time.perf_counter_ns(), filling)
        await sender.call(server.note(CHANNEL, data))
        await asyncio.sleep(1 / NOTES_RATE)
    await asyncio.sleep(1)
    drop([*peers, sender])
    return took


class Sender:
    """Sends events with ids, again until each is acknowledged, to whatever node there is."""

    def __init__(self, number: int) -> None:
        self.acknowledged: list[str] = []
        self.waited_s = 0.0
        self._number = number

    async def run(self, nodes: Sequence[Server], stopping: asyncio.Event) -> None:
        """Send at a steady rate until told to stop."""
        count = 0
        peer: Peer | None = None
        while not stopping.is_set():
            name = f"fault-{time.time_ns():x}-{self._number}-{count}"
            begun = time.perf_counter()
            while name not in self.acknowledged[-1:] and not stopping.is_set():
                try:
                    if peer is None or peer.closed:
                        at = random.choice([one for one in nodes if one.alive])
                        peer = await connected(LOOPBACK, at.port, at.token)
                    async with asyncio.timeout(SETTLE_S):
                        reply = await peer.call(_event(name, self._number))
                except (OSError, Refused, TimeoutError, IndexError):
                    peer = None
                    await asyncio.sleep(0.2)
                    continue
                if b'"accepted"' in reply or b'"duplicate"' in reply:
                    self.acknowledged.append(name)
                else:
                    await asyncio.sleep(0.2)
            self.waited_s = max(self.waited_s, time.perf_counter() - begun)
            count += 1
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1 / SEND_RATE):
                    await stopping.wait()
        if peer is not None:
            peer.abort()


def _event(name: str, number: int) -> bytes:
    about = (name.encode(), time.time_ns() // 1_000_000, number)
    return (
        b'"rpc":{"method":"events.publish","data":{"type":"prompt.submitted","id":"%b",'
        b'"at_ms":%d,"source":"websocket","session_id":"fault-%d","project":"bench",'
        b'"agent":"claude-code","length":1,"text":""}}' % about
    )


async def _replaced(folder: Path, broker: str) -> list[Figure]:
    """Replace nodes one after the other as a rollout does, while senders send."""
    nodes: list[Server] = []
    stopping = asyncio.Event()
    senders = [Sender(number) for number in range(SENDERS)]
    with contextlib.ExitStack() as stack:
        nodes += [stack.enter_context(gateway_parts.gateway(folder, broker)) for _ in range(2)]
        sending = [asyncio.create_task(one.run(nodes, stopping)) for one in senders]
        await asyncio.sleep(2)
        for old in list(nodes):
            opening = gateway_parts.gateway(folder, broker)
            nodes.append(await asyncio.to_thread(stack.enter_context, opening))
            old.signal(signal.SIGTERM)
            await asyncio.to_thread(old.wait)
        await asyncio.sleep(2)
        stopping.set()
        await asyncio.gather(*sending)
    return await _told("nodes replaced one by one", senders, broker)


async def _broker_gone(folder: Path, node: gateway_parts.KafkaNode) -> list[Figure]:
    """Kill the broker, and start it again after a minute, while senders send."""
    stopping = asyncio.Event()
    senders = [Sender(number) for number in range(SENDERS)]
    with gateway_parts.gateway(folder, node.address) as server:
        sending = [asyncio.create_task(one.run([server], stopping)) for one in senders]
        await asyncio.sleep(3)
        before = server.memory_bytes()
        await asyncio.to_thread(node.kill)
        await asyncio.sleep(AWAY_S)
        grown = (server.memory_bytes() - before) / 2**20
        await asyncio.to_thread(node.start)
        await asyncio.sleep(SETTLE_S)
        stopping.set()
        await asyncio.gather(*sending)
        alive = server.alive
    name = f"broker gone for {AWAY_S:g} s"
    return [
        *await _told(name, senders, node.address),
        Figure(name=f"{name}: memory grew by", value=grown, unit="MiB", goal=32),
        Figure(name=f"{name}: gateways that had to be restarted", value=not alive, unit="", goal=0),
    ]


async def _told(name: str, senders: Sequence[Sender], broker: str) -> list[Figure]:
    """Hold what was acknowledged against what the broker has."""
    acknowledged = {one for sender in senders for one in sender.acknowledged}
    stored = await gateway_parts.ids_on(broker)
    twice = sum(stored[one] > 1 for one in acknowledged)
    longest = max(sender.waited_s for sender in senders)
    return [
        Figure(name=f"{name}: acknowledged events lost", goal=0, unit="",
               value=len(acknowledged - stored.keys()), note=f"of {len(acknowledged):,}"),
        Figure(name=f"{name}: on the broker more than once", value=twice, unit="",
               note="the worker counts each once"),
        Figure(name=f"{name}: longest wait of one event", value=longest, unit="s"),
    ]  # fmt: skip
