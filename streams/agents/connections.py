"""The agent of `connections.v1`: sockets opened and closed, kept as they came.

At least once from the broker, exactly once into the store: the step behind `take` sees to that.
"""

import faust
from faust.types import StreamT

from analytics.contracts import topics
from streams.agents.handing import Take, source
from streams.consumer.record_batches import Batch

TOPIC = topics.CONNECTIONS
NAME = "connections"


def add_to(app: faust.App, take: Take) -> None:
    """Attach the agent to `app`."""

    @app.agent(source(app, TOPIC), name=NAME, concurrency=1)
    async def connections(batches: StreamT[Batch]) -> None:
        """Keep and count sockets opened and closed."""
        async for batch in batches:
            await take(batch)
