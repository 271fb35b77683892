"""The agent of `partials.v1`: what partitions closed of windows that they share, made whole.

At least once from the broker, exactly once into the store: the step behind `take` sees to that.
"""

import faust
from faust.types import StreamT

from analytics.contracts import topics
from streams.agents.handing import Take, source
from streams.consumer.record_batches import Batch

TOPIC = topics.PARTIALS
NAME = "final_aggregation"


def add_to(app: faust.App, take: Take) -> None:
    """Attach the agent to `app`."""

    @app.agent(source(app, TOPIC), name=NAME, concurrency=1)
    async def final_aggregation(batches: StreamT[Batch]) -> None:
        """Make windows whole that partitions share."""
        async for batch in batches:
            await take(batch)
