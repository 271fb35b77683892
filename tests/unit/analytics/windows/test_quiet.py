"""A partition without records: what the others hear of it, and when it has nothing more to say."""

from collections.abc import Callable, Sequence

import pytest

from analytics.contracts import topics
from analytics.contracts.events import ConnectionOpened, Event
from analytics.measures.count_fold import BY_KIND, CountFold, Kind, spec_of
from analytics.measures.fold import Arrival, FoldRules
from analytics.measures.rows import BatchOutcome
from streams.consumer.folds import Fold
from tests.support import facts
from tests.support.facts import T0_MS, arrivals
from tests.support.folding import Kept, new_fold

RULES = FoldRules(lateness_ms=5_000, idle_ms=20_000)
LAST_MS = T0_MS + 41_000
"""When the only event comes: its windows end 9 s and 19 s later."""


def agents(kept: Kept) -> Fold[Arrival]:
    return new_fold(kept, rules=RULES)


def connections(kept: Kept) -> CountFold[Kind]:
    return CountFold(
        topics.CONNECTIONS, BY_KIND, spec_of(RULES),
        watermark_ms=kept.watermark_ms, open_cells=kept.open_cells(), rules=RULES,
    )  # fmt: skip


TOLD: dict[Callable[[Kept], Fold[Arrival]], Event] = {
    agents: facts.tool("t", id="e", at_ms=LAST_MS),
    connections: facts.fact(ConnectionOpened, id="e", at_ms=LAST_MS),
}


@pytest.fixture(params=[agents, connections])
def partition(request: pytest.FixtureRequest) -> "Partition":
    """Give a partition of a topic that has one open window of each width."""
    made = Partition(request.param, Kept())
    made.hear([TOLD[request.param]])
    return made


class Partition:
    """A partition's fold, and the store behind it."""

    def __init__(self, make: Callable[[Kept], Fold[Arrival]], kept: Kept) -> None:
        self.make, self.kept = make, kept
        self.fold = make(kept)
        self.next_offset = 0

    def hear(self, told: Sequence[Event]) -> BatchOutcome:
        batch = arrivals(told, first_offset=self.next_offset)
        for key in self.fold.unknown(batch):
            self.fold.remember(key, self.kept.sessions.get(key), ())
        begin, self.next_offset = self.next_offset, self.next_offset + len(batch)
        outcome = self.fold.fold(
            batch, first_offset=begin, next_offset=self.next_offset, now_ms=LAST_MS
        )
        self.kept.commit(outcome)
        return outcome

    def wait(self, seconds: int) -> tuple[int, bool] | None:
        """Return how far time is after so long (in s), and whether that is the last word."""
        now_ms = LAST_MS + seconds * 1_000
        outcome = self.fold.tick(next_offset=self.next_offset, now_ms=now_ms)
        if outcome is None:
            return None
        self.kept.commit(outcome)
        return (outcome.watermark_ms - T0_MS) // 1_000, outcome.quiet


def test_ends_of_windows_are_told_of_until_nothing_is_open_and_then_no_more(
    partition: Partition,
) -> None:
    said = {seconds: partition.wait(seconds) for seconds in range(300)}

    told = [one for one in said.values() if one is not None]
    assert [time for time, _ in told][-2:] == [50, 60]
    assert [quiet for _, quiet in told] == [False] * (len(told) - 1) + [True]
    assert partition.fold.open_count == 0


def test_a_partition_that_is_taken_over_when_nothing_is_open_says_so_once(
    partition: Partition,
) -> None:
    for seconds in range(60):
        partition.wait(seconds)
    after = Partition(partition.make, partition.kept)
    after.next_offset = partition.next_offset

    said = [after.wait(100 + seconds) for seconds in range(60)]

    assert [one for one in said if one is not None] == [(141, True)]


def test_a_partition_that_never_had_a_record_says_nothing(partition: Partition) -> None:
    unused = Partition(partition.make, Kept())

    assert [unused.wait(seconds) for seconds in range(100)] == [None] * 100


def test_a_partition_that_woke_falls_quiet_again(partition: Partition) -> None:
    for seconds in range(60):
        partition.wait(seconds)
    before_ms = partition.kept.watermark_ms

    partition.hear([TOLD[partition.make]])
    said = [partition.wait(seconds) for seconds in range(100, 200)]

    assert partition.kept.watermark_ms > before_ms
    assert [quiet for _, quiet in filter(None, said)][-1]
