"""What the three runs of Mainstem share: the worker as it ships, with a recipe for the task.

The log lies in the topic of connections, and the worker takes it as ever: Faust, record batches,
the assignment, the step. What the recipe has of its own is the series (by connection) and widths.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any, Final

from analytics.contracts.cloudevents import Record
from analytics.contracts.events import Event
from analytics.contracts.ids import SessionId, TenantId
from analytics.measures.count_fold import KeyColumns
from analytics.measures.fold import FoldRules
from analytics.measures.prices import PriceTable
from analytics.measures.rows import BatchOutcome, CellKey, Grain
from analytics.windows.keyed import Width, WindowSpec
from apps.local import topics as broker_topics
from streams import agents
from streams.consumer import topology
from streams.consumer.partition_processor import TopicSource
from streams.consumer.stream import Parts
from streams.consumer.worker import Worker
from streams.settings import StreamsSettings
from streams.store.checkpoint import Checkpoint, CheckpointStore
from tests.bench.engines.task import LATENESS_MS, WIDTHS_MS, Meter, Task, Window

Key = tuple[TenantId, str]

SPEC: Final = WindowSpec(widths=tuple(map(Width, WIDTHS_MS)), lateness_ms=LATENESS_MS)
PRICES: Final = PriceTable({})
RULES: Final = FoldRules(lateness_ms=LATENESS_MS)


def _key(key: Key) -> CellKey:
    return CellKey(tenant=key[0], grain=Grain.TOPIC, session_id=SessionId(key[1]))


def _back(key: CellKey) -> Key:
    return (key.tenant, key.session_id)


_of: Final[Callable[[Event], Key]] = attrgetter("tenant", "connection_id")
BY_CONNECTION: Final = KeyColumns(_of, _key, _back)


class Closed:
    """What commits have brought: closed windows, and how far the log is."""

    def __init__(self, task: Task, meter: Meter) -> None:
        self.windows: list[Window] = []
        self.done = asyncio.Event()
        self._task = task
        self._meter = meter

    def take(self, claim: Checkpoint, outcome: BatchOutcome) -> None:
        """Note a commit."""
        if claim.topic != self._task.topic:
            return
        self.windows += [
            Window(
                cell.key.session_id,
                cell.width_ms,
                cell.start_ms,
                cell.measures.events,
                cell.latency,
            )
            for cell in outcome.closed
        ]
        self._meter.add(outcome.next_offset - outcome.first_offset)
        if self._meter.count >= self._task.events:
            self._meter.stop()
            self.done.set()


def no_results(claim: Checkpoint, outcome: BatchOutcome, *, before_ms: int) -> Sequence[Record]:
    """Send nothing on: no other engine does."""
    return ()


async def work(
    task: Task,
    checkpoints: CheckpointStore,
    done: asyncio.Event,
    recipe: TopicSource[Any] | None = None,
) -> None:
    """Run a worker on the log until all of it is done, with a recipe of its own or as it ships."""
    settings = StreamsSettings(  # type: ignore[call-arg] # pydantic fills in the rest
        broker=task.broker, partitions=task.partitions, group=task.name, rebalance_timeout_s=1.5
    )

    async def prepare() -> None:
        await broker_topics.ensure_topics(task.broker, partitions=task.partitions)

    async def no_jobs() -> None:
        return None

    made = dict(topology.recipes(PRICES, RULES))
    if recipe is not None:
        made[recipe.topic] = recipe
    await Worker(
        settings,
        Parts(
            checkpoints=checkpoints, recipes=made, agents=agents.ALL, prepare=prepare, jobs=no_jobs
        ),
    ).run(done)


def now_ms() -> int:
    """Return the time, in epoch milliseconds."""
    return time.time_ns() // 1_000_000
