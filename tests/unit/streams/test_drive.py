"""Who holds which partition, what waits, and what goes back."""

import asyncio
from collections.abc import Collection, Sequence
from typing import Any

import pytest
from faust.types import TP
from msgspec import structs

from analytics.contracts import topics
from analytics.contracts.cloudevents import Record
from analytics.contracts.errors import StoreAway
from analytics.measures.rows import Outcome
from streams.drive import Drive, Waits
from streams.flow import Bounds
from streams.ledger import Burial, Claim
from streams.reading import Reading, Taken
from streams.store.away import Unstorable
from tests.support import facts
from tests.support.ledger_memory import MemoryLedger
from tests.support.stream_simulation import Silent
from tests.support.stream_steps import LOG, RECIPES, Item, item, until

PARTITION = TP(topics.AGENTS.address, 0)
EVENTS = [facts.request(f"r{n}", id=f"e{n}", at_ms=facts.T0_MS + n) for n in range(6)]
BOUNDS = Bounds()
WAITS = Waits(retry_ms=100, retry_ms_max=1_000, fenced_ms=5_000)


class Clockwork:
    """A world with a clock that only sleeping moves."""

    def __init__(self) -> None:
        self.at_ms = facts.T0_MS
        self.slept: list[float] = []
        self.placed: list[tuple[TP, int]] = []
        self.is_quiet = True
        self.held: list[set[TP]] = []
        self.hindrance = ""

    def now_ms(self) -> int:
        """Return the time."""
        return self.at_ms

    def stopwatch(self) -> float:
        """Return the time in seconds."""
        return self.at_ms / 1_000

    async def sleep(self, seconds: float) -> None:
        """Move the clock."""
        self.slept.append(seconds)
        self.at_ms += int(seconds * 1_000)
        await asyncio.sleep(0)

    async def place(self, tp: TP, offset: int, *, mark: int) -> None:
        """Note where a partition goes on."""
        self.placed.append((tp, offset))

    def hold(self, held: Collection[TP]) -> None:
        """Note which partitions are held."""
        self.held.append(set(held))

    def hindered(self) -> str:
        """Say what the test wants."""
        return self.hindrance

    def quiet(self, tp: TP, offset: int) -> bool:
        """Say what the test wants."""
        return self.is_quiet


class Away(MemoryLedger):
    """A ledger that is away for some calls."""

    def __init__(self, calls: int) -> None:
        super().__init__()
        self.calls = calls

    async def commit(
        self,
        claim: Claim,
        outcome: Outcome,
        *,
        outbox: Sequence[Record] = (),
        burials: Sequence[Burial] = (),
    ) -> None:
        """Be away as often as asked for."""
        self.calls -= 1
        if self.calls >= 0:
            raise StoreAway("no route to the store")
        await super().commit(claim, outcome, outbox=outbox, burials=burials)


class Broken(MemoryLedger):
    """A ledger with a bug."""

    async def claim(self, *, cluster_id: str, topic: str, partition: int) -> Claim:
        """Fail as nobody expects."""
        raise KeyError(topic)


def _drive(ledger: MemoryLedger, bounds: Bounds = BOUNDS) -> tuple[Drive, Clockwork, Silent]:
    world, watch = Clockwork(), Silent()
    drive = Drive(RECIPES, ledger, world, watch=watch, waits=WAITS, bounds=bounds)
    return drive, world, watch


def _ids(ledger: MemoryLedger) -> list[str]:
    return [row.id for rows in ledger.rows.values() for row in rows]


async def test_a_partition_is_placed_where_the_store_says_that_it_starts() -> None:
    ledger = MemoryLedger()
    first, _, _ = _drive(ledger)
    await first.assigned([PARTITION], log_id=LOG, generation=1)
    await first.take(item(EVENTS))
    second, world, _ = _drive(ledger)

    await second.assigned([PARTITION], log_id=LOG, generation=2)

    assert world.placed == [(PARTITION, 6)]
    assert second.reached() == {PARTITION: 6}


@pytest.mark.requirement("new-log-starts-anew")
async def test_another_cluster_is_another_log_that_starts_at_zero() -> None:
    ledger = MemoryLedger()
    drive, world, _ = _drive(ledger)
    await drive.assigned([PARTITION], log_id=LOG, generation=1)
    await drive.take(item(EVENTS))

    await drive.assigned([PARTITION], log_id="cluster-b", generation=1)
    stale = item(EVENTS, first_offset=6)
    await drive.take(stale)
    fresh = [facts.request("n", id="new", at_ms=facts.T0_MS)]
    await drive.take(item(fresh, log_id="cluster-b"))

    assert world.placed == [(PARTITION, 0), (PARTITION, 0)]
    assert _ids(ledger) == [*(event.id for event in EVENTS), "new"]


async def test_a_store_that_is_away_is_waited_for_with_backoff_and_the_batch_is_kept() -> None:
    ledger = Away(6)
    drive, world, _ = _drive(ledger)
    await drive.assigned([PARTITION], log_id=LOG, generation=1)

    await drive.take(item(EVENTS))

    assert world.slept == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]
    assert len(_ids(ledger)) == 6
    assert drive.waiting == {}


async def test_a_revoked_partition_is_let_go_in_the_middle_of_a_wait() -> None:
    ledger = Away(1_000_000)
    drive, world, _ = _drive(ledger)
    await drive.assigned([PARTITION], log_id=LOG, generation=1)
    taking = asyncio.create_task(drive.take(item(EVENTS)))
    await until(lambda: len(world.slept) >= 3)

    drive.revoked([PARTITION])
    await taking

    assert _ids(ledger) == []
    assert drive.held() == {}


async def test_a_batch_of_a_partition_that_is_not_ours_is_passed_over() -> None:
    ledger = MemoryLedger()
    drive, _, _ = _drive(ledger)

    await drive.take(item(EVENTS))

    assert _ids(ledger) == []


async def test_a_hole_puts_the_partition_back_to_where_the_store_is() -> None:
    ledger = MemoryLedger()
    drive, world, watch = _drive(ledger)
    await drive.assigned([PARTITION], log_id=LOG, generation=1)
    await drive.take(item(EVENTS[:2]))

    await drive.take(item(EVENTS[3:], first_offset=3))

    assert world.placed[-1] == (PARTITION, 2)
    assert watch.seen["rewound"] == 1


@pytest.mark.requirement("fenced-worker-writes-nothing")
async def test_a_fenced_partition_is_left_alone_and_claimed_back_after_a_while() -> None:
    ledger = MemoryLedger()
    drive, world, watch = _drive(ledger)
    await drive.assigned([PARTITION], log_id=LOG, generation=1)
    await ledger.claim(cluster_id=LOG, topic=PARTITION.topic, partition=0)

    await drive.take(item(EVENTS))
    await drive.tick()
    assert (_ids(ledger), drive.reached()) == ([], {})
    world.at_ms += WAITS.fenced_ms
    await drive.tick()
    await drive.take(item(EVENTS))

    assert watch.seen["fenced"] == 1
    assert world.placed[-1] == (PARTITION, 0)
    assert len(_ids(ledger)) == 6


async def test_time_passes_only_for_a_partition_whose_records_are_all_stored() -> None:
    ledger = MemoryLedger()
    drive, world, _ = _drive(ledger)
    await drive.assigned([PARTITION], log_id=LOG, generation=1)
    await drive.take(item(EVENTS))
    world.at_ms += 7_200_000

    world.is_quiet = False
    await drive.tick()
    closed_early = [cell.closed for cell in ledger.cells[1, 0].values()]
    world.is_quiet = True
    await drive.tick()

    assert not any(closed_early)
    assert all(cell.closed for cell in ledger.cells[1, 0].values())


async def test_after_closing_nothing_is_begun_any_more() -> None:
    ledger = MemoryLedger()
    drive, _, _ = _drive(ledger)
    await drive.assigned([PARTITION], log_id=LOG, generation=1)

    await drive.close()
    await drive.take(item(EVENTS))

    assert _ids(ledger) == []


async def test_what_nobody_expected_is_told_to_whoever_runs_the_drive() -> None:
    drive, _, _ = _drive(Broken())

    await drive.assigned([PARTITION], log_id=LOG, generation=1)

    async with asyncio.timeout(5):
        assert isinstance(await drive.failed(), KeyError)


class Slow(MemoryLedger):
    """A ledger whose commits take until they are let through, and may then fail."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: list[asyncio.Event] = []
        self.refused: list[Exception] = []

    async def commit(
        self,
        claim: Claim,
        outcome: Outcome,
        *,
        outbox: Sequence[Record] = (),
        burials: Sequence[Burial] = (),
    ) -> None:
        """Wait to be let through."""
        gate = asyncio.Event()
        self.waiting.append(gate)
        await gate.wait()
        if self.refused:
            raise self.refused.pop(0)
        await super().commit(claim, outcome, outbox=outbox, burials=burials)

    async def let_through(self, commits: int) -> None:
        """Let commits through, one after the other, as they come."""
        for _ in range(commits):
            await until(lambda: bool(self.waiting))
            self.waiting.pop(0).set()


def _pieces(size: int = 1, *, partition: int = 0, weight: int = 1) -> list[Item]:
    made = [structs.replace(event, session_id=f"s{partition}") for event in EVENTS]
    return [
        structs.replace(
            item(made[at : at + size], first_offset=at, partition=partition), size=weight
        )
        for at in range(0, len(made), size)
    ]


async def test_batches_that_wait_are_stored_as_one_as_far_as_they_join() -> None:
    ledger = Slow()
    drive, _, _ = _drive(ledger, Bounds(records_max=4))
    await drive.assigned([PARTITION], log_id=LOG, generation=1)

    tickets = [drive.give(piece) for piece in _pieces()]
    await ledger.let_through(2)
    await asyncio.wait([ticket for ticket in tickets if ticket is not None])

    assert _ids(ledger) == [event.id for event in EVENTS]
    assert ledger.waiting == []


async def test_the_next_batch_is_folded_while_the_one_before_it_is_committed() -> None:
    ledger = Slow()
    read: list[int] = []
    recipe = RECIPES[PARTITION.topic]

    def reading(partition: int, records: Sequence[Taken], now_ms: int) -> Reading[Any]:
        read.append(records[0].offset)
        return recipe.read(partition, records, now_ms)

    world, watch = Clockwork(), Silent()
    watched = {PARTITION.topic: structs.replace(recipe, read=reading)}
    bounds = Bounds(records_max=3)
    drive = Drive(watched, ledger, world, watch=watch, waits=WAITS, bounds=bounds)
    await drive.assigned([PARTITION], log_id=LOG, generation=1)

    tickets = [drive.give(piece) for piece in _pieces(3)]
    await until(lambda: read == [0, 3] and bool(ledger.waiting))
    committing = len(ledger.waiting)
    await ledger.let_through(2)
    await asyncio.wait([ticket for ticket in tickets if ticket is not None])

    assert committing == 1
    assert _ids(ledger) == [event.id for event in EVENTS]


@pytest.mark.parametrize("error", [StoreAway("reset"), Unstorable("a NUL character")])
async def test_what_was_folded_behind_a_commit_that_failed_is_folded_anew(
    error: Exception,
) -> None:
    ledger = Slow()
    drive, _, watch = _drive(ledger, Bounds(records_max=3))
    await drive.assigned([PARTITION], log_id=LOG, generation=1)

    tickets = [drive.give(piece) for piece in _pieces(3)]
    ledger.refused.append(error)
    await ledger.let_through(3)
    await asyncio.wait([ticket for ticket in tickets if ticket is not None])

    assert _ids(ledger) == [event.id for event in EVENTS]
    assert [row.totals.calls for row in ledger.sessions.values()] == [6]
    assert watch.seen["stored"] == 2


async def test_a_fenced_partition_lets_go_of_all_that_waits() -> None:
    ledger = Slow()
    drive, _, _ = _drive(ledger, Bounds(records_max=1))
    await drive.assigned([PARTITION], log_id=LOG, generation=1)
    tickets = [drive.give(piece) for piece in _pieces()]
    await ledger.claim(cluster_id=LOG, topic=PARTITION.topic, partition=0)

    await ledger.let_through(1)
    await asyncio.wait([ticket for ticket in tickets if ticket is not None])

    assert _ids(ledger) == []
    assert (drive.reached(), drive.waiting_bytes) == ({}, 0)


@pytest.mark.requirement("limits-have-names")
async def test_a_partition_with_its_share_of_what_may_wait_is_held_until_some_is_folded() -> None:
    ledger = Slow()
    drive, world, _ = _drive(ledger, Bounds(batches_max=1, records_max=1, waiting_bytes_max=40))
    other = TP(PARTITION.topic, 1)
    await drive.assigned([PARTITION, other], log_id=LOG, generation=1)

    tickets = [drive.give(piece) for piece in _pieces(weight=10)]
    await until(lambda: bool(ledger.waiting))
    alone = world.held[-1]
    tickets += [drive.give(piece) for piece in _pieces(partition=1, weight=10)]
    await asyncio.sleep(0)
    both = world.held[-1]
    await ledger.let_through(12)
    await asyncio.wait([ticket for ticket in tickets if ticket is not None])

    assert alone == {PARTITION}
    assert both == {PARTITION, other}
    assert world.held[-1] == set()
    assert len(_ids(ledger)) == 12


async def test_a_slow_partition_does_not_starve_the_others() -> None:
    ledger = Slow()
    drive, _, _ = _drive(ledger, Bounds(batches_max=3, records_max=1))
    other = TP(PARTITION.topic, 1)
    await drive.assigned([PARTITION, other], log_id=LOG, generation=1)
    slow = [drive.give(piece) for piece in _pieces()]
    await until(lambda: len(ledger.waiting) == 1)
    stuck = ledger.waiting.pop()

    quick = [drive.give(piece) for piece in _pieces(partition=1)]
    await ledger.let_through(6)
    await asyncio.wait([ticket for ticket in quick if ticket is not None])
    stored = len(_ids(ledger))
    stuck.set()
    await ledger.let_through(5)
    await asyncio.wait([ticket for ticket in slow if ticket is not None])

    assert stored == 6
    assert len(_ids(ledger)) == 12


@pytest.mark.requirement("limits-have-names")
async def test_nothing_is_stored_while_the_outbox_is_full_and_it_is_said() -> None:
    ledger = MemoryLedger()
    drive, world, watch = _drive(ledger)
    await drive.assigned([PARTITION], log_id=LOG, generation=1)
    world.hindrance = "9 results wait to be sent, and 8 may"
    taking = asyncio.create_task(drive.take(item(EVENTS)))
    await until(lambda: len(world.slept) >= 2)
    waiting, stored = dict(drive.waiting), _ids(ledger)

    world.hindrance = ""
    await taking

    assert (waiting, stored) == ({"outbox": "9 results wait to be sent, and 8 may"}, [])
    assert len(_ids(ledger)) == 6
    assert (drive.waiting, watch.seen["waiting"]) == ({}, 2)


@pytest.mark.requirement("log-that-went-back")
async def test_a_log_that_went_back_is_left_alone_said_and_looked_at_again() -> None:
    ledger = MemoryLedger()
    drive, world, _ = _drive(ledger)
    await drive.assigned([PARTITION], log_id=LOG, generation=1)
    await drive.take(item(EVENTS))

    drive.diverged(PARTITION, "it ends at offset 2, and was stored up to 6")
    await drive.take(item(EVENTS[:2], first_offset=6))
    left = (drive.reached(), len(_ids(ledger)), drive.waiting["log"])
    world.at_ms += WAITS.fenced_ms
    await drive.tick()
    await drive.take(item([facts.request("n", id="new")], first_offset=6))

    assert left[:2] == ({}, 6)
    assert "it ends at offset 2" in left[2]
    assert "MAINSTEM_STREAMS_LOG_GENERATION" in left[2]
    assert world.placed[-1] == (PARTITION, 6)
    assert (len(_ids(ledger)), drive.waiting) == (7, {})


async def test_a_drive_that_is_killed_leaves_nothing_that_waits() -> None:
    ledger = Slow()
    drive, _, _ = _drive(ledger, Bounds(records_max=1))
    await drive.assigned([PARTITION], log_id=LOG, generation=1)
    tickets = [drive.give(piece) for piece in _pieces()]
    await until(lambda: bool(ledger.waiting))

    await drive.kill()

    assert all(ticket is not None and ticket.done() for ticket in tickets)
    assert _ids(ledger) == []
