"""Who holds which partition, what waits, and what goes back."""

import asyncio
from collections.abc import Sequence

import pytest

from analytics.contracts.cloudevents import Record
from analytics.contracts.errors import StoreAway
from analytics.measures.rows import BatchOutcome
from streams.store.checkpoint import Checkpoint, DeadLetter
from tests.support import facts
from tests.support.checkpoint_memory import MemoryCheckpoint
from tests.support.stream_assignments import (
    EVENTS,
    PARTITION,
    WAITS,
    drive_of,
    ids,
)
from tests.support.stream_steps import LOG, item, until


class Away(MemoryCheckpoint):
    """A store that is away for some calls."""

    def __init__(self, calls: int) -> None:
        super().__init__()
        self.calls = calls

    async def commit(
        self,
        claim: Checkpoint,
        outcome: BatchOutcome,
        *,
        outbox: Sequence[Record] = (),
        dead_letters: Sequence[DeadLetter] = (),
    ) -> None:
        """Be away as often as asked for."""
        self.calls -= 1
        if self.calls >= 0:
            raise StoreAway("no route to the store")
        await super().commit(claim, outcome, outbox=outbox, dead_letters=dead_letters)


class Broken(MemoryCheckpoint):
    """A checkpoint store with a bug."""

    async def claim(self, *, cluster_id: str, topic: str, partition: int) -> Checkpoint:
        """Fail as nobody expects."""
        raise KeyError(topic)


async def test_a_partition_is_placed_where_the_store_says_that_it_starts() -> None:
    checkpoints = MemoryCheckpoint()
    first, _, _ = drive_of(checkpoints)
    await first.assigned([PARTITION], log_id=LOG, generation=1)
    await first.take(item(EVENTS))
    second, world, _ = drive_of(checkpoints)

    await second.assigned([PARTITION], log_id=LOG, generation=2)

    assert world.placed == [(PARTITION, 6)]
    assert second.reached() == {PARTITION: 6}


@pytest.mark.requirement("new-log-starts-anew")
async def test_another_cluster_is_another_log_that_starts_at_zero() -> None:
    checkpoints = MemoryCheckpoint()
    assignment, world, _ = drive_of(checkpoints)
    await assignment.assigned([PARTITION], log_id=LOG, generation=1)
    await assignment.take(item(EVENTS))

    await assignment.assigned([PARTITION], log_id="cluster-b", generation=1)
    stale = item(EVENTS, first_offset=6)
    await assignment.take(stale)
    fresh = [facts.request("n", id="new", at_ms=facts.T0_MS)]
    await assignment.take(item(fresh, log_id="cluster-b"))

    assert world.placed == [(PARTITION, 0), (PARTITION, 0)]
    assert ids(checkpoints) == [*(event.id for event in EVENTS), "new"]


async def test_a_store_that_is_away_is_waited_for_with_backoff_and_the_batch_is_kept() -> None:
    checkpoints = Away(6)
    assignment, world, _ = drive_of(checkpoints)
    await assignment.assigned([PARTITION], log_id=LOG, generation=1)

    await assignment.take(item(EVENTS))

    assert world.slept == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]
    assert len(ids(checkpoints)) == 6
    assert assignment.waiting == {}


async def test_a_revoked_partition_is_let_go_in_the_middle_of_a_wait() -> None:
    checkpoints = Away(1_000_000)
    assignment, world, _ = drive_of(checkpoints)
    await assignment.assigned([PARTITION], log_id=LOG, generation=1)
    taking = asyncio.create_task(assignment.take(item(EVENTS)))
    await until(lambda: len(world.slept) >= 3)

    assignment.revoked([PARTITION])
    await taking

    assert ids(checkpoints) == []
    assert assignment.held() == {}


async def test_a_batch_of_a_partition_that_is_not_ours_is_passed_over() -> None:
    checkpoints = MemoryCheckpoint()
    assignment, _, _ = drive_of(checkpoints)

    await assignment.take(item(EVENTS))

    assert ids(checkpoints) == []


async def test_a_hole_puts_the_partition_back_to_where_the_store_is() -> None:
    checkpoints = MemoryCheckpoint()
    assignment, world, watch = drive_of(checkpoints)
    await assignment.assigned([PARTITION], log_id=LOG, generation=1)
    await assignment.take(item(EVENTS[:2]))

    await assignment.take(item(EVENTS[3:], first_offset=3))

    assert world.placed[-1] == (PARTITION, 2)
    assert watch.seen["rewound"] == 1


@pytest.mark.requirement("fenced-worker-writes-nothing")
async def test_a_fenced_partition_is_left_alone_and_claimed_back_after_a_while() -> None:
    checkpoints = MemoryCheckpoint()
    assignment, world, watch = drive_of(checkpoints)
    await assignment.assigned([PARTITION], log_id=LOG, generation=1)
    await checkpoints.claim(cluster_id=LOG, topic=PARTITION.topic, partition=0)

    await assignment.take(item(EVENTS))
    await assignment.tick()
    assert (ids(checkpoints), assignment.reached()) == ([], {})
    world.at_ms += WAITS.fenced_ms
    await assignment.tick()
    await assignment.take(item(EVENTS))

    assert watch.seen["fenced"] == 1
    assert world.placed[-1] == (PARTITION, 0)
    assert len(ids(checkpoints)) == 6


async def test_time_passes_only_for_a_partition_whose_records_are_all_stored() -> None:
    checkpoints = MemoryCheckpoint()
    assignment, world, _ = drive_of(checkpoints)
    await assignment.assigned([PARTITION], log_id=LOG, generation=1)
    await assignment.take(item(EVENTS))
    world.at_ms += 7_200_000

    world.is_quiet = False
    await assignment.tick()
    closed_early = [cell.closed for cell in checkpoints.cells[1, 0].values()]
    world.is_quiet = True
    await assignment.tick()

    assert not any(closed_early)
    assert all(cell.closed for cell in checkpoints.cells[1, 0].values())


async def test_after_closing_nothing_is_begun_any_more() -> None:
    checkpoints = MemoryCheckpoint()
    assignment, _, _ = drive_of(checkpoints)
    await assignment.assigned([PARTITION], log_id=LOG, generation=1)

    await assignment.close()
    await assignment.take(item(EVENTS))

    assert ids(checkpoints) == []


async def test_what_nobody_expected_is_told_to_whoever_runs_thedrive_of() -> None:
    assignment, _, _ = drive_of(Broken())

    await assignment.assigned([PARTITION], log_id=LOG, generation=1)

    async with asyncio.timeout(5):
        assert isinstance(await assignment.failed(), KeyError)
