"""A batch in, one transaction out, whatever fails."""

from collections.abc import Sequence

import msgspec
import pytest

from analytics.contracts.cloudevents import Record
from analytics.contracts.errors import Fenced, Refused, StoreAway
from analytics.measures.fold import Arrival, PartitionFold
from analytics.measures.rows import BatchOutcome
from streams.consumer.folds import Fold
from streams.consumer.partition_processor import Stored, Verdict
from streams.store.checkpoint import Checkpoint, DeadLetter
from tests.support import facts
from tests.support.checkpoint_memory import MemoryCheckpoint
from tests.support.stream_steps import AGENTS, item, step

NOW_MS = facts.T0_MS + 60_000
EVENTS = [facts.request(f"r{n}", id=f"e{n}", at_ms=facts.T0_MS + n) for n in range(6)]


def _ids(checkpoints: MemoryCheckpoint) -> list[str]:
    return [row.id for rows in checkpoints.rows.values() for row in rows]


class FailingOnce(MemoryCheckpoint):
    """Checkpoints whose next commit fails, before or after it is done."""

    def __init__(self, *, after: bool) -> None:
        super().__init__()
        self._after = after
        self._failed = False

    async def commit(
        self,
        claim: Checkpoint,
        outcome: BatchOutcome,
        *,
        outbox: Sequence[Record] = (),
        dead_letters: Sequence[DeadLetter] = (),
    ) -> None:
        """Fail once."""
        if self._failed:
            return await super().commit(claim, outcome, outbox=outbox, dead_letters=dead_letters)
        self._failed = True
        if self._after:
            await super().commit(claim, outcome, outbox=outbox, dead_letters=dead_letters)
        raise StoreAway("the connection was reset")


class Choosy(MemoryCheckpoint):
    """A store that refuses one event."""

    async def commit(
        self,
        claim: Checkpoint,
        outcome: BatchOutcome,
        *,
        outbox: Sequence[Record] = (),
        dead_letters: Sequence[DeadLetter] = (),
    ) -> None:
        """Refuse event e3."""
        if any(row.id == "e3" for row in outcome.raw):
            raise Refused("a value that cannot be stored")
        await super().commit(claim, outcome, outbox=outbox, dead_letters=dead_letters)


class Stumbling:
    """A fold that fails on one event, as a bug would make it."""

    def __init__(self, claim: Checkpoint) -> None:
        fold = AGENTS.fold(claim)
        assert isinstance(fold, PartitionFold)
        self._fold = fold
        self.unknown = fold.unknown
        self.remember = fold.remember
        self.tick = fold.tick

    @property
    def open_count(self) -> int:
        """How many cells are open."""
        return self._fold.open_count

    @property
    def remembered_count(self) -> int:
        """How many entries are in memory."""
        return self._fold.remembered_count

    def fold(
        self, arrivals: Sequence[Arrival], *, first_offset: int, next_offset: int, now_ms: int
    ) -> BatchOutcome:
        """Fail on event e2."""
        if any(arrival.event.id == "e2" for arrival in arrivals):
            raise ZeroDivisionError("a bug")
        return self._fold.fold(
            arrivals, first_offset=first_offset, next_offset=next_offset, now_ms=now_ms
        )


async def test_a_batch_is_stored_with_the_offset_that_it_reaches() -> None:
    checkpoints, told = MemoryCheckpoint(), list[Stored]()
    one = step(checkpoints, stored=told.append)

    verdict = await one.take(item(EVENTS), NOW_MS)

    assert verdict is Verdict.STORED
    assert one.position == 6
    assert _ids(checkpoints) == [event.id for event in EVENTS]
    assert [stored.outcome.next_offset for stored in told] == [6]


@pytest.mark.requirement("counted-once-on-replay")
async def test_a_batch_that_comes_again_changes_nothing() -> None:
    checkpoints = MemoryCheckpoint()
    await step(checkpoints).take(item(EVENTS), NOW_MS)

    verdict = await step(checkpoints).take(item(EVENTS), NOW_MS)

    assert verdict is Verdict.STORED
    assert len(_ids(checkpoints)) == 6
    assert checkpoints.sessions["local", "s1"].totals.calls == 6  # type: ignore[index] # ids are new types of str


async def test_of_a_batch_that_overlaps_only_what_is_new_is_stored() -> None:
    checkpoints = MemoryCheckpoint()
    await step(checkpoints).take(item(EVENTS[:4]), NOW_MS)

    await step(checkpoints).take(item(EVENTS[2:], first_offset=2), NOW_MS)

    assert _ids(checkpoints) == [event.id for event in EVENTS]


async def test_a_batch_after_a_hole_is_not_stored() -> None:
    checkpoints = MemoryCheckpoint()
    one = step(checkpoints)
    await one.take(item(EVENTS[:2]), NOW_MS)

    verdict = await one.take(item(EVENTS[4:], first_offset=4), NOW_MS)

    assert verdict is Verdict.AHEAD
    assert one.position == 2
    assert len(_ids(checkpoints)) == 2


@pytest.mark.parametrize("after", [False, True])
async def test_a_commit_that_failed_is_made_again_only_if_it_did_not_happen(after: bool) -> None:
    checkpoints = FailingOnce(after=after)
    one = step(checkpoints)

    with pytest.raises(StoreAway):
        await one.take(item(EVENTS), NOW_MS)
    assert not one.claimed
    await one.take(item(EVENTS), NOW_MS)

    assert _ids(checkpoints) == [event.id for event in EVENTS]
    assert one.position == 6


@pytest.mark.requirement("fenced-worker-writes-nothing")
async def test_a_step_whose_partition_was_claimed_by_another_writes_nothing() -> None:
    checkpoints = MemoryCheckpoint()
    old, new = step(checkpoints), step(checkpoints)
    await old.claim()
    await new.claim()

    with pytest.raises(Fenced):
        await old.take(item(EVENTS), NOW_MS)

    assert _ids(checkpoints) == []
    assert not old.claimed


@pytest.mark.requirement("unreadable-dead-letter")
async def test_an_unreadable_record_is_a_dead_letter_with_its_offset_and_the_next_counts() -> None:
    checkpoints = MemoryCheckpoint()

    await step(checkpoints).take(item([EVENTS[0], b"{nonsense", b"", EVENTS[1]]), NOW_MS)

    assert _ids(checkpoints) == ["e0", "e1"]
    assert [(letter.offset, letter.payload) for letter in checkpoints.dead_letters] == [
        (1, b"{nonsense"),
        (2, b""),
    ]


async def test_an_event_that_the_store_refuses_becomes_a_dead_letter_alone() -> None:
    checkpoints = Choosy()

    await step(checkpoints).take(item(EVENTS), NOW_MS)

    assert _ids(checkpoints) == ["e0", "e1", "e2", "e4", "e5"]
    [letter] = checkpoints.dead_letters
    assert letter.offset == 3
    assert "a value that cannot be stored" in letter.reason


async def test_an_event_that_cannot_be_counted_becomes_a_dead_letter_alone() -> None:
    checkpoints = MemoryCheckpoint()

    def fold(claim: Checkpoint) -> Fold[Arrival]:
        return Stumbling(claim)

    recipe = msgspec.structs.replace(AGENTS, fold=fold)
    one = step(checkpoints, recipe=recipe)
    await one.take(item(EVENTS), NOW_MS)

    assert _ids(checkpoints) == ["e0", "e1", "e3", "e4", "e5"]
    [letter] = checkpoints.dead_letters
    assert (letter.offset, letter.tenant) == (2, "local")
    assert "ZeroDivisionError: a bug" in letter.reason
    assert one.position == 6


async def test_a_session_is_recalled_so_that_its_ids_are_known_after_a_restart() -> None:
    checkpoints = MemoryCheckpoint()
    await step(checkpoints).take(item(EVENTS), NOW_MS)

    await step(checkpoints).take(item(EVENTS[:3], first_offset=6), NOW_MS)

    assert len(_ids(checkpoints)) == 6
    assert checkpoints.positions[1, 0].duplicate_count == 3


async def test_a_quiet_partition_closes_its_windows_and_sends_them_as_results() -> None:
    checkpoints = MemoryCheckpoint()
    one = step(checkpoints)
    await one.take(item(EVENTS), NOW_MS)

    await one.tick(NOW_MS + 7_200_000)

    assert all(cell.closed for cells in checkpoints.cells.values() for cell in cells.values())
    sent = {record.topic for record in checkpoints.outbox.values()}
    assert sent == {"mainstem.metrics.v1", "mainstem.partials.v1"}
    assert one.position == 6
