"""Sends events at a steady rate, as a fleet does: a process of its own beside what is measured.

Each event happens when it is sent and counts as sent once the broker acknowledged it (acks=all); in
the end `Paced.sent` is exact, and they are the first so many of the load. A sender that falls
behind sends later what was due, and `Paced.behind_ms` says by how much it was behind at most.
"""

import asyncio
import multiprocessing
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.sharedctypes import Synchronized
from multiprocessing.synchronize import Event
from typing import Final, NamedTuple

from aiokafka import AIOKafkaProducer

from analytics.contracts import topics
from tests.bench.preload import Load, made

TURN_S: Final = 0.02
"""How often what is due is sent."""
FLYING_MAX: Final = 20_000
"""Events that may wait for their acknowledgement."""
START_S: Final = 30.0
STOP_S: Final = 60.0


class Signals(NamedTuple):
    """What the sender and whoever started it tell each other."""

    sent: "Synchronized[int]"
    behind_ms: "Synchronized[int]"
    started: Event
    stop: Event


class Paced:
    """A load on its way."""

    def __init__(self, load: Load, pid: int, signals: Signals) -> None:
        self.load = load
        self.pid = pid
        self._signals = signals

    @property
    def sent(self) -> int:
        """How many events were acknowledged; exact once the load has ended."""
        return int(self._signals.sent.value)

    @property
    def behind_ms(self) -> int:
        """How far the sender was behind its pace at most."""
        return int(self._signals.behind_ms.value)


@contextmanager
def pacing(broker: str, load: Load) -> Iterator[Paced]:
    """Send `load.rate` events a second until the context ends, or all are sent."""
    context = multiprocessing.get_context("spawn")
    signals = Signals(
        context.Value("q", 0), context.Value("q", 0), context.Event(), context.Event()
    )
    sender = context.Process(target=_run, args=(broker, load, signals))
    sender.start()
    try:
        if not signals.started.wait(START_S):
            raise TimeoutError(f"the sender of the load did not start within {START_S:g} s")
        assert sender.pid is not None
        yield Paced(load, sender.pid, signals)
    finally:
        signals.stop.set()
        sender.join(STOP_S)
        if sender.exitcode is None:
            sender.kill()
            sender.join(STOP_S)
    if sender.exitcode:
        raise RuntimeError(f"the sender of the load ended with {sender.exitcode}")


def _run(broker: str, load: Load, signals: Signals) -> None:
    asyncio.run(_Sender(load, signals).run(broker))


class _Sender:
    def __init__(self, load: Load, signals: Signals) -> None:
        self._load = load
        self._signals = signals
        self._flying: set[asyncio.Future[object]] = set()
        self._failed: list[asyncio.Future[object]] = []

    async def run(self, broker: str) -> None:
        producer = AIOKafkaProducer(
            bootstrap_servers=broker, acks="all", linger_ms=5, max_batch_size=128 * 1024
        )
        await producer.start()
        try:
            began = time.monotonic()
            self._signals.started.set()
            number = 0
            while number < self._load.events and not self._signals.stop.is_set():
                due = min(int((time.monotonic() - began) * self._load.rate), self._load.events)
                self._behind(due - number)
                while number < due:
                    await self._send(producer, number)
                    number += 1
                await asyncio.sleep(TURN_S)
            await asyncio.gather(*self._flying, *self._failed)
        finally:
            await producer.stop()

    async def _send(self, producer: AIOKafkaProducer, number: int) -> None:
        one = made(self._load, number, time.time_ns() // 1_000_000)
        future = await producer.send(
            topics.AGENTS.address,
            one.value,
            key=one.key,
            timestamp_ms=one.at_ms,
            headers=one.headers,
        )
        self._flying.add(future)
        future.add_done_callback(self._acknowledged)
        if len(self._flying) >= FLYING_MAX:
            await asyncio.wait(self._flying, return_when=asyncio.FIRST_COMPLETED)

    def _acknowledged(self, future: "asyncio.Future[object]") -> None:
        self._flying.discard(future)
        if future.cancelled() or future.exception() is not None:
            self._failed.append(future)
        else:
            self._signals.sent.value += 1

    def _behind(self, events: int) -> None:
        behind_ms = events * 1_000 // self._load.rate
        worst = self._signals.behind_ms
        worst.value = max(worst.value, behind_ms)
