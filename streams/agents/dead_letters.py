"""The agent of `deadletters.v1`: what the gateway could not read, kept where people can see it.

At least once from the broker, exactly once into the store: the step behind `take` sees to that.
"""

import faust
from faust.types import StreamT

from analytics.contracts import topics
from streams.agents.handing import Take, source
from streams.consumer.record_batches import Batch

TOPIC = topics.DEAD_LETTERS
NAME = "dead_letters"


def add_to(app: faust.App, take: Take) -> None:
    """Attach the agent to `app`."""

    @app.agent(source(app, TOPIC), name=NAME, concurrency=1)
    async def dead_letters(batches: StreamT[Batch]) -> None:
        """Keep what the gateway could not read."""
        async for batch in batches:
            await take(batch)
