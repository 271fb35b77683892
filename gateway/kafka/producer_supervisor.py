"""Keeps a producer that works, for as long as the gateway lives.

A broker that is away is asked again and again, one that comes and goes is told of, and a producer
that was fenced off or spoiled is replaced. One without idempotence serves brokers that have none.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Final, Protocol

from aiokafka.errors import IncompatibleBrokerVersion, KafkaError, UnknownError

from analytics.contracts.errors import MainstemError
from gateway.http.shutdown import bounded
from gateway.kafka.producer import FencedProducer

PROBE_MS: Final = 1_000
PROBE_LIMIT_MS: Final = 3_000
BACKOFF_MS: Final = (100, 200, 400, 800, 1_500)

log = logging.getLogger(__name__)


class ProducerFactory(Protocol):
    """Makes a producer, not yet started."""

    def __call__(self, *, idempotent: bool) -> FencedProducer:
        """Return it."""
        ...


class Note(Protocol):
    """Is told whether the broker answers."""

    def __call__(self, *, up: bool) -> None:
        """Take notice."""
        ...


class ProducerSupervisor:
    """See the module; `note` is told whether the broker answers."""

    def __init__(
        self,
        connect: "ProducerFactory",
        *,
        note: "Note",
        gone: Callable[[], None],
        drain_ms: int,
    ) -> None:
        """`gone` is called after a producer was discarded, whatever it had left."""
        self.producer: FencedProducer | None = None
        self._connect = connect
        self._note = note
        self._gone = gone
        self._drain_ms = drain_ms

    async def run(self) -> None:
        """Keep a producer until cancelled."""
        failures = 0
        idempotent = True
        while True:
            producer = self._connect(idempotent=idempotent)
            try:
                await producer.start()
            except (UnknownError, IncompatibleBrokerVersion) as error:
                await _discard(producer)
                if idempotent:
                    idempotent = False
                    continue
                failures = await _wait(failures, error)
            except (KafkaError, MainstemError, OSError, TimeoutError) as error:
                await _discard(producer)
                failures = await _wait(failures, error)
            except asyncio.CancelledError:
                await _discard(producer)
                raise
            else:
                failures = 0
                self.producer = producer
                log.info("broker is there", extra={"idempotent": idempotent})
                await self._watch(producer)
                await self.drop()

    async def drop(self) -> None:
        """Let the producer send what it has, within `drain_ms`, and disconnect."""
        self._note(up=False)
        producer, self.producer = self.producer, None
        if producer is not None:
            await _discard(producer, limit_ms=self._drain_ms)
            self._gone()

    async def _watch(self, producer: FencedProducer) -> None:
        """Follow the broker's coming and going; return when the producer is of no use any more."""
        while producer.alive:
            answers = await _answers(producer)
            self._note(up=answers and producer.alive)
            await asyncio.sleep(PROBE_MS / 1_000)


async def _answers(producer: FencedProducer) -> bool:
    try:
        return await bounded(producer.probe(), within_ms=PROBE_LIMIT_MS)
    except (KafkaError, MainstemError, OSError, TimeoutError):
        return False


async def _wait(failures: int, error: BaseException) -> int:
    if not failures:
        log.warning("broker is not there yet", extra={"reason": str(error)})
    await asyncio.sleep(BACKOFF_MS[min(failures, len(BACKOFF_MS) - 1)] / 1_000)
    return failures + 1


async def _discard(producer: FencedProducer, *, limit_ms: int = PROBE_LIMIT_MS) -> None:
    try:
        await bounded(producer.stop(), within_ms=limit_ms)
    except (KafkaError, OSError, TimeoutError) as error:
        log.warning("producer did not stop cleanly", extra={"reason": repr(error)})
        with contextlib.suppress(KafkaError, OSError, TimeoutError):
            await bounded(producer.abandon(), within_ms=PROBE_LIMIT_MS)
