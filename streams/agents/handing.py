"""What every agent here shares: batches in, handed on in order.

Faust's `concurrency` stays at 1: with more, it acknowledges past what is still being worked on.
"""

from collections.abc import Awaitable, Callable

import faust
from faust.types import TopicT

from analytics.contracts.topics import Topic
from streams.consumer.record_batches import Batch
from streams.consumer.transport import BatchSchema

Take = Callable[[Batch], Awaitable[None]]
"""Has a batch stored in its turn; does not wait until it is."""


def source(app: faust.App, topic: Topic) -> TopicT:
    """Return the Faust topic whose values are batches (see `streams.consumer.batch_consumer`).

    Nothing is acknowledged through Faust: the store says what is done.
    """
    return app.topic(topic.address, schema=BatchSchema(), acks=False)
