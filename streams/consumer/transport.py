"""The Faust transport of record batches: `broker="batch+kafka://HOST:PORT"`.

Faust finds it by the entry point `batch+kafka` in the group `faust.transports` (see
`pyproject.toml`). Its consumer is `BatchConsumer`, its producer that of Faust's driver for aiokafka
within limits of time; an app is bound to who says where its partitions start before it starts.
"""

import contextlib
import logging
from typing import Final

import faust
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from faust.exceptions import ImproperlyConfigured
from faust.transport.drivers import aiokafka as driver
from faust.types import AppT, Message

from streams.consumer import shutdown
from streams.consumer.batch_consumer import BatchConsumer, FetchLimits, Intake, Positions

FLUSH_WAIT_S: Final = 2.0
"""How long a rebalance or a stop waits for the broker to take what was handed to the producer."""

log = logging.getLogger(__name__)


class Producer(driver.Producer):
    """Faust's producer, which waits for a broker that is away as long as it is away.

    What it could not send is still in the store's outbox, and is sent by the next stream.
    """

    async def flush(self) -> None:
        """Wait until the broker has taken what was sent, or a moment."""
        try:
            await shutdown.bounded(super().flush(), within_s=FLUSH_WAIT_S)
        except (KafkaError, OSError, TimeoutError) as error:
            log.info("results wait in the outbox", extra={"error": repr(error)})

    async def on_stop(self) -> None:
        """Close the connections, also when the broker is away."""
        kafka = self._producer
        try:
            await shutdown.bounded(super().on_stop(), within_s=FLUSH_WAIT_S)
        except (KafkaError, OSError, TimeoutError) as error:
            log.info("left without the broker's word", extra={"error": repr(error)})
            if kafka is not None:
                await _close(kafka)


class Transport(driver.Transport):
    """Kafka, with the records of one fetch as one message."""

    Consumer = BatchConsumer
    Producer = Producer
    intake: Intake | None = None


async def _close(kafka: AIOKafkaProducer) -> None:
    """End what aiokafka's own stop leaves running when it is interrupted."""
    for close in (kafka._sender.close, kafka.client.close):  # noqa: SLF001 (see `internals`)
        with contextlib.suppress(KafkaError, OSError, TimeoutError):
            await shutdown.bounded(close(), within_s=FLUSH_WAIT_S)


class BatchSchema(faust.Schema[None, object]):
    """What an agent's topic reads messages with: their values are batches already."""

    def loads_key(self, app: AppT, message: Message, **_: object) -> None:
        """Return no key: a batch has many."""

    def loads_value(self, app: AppT, message: Message, **_: object) -> object:
        """Return the batch."""
        return message.value


def bind(app: faust.App, positions: Positions, limits: FetchLimits) -> None:
    """Have `positions` say where the partitions of `app` start; do so before it connects."""
    transport = app.transport
    if not isinstance(transport, Transport):
        raise ImproperlyConfigured(f"the app's broker is {transport.url}, and not batch+kafka://")
    transport.intake = Intake(positions, limits)
