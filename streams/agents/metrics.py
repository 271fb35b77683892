"""The agent of `agents.v1`: what coding agents did, counted into windows and sessions.

At least once from the broker, exactly once into the store: the step behind `take` sees to that.
"""

import faust
from faust.types import StreamT

from analytics.contracts import topics
from streams.agents.handing import Take, source
from streams.consumer.record_batches import Batch

TOPIC = topics.AGENTS
NAME = "metrics"


def add_to(app: faust.App, take: Take) -> None:
    """Attach the agent to `app`."""

    @app.agent(source(app, TOPIC), name=NAME, concurrency=1)
    async def metrics(batches: StreamT[Batch]) -> None:
        """Count what coding agents did, into windows and sessions."""
        async for batch in batches:
            await take(batch)
