"""Mainstem's whole fold of agent events: dedupe, sessions, merging, two grains, raw rows, partials.

The worker as it ships, with all of its recipes; only the store is a checkpoint store in memory.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable
from typing import Final

from analytics.measures.rows import Grain
from tests.bench.engines.agents_decode import WIDTH_MS
from tests.bench.engines.mainstem import Closed, work
from tests.bench.engines.mainstem_fold import WindowsCheckpoint
from tests.bench.engines.task import Meter, Task, Window

ABOUT: Final = (
    "worker as it ships on agent events, a checkpoint store in memory instead of the store"
)
DURABILITY: Final = "keeps nothing here: checkpoints in memory"


def run(task: Task, meter: Meter) -> Iterable[Window]:
    """Fold with a worker."""
    return asyncio.run(_run(task, meter))


async def _run(task: Task, meter: Meter) -> list[Window]:
    closed = Closed(task, meter)
    checkpoints = WindowsCheckpoint(closed)
    await work(task, checkpoints, closed.done)
    counts: Counter[int] = Counter()
    for cells in checkpoints.cells.values():
        for cell in cells.values():
            if cell.key.grain is Grain.FLEET and cell.width_ms == WIDTH_MS:
                counts[cell.start_ms] += cell.measures.events
    return [Window("", WIDTH_MS, start_ms, count, b"") for start_ms, count in counts.items()]
