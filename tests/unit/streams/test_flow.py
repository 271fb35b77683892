"""Batches on their way: folded ahead, taken together, held, thrown away and taken again."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from faust.types import TP
from msgspec import structs

from analytics.contracts.errors import StoreAway
from streams.clients.errors import Unstorable
from streams.consumer.assignment import PartitionAssignment
from streams.consumer.commit_pipeline import Bounds
from streams.consumer.deserialising import ConsumedRecord, DeserialisedBatch
from tests.support import facts
from tests.support.checkpoint_memory import MemoryCheckpoint
from tests.support.stream_assignments import (
    EVENTS,
    PARTITION,
    WAITS,
    Clockwork,
    Slow,
    drive_of,
    ids,
    pieces,
)
from tests.support.stream_simulation import Silent
from tests.support.stream_steps import LOG, RECIPES, item, until


async def test_batches_that_wait_are_stored_as_one_as_far_as_they_join() -> None:
    checkpoints = Slow()
    assignment, _, _ = drive_of(checkpoints, Bounds(records_max=4))
    await assignment.assigned([PARTITION], log_id=LOG, generation=1)

    tickets = [assignment.give(piece) for piece in pieces()]
    await checkpoints.let_through(2)
    await asyncio.wait([ticket for ticket in tickets if ticket is not None])

    assert ids(checkpoints) == [event.id for event in EVENTS]
    assert checkpoints.waiting == []


async def test_the_next_batch_is_folded_while_the_one_before_it_is_committed() -> None:
    checkpoints = Slow()
    read: list[int] = []
    recipe = RECIPES[PARTITION.topic]

    def reading(
        partition: int, records: Sequence[ConsumedRecord], now_ms: int
    ) -> DeserialisedBatch[Any]:
        read.append(records[0].offset)
        return recipe.read(partition, records, now_ms)

    world, watch = Clockwork(), Silent()
    watched = {PARTITION.topic: structs.replace(recipe, read=reading)}
    bounds = Bounds(records_max=3)
    assignment = PartitionAssignment(
        watched, checkpoints, world, watch=watch, waits=WAITS, bounds=bounds
    )
    await assignment.assigned([PARTITION], log_id=LOG, generation=1)

    tickets = [assignment.give(piece) for piece in pieces(3)]
    await until(lambda: read == [0, 3] and bool(checkpoints.waiting))
    committing = len(checkpoints.waiting)
    await checkpoints.let_through(2)
    await asyncio.wait([ticket for ticket in tickets if ticket is not None])

    assert committing == 1
    assert ids(checkpoints) == [event.id for event in EVENTS]


@pytest.mark.parametrize("error", [StoreAway("reset"), Unstorable("a NUL character")])
async def test_what_was_folded_behind_a_commit_that_failed_is_folded_anew(
    error: Exception,
) -> None:
    checkpoints = Slow()
    assignment, _, watch = drive_of(checkpoints, Bounds(records_max=3))
    await assignment.assigned([PARTITION], log_id=LOG, generation=1)

    tickets = [assignment.give(piece) for piece in pieces(3)]
    checkpoints.refused.append(error)
    await checkpoints.let_through(3)
    await asyncio.wait([ticket for ticket in tickets if ticket is not None])

    assert ids(checkpoints) == [event.id for event in EVENTS]
    assert [row.totals.calls for row in checkpoints.sessions.values()] == [6]
    assert watch.seen["stored"] == 2


async def test_a_fenced_partition_lets_go_of_all_that_waits() -> None:
    checkpoints = Slow()
    assignment, _, _ = drive_of(checkpoints, Bounds(records_max=1))
    await assignment.assigned([PARTITION], log_id=LOG, generation=1)
    tickets = [assignment.give(piece) for piece in pieces()]
    await checkpoints.claim(cluster_id=LOG, topic=PARTITION.topic, partition=0)

    await checkpoints.let_through(1)
    await asyncio.wait([ticket for ticket in tickets if ticket is not None])

    assert ids(checkpoints) == []
    assert (assignment.reached(), assignment.waiting_bytes) == ({}, 0)


@pytest.mark.requirement("limits-have-names")
async def test_a_partition_with_its_share_of_what_may_wait_is_held_until_some_is_folded() -> None:
    checkpoints = Slow()
    assignment, world, _ = drive_of(
        checkpoints, Bounds(batches_max=1, records_max=1, waiting_bytes_max=40)
    )
    other = TP(PARTITION.topic, 1)
    await assignment.assigned([PARTITION, other], log_id=LOG, generation=1)

    tickets = [assignment.give(piece) for piece in pieces(weight=10)]
    await until(lambda: bool(checkpoints.waiting))
    alone = world.held[-1]
    tickets += [assignment.give(piece) for piece in pieces(partition=1, weight=10)]
    await asyncio.sleep(0)
    both = world.held[-1]
    await checkpoints.let_through(12)
    await asyncio.wait([ticket for ticket in tickets if ticket is not None])

    assert alone == {PARTITION}
    assert both == {PARTITION, other}
    assert world.held[-1] == set()
    assert len(ids(checkpoints)) == 12


async def test_a_slow_partition_does_not_starve_the_others() -> None:
    checkpoints = Slow()
    assignment, _, _ = drive_of(checkpoints, Bounds(batches_max=3, records_max=1))
    other = TP(PARTITION.topic, 1)
    await assignment.assigned([PARTITION, other], log_id=LOG, generation=1)
    slow = [assignment.give(piece) for piece in pieces()]
    await until(lambda: len(checkpoints.waiting) == 1)
    stuck = checkpoints.waiting.pop()

    quick = [assignment.give(piece) for piece in pieces(partition=1)]
    await checkpoints.let_through(6)
    await asyncio.wait([ticket for ticket in quick if ticket is not None])
    stored = len(ids(checkpoints))
    stuck.set()
    await checkpoints.let_through(5)
    await asyncio.wait([ticket for ticket in slow if ticket is not None])

    assert stored == 6
    assert len(ids(checkpoints)) == 12


@pytest.mark.requirement("limits-have-names")
async def test_nothing_is_stored_while_the_outbox_is_full_and_it_is_said() -> None:
    checkpoints = MemoryCheckpoint()
    assignment, world, watch = drive_of(checkpoints)
    await assignment.assigned([PARTITION], log_id=LOG, generation=1)
    world.hindrance = "9 results wait to be sent, and 8 may"
    taking = asyncio.create_task(assignment.take(item(EVENTS)))
    await until(lambda: len(world.slept) >= 2)
    waiting, stored = dict(assignment.waiting), ids(checkpoints)

    world.hindrance = ""
    await taking

    assert (waiting, stored) == ({"outbox": "9 results wait to be sent, and 8 may"}, [])
    assert len(ids(checkpoints)) == 6
    assert (assignment.waiting, watch.seen["waiting"]) == ({}, 2)


@pytest.mark.requirement("log-that-went-back")
async def test_a_log_that_went_back_is_left_alone_said_and_looked_at_again() -> None:
    checkpoints = MemoryCheckpoint()
    assignment, world, _ = drive_of(checkpoints)
    await assignment.assigned([PARTITION], log_id=LOG, generation=1)
    await assignment.take(item(EVENTS))

    assignment.diverged(PARTITION, "it ends at offset 2, and was stored up to 6")
    await assignment.take(item(EVENTS[:2], first_offset=6))
    left = (assignment.reached(), len(ids(checkpoints)), assignment.waiting["log"])
    world.at_ms += WAITS.fenced_ms
    await assignment.tick()
    await assignment.take(item([facts.request("n", id="new")], first_offset=6))

    assert left[:2] == ({}, 6)
    assert "it ends at offset 2" in left[2]
    assert "MAINSTEM_STREAMS_LOG_GENERATION" in left[2]
    assert world.placed[-1] == (PARTITION, 6)
    assert (len(ids(checkpoints)), assignment.waiting) == (7, {})


async def test_a_drive_that_is_killed_leaves_nothing_that_waits() -> None:
    checkpoints = Slow()
    assignment, _, _ = drive_of(checkpoints, Bounds(records_max=1))
    await assignment.assigned([PARTITION], log_id=LOG, generation=1)
    tickets = [assignment.give(piece) for piece in pieces()]
    await until(lambda: bool(checkpoints.waiting))

    await assignment.kill()

    assert all(ticket is not None and ticket.done() for ticket in tickets)
    assert ids(checkpoints) == []
