"""How far the workers are, asked of the broker while events come, for the tenants' pace.

The broker knows where partitions end, and what the workers' group last said it has stored; both are
asked for a few times a second while anybody sends, and not at all else. A broker that is away, or
that does not answer these, is tried again after a while; until then nobody knows.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from analytics.contracts import topics
from gateway.kafka.log_consumer import ASK_MS, LogConsumer, Place
from gateway.kafka.pace import Pace, Waits

LOOK_S: Final = 0.1
RETRY_S: Final = 2.0
FETCH_BYTES: Final = 1_024
"""Nothing is fetched."""

log = logging.getLogger(__name__)


class Progress:
    """Tells a pace for how long events wait."""

    def __init__(self, broker: str, pace: Pace, *, group: str, now_ms: Callable[[], int]) -> None:
        self._broker = broker
        self._pace = pace
        self._group = group
        self._now_ms = now_ms

    async def run(self) -> None:
        """Ask for as long as the gateway runs."""
        while True:
            try:
                await self._follow()
            except (KafkaError, OSError, TimeoutError, ValueError) as error:
                log.info("nobody says how far the workers are", extra={"reason": repr(error)})
            self._pace.lose()
            await asyncio.sleep(RETRY_S)

    async def _follow(self) -> None:
        consumer = LogConsumer(self._broker, wait_ms=ASK_MS, fetch_bytes=FETCH_BYTES)
        admin = AIOKafkaAdminClient(bootstrap_servers=self._broker, request_timeout_ms=ASK_MS)
        waits = Waits()
        try:
            await consumer.start()
            await admin.start()
            width = await consumer.width(topics.AGENTS.address)
            places = [Place(topics.AGENTS.address, number) for number in range(width)]
            while await consumer.same():
                if not self._pace.is_idle():
                    await self._look(consumer, admin, places, waits)
                await asyncio.sleep(LOOK_S)
        finally:
            await consumer.stop()
            await admin.close()

    async def _look(
        self,
        consumer: LogConsumer,
        admin: AIOKafkaAdminClient,
        places: list[Place],
        waits: Waits,
    ) -> None:
        pairs = [TopicPartition(place.address, place.partition) for place in places]
        async with asyncio.timeout(ASK_MS / 1_000):
            told = await admin.list_consumer_group_offsets(self._group, partitions=pairs)
        spans = await consumer.spans(places)
        now_ms = self._now_ms()
        waited_ms = 0
        for place, pair in zip(places, pairs, strict=True):
            done = max(spans[place].first, told[pair].offset if pair in told else 0)
            looked_ms = waits.look(place, end=spans[place].end, done=done, now_ms=now_ms)
            waited_ms = max(waited_ms, looked_ms)
        if waits.are_still(now_ms=now_ms):
            self._pace.lose()
        else:
            self._pace.hear(waited_ms, now_ms=now_ms)
