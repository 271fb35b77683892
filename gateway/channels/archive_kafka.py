"""Kafka as the last tier of recovery: what a ring has forgotten is read from the log again.

One read at a time, bounded in records, bytes and time; what does not fit is not answered in part
but not at all. The slice is of the log whose epoch was asked for, or there is none.
"""

import asyncio
import logging
from typing import Final

from aiokafka.errors import KafkaError
from msgspec import Struct

from analytics.contracts.errors import MainstemError
from analytics.contracts.signatures import ANYBODYS, SignatureRules
from gateway import metrics
from gateway.channels.follower import epoch_of
from gateway.channels.records import StreamPublication, read
from gateway.channels.recovery import Slice
from gateway.kafka.log_consumer import LogConsumer, Place, line_values

WAIT_MS: Final = 100
RECORDS_MAX: Final = 2_000
FAILING: Final = (KafkaError, MainstemError, OSError, TimeoutError)

log = logging.getLogger(__name__)


class ReadBounds(Struct, frozen=True, kw_only=True):
    """How much one read may amount to."""

    records_max: int
    bytes_max: int
    seconds_max: float
    generation: str = ""
    signatures: SignatureRules = ANYBODYS
    """Whose records are shown."""


class KafkaArchive:
    """See the module; it connects when it is first asked, and `stop` disconnects it."""

    def __init__(self, broker: str, reach: ReadBounds) -> None:
        self._broker = broker
        self._reach = reach
        self._turn = asyncio.Lock()
        self._consumer: LogConsumer | None = None

    async def read(self, place: Place, *, epoch: str, first: int, end: int) -> Slice | None:
        """Return all lines of the records in `[first, end)`; nothing if it does not have them."""
        if end - first > self._reach.records_max:
            return None
        try:
            async with self._turn, asyncio.timeout(self._reach.seconds_max):
                found = await self._read(place, epoch=epoch, first=first, end=end)
                metrics.PAST_READS.labels("log", "miss" if found is None else "hit").inc()
                return found
        except FAILING as error:
            metrics.PAST_READS.labels("log", "away").inc()
            log.info("the past was not read", extra={"place": place, "reason": repr(error)})
            await self._drop()
            return None

    async def stop(self) -> None:
        """Disconnect."""
        await self._drop()

    async def _read(self, place: Place, *, epoch: str, first: int, end: int) -> Slice | None:
        consumer = await self._connected()
        if epoch_of(consumer.log_id, self._reach.generation, place) != epoch:
            await self._drop()
            return None
        span = (await consumer.spans([place]))[place]
        if span.first > first:
            return None
        consumer.go_on({place: first})
        lines: list[StreamPublication] = []
        size, at = 0, first
        while at < end:
            found = await consumer.fetch(wait_ms=WAIT_MS, records_max=RECORDS_MAX)
            for offset, value in line_values(found.get(place, ()), self._reach.signatures):
                size += len(value)
                at = offset + 1
                line = read(place.address, value, offset=offset) if at <= end else None
                if line is not None:
                    lines.append(line)
            if size > self._reach.bytes_max:
                return None
        consumer.go_on({})
        if not await consumer.same():
            await self._drop()
            return None
        return Slice(first=first, end=end, lines=tuple(lines))

    async def _connected(self) -> LogConsumer:
        consumer = self._consumer
        if consumer is not None and await consumer.same():
            return consumer
        await self._drop()
        consumer = LogConsumer(
            self._broker, wait_ms=WAIT_MS, fetch_bytes=min(self._reach.bytes_max, 1_048_576)
        )
        self._consumer = consumer
        await consumer.start()
        return consumer

    async def _drop(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is None:
            return
        try:
            await consumer.stop()
        except FAILING as error:
            log.info("a consumer did not stop", extra={"reason": repr(error)})
