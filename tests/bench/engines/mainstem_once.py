"""Mainstem's fold with all it promises but the store: each id once, and raw rows made."""

import asyncio
from collections.abc import Iterable
from typing import Final

import msgspec

from analytics.contracts import topics
from streams.consumer import topology
from tests.bench.engines.mainstem import BY_CONNECTION, RULES, SPEC, Closed, no_results, work
from tests.bench.engines.mainstem_fold import WindowsCheckpoint
from tests.bench.engines.task import Meter, Task, Window

ABOUT: Final = "worker, the recipe of connections: each id counted once, raw rows made"
DURABILITY: Final = "keeps nothing here: checkpoints in memory"


def run(task: Task, meter: Meter) -> Iterable[Window]:
    """Count with a worker."""
    return asyncio.run(_run(task, meter))


async def _run(task: Task, meter: Meter) -> list[Window]:
    closed = Closed(task, meter)
    recipe = topology.tallied(topics.CONNECTIONS, BY_CONNECTION, RULES, SPEC)
    quiet = msgspec.structs.replace(recipe, results=no_results)
    await work(task, WindowsCheckpoint(closed), closed.done, quiet)
    return closed.windows
