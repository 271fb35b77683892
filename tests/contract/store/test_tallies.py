"""Connections are counted by type in every store, across workers, each once."""

from typing import Final

import pytest

from analytics.contracts import topics
from analytics.contracts.events import ConnectionClosed, ConnectionOpened, Event
from analytics.measures.rows import CellRow, Grain
from analytics.measures.sketch import bucket_of, to_bytes
from streams.consumer.partition_processor import PartitionStep
from streams.store.checkpoint import CheckpointStore
from tests.support.facts import T0_MS, fact
from tests.support.outcomes import Store
from tests.support.stream_steps import LOG, RECIPES, item

TOPIC: Final = topics.CONNECTIONS.address
OPENED: Final = fact(ConnectionOpened, id="o1", connection_id="c1")


def _closed(number: int, *, duration_ms: int) -> Event:
    return fact(
        ConnectionClosed, id=f"e{number}", connection_id=f"c{number % 2}", duration_ms=duration_ms
    )


async def _take(checkpoints: CheckpointStore, *told: Event, first: int) -> None:
    """Have a worker of its own take one batch."""
    step = PartitionStep(
        RECIPES[TOPIC], checkpoints, log_id=LOG, partition=0, stored=lambda _: None,
        stopwatch=lambda: 0.0,
    )  # fmt: skip
    await step.take(item(told, first_offset=first, topic=TOPIC), T0_MS)


async def _open_cells(checkpoints: CheckpointStore) -> dict[tuple[str, int], CellRow]:
    claim = await checkpoints.claim(cluster_id=LOG, topic=TOPIC, partition=0)
    return {(cell.key.kind, cell.width_ms): cell for cell in claim.open_cells}


@pytest.mark.requirement("counted-once-by-id")
async def test_connections_are_counted_by_type_across_workers_and_each_once(store: Store) -> None:
    await _take(store.checkpoints, OPENED, _closed(1, duration_ms=100), first=0)
    await _take(store.other, _closed(1, duration_ms=100), _closed(2, duration_ms=9), first=2)

    cells = await _open_cells(store.checkpoints)

    assert cells.keys() == {
        (kind, width_ms)
        for kind in ("connection.opened", "connection.closed")
        for width_ms in (10_000, 60_000)
    }
    closed = cells["connection.closed", 10_000]
    assert closed.key.grain is Grain.TOPIC
    assert (closed.measures.events, closed.measures.latency_sum_ms) == (2, 109)
    assert closed.latency == to_bytes({bucket_of(100): 1, bucket_of(9): 1})
    assert cells["connection.opened", 60_000].measures.events == 1
    assert sorted(store.look.raw_ids()) == ["e1", "e2", "o1"]
