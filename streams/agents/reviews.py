"""The agent of `reviews.v1`: findings and what people made of them, kept as they came.

At least once from the broker, exactly once into the store: the step behind `take` sees to that.
"""

import faust
from faust.types import StreamT

from analytics.contracts import topics
from streams.agents.handing import Take, source
from streams.consumer.record_batches import Batch

TOPIC = topics.REVIEWS
NAME = "reviews"


def add_to(app: faust.App, take: Take) -> None:
    """Attach the agent to `app`."""

    @app.agent(source(app, TOPIC), name=NAME, concurrency=1)
    async def reviews(batches: StreamT[Batch]) -> None:
        """Keep and count findings, and what people made of them."""
        async for batch in batches:
            await take(batch)
