"""The time of work: what late signs change, what is forgotten, what a version before knew."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.contracts import agent_events as kinds
from analytics.contracts.facts import AgentFact, Source
from analytics.measures import work_time
from analytics.measures.activity import AGENTS_MAX, Activity
from analytics.measures.rows import SessionState
from analytics.measures.work_time import SIGNS_MAX, SPARE, WorkTime, sign_of
from tests.support.facts import T0_MS, arrivals, fact
from tests.support.folding import fold_all, fold_batch, new_fold

GAP_MS = 300_000


def taken(work: WorkTime, *signs: tuple[Any, ...]) -> int:
    """Return what signs, by their second, kind and agent, come to."""
    return sum(work.take(sign_of(at_s * 1_000, *rest), gap_max_ms=GAP_MS) for at_s, *rest in signs)


def hook(kind: type[AgentFact], at_s: int, **fields: Any) -> Any:
    return fact(kind, id=f"{kind.__name__}{at_s}", at_ms=T0_MS + at_s * 1_000,
                source=Source.HOOK, **fields)  # fmt: skip


PROMPTED, WEAK, STRONG = work_time.PROMPTED, work_time.WEAK, work_time.STRONG
FINISHED, RESTED, ENDED = work_time.FINISHED, work_time.RESTED, work_time.ENDED
ASKED, NOTICED, SOFTLY = work_time.ASKED, work_time.NOTICED, work_time.PROMPTED_SOFTLY


@pytest.mark.parametrize(
    ("signs", "seconds"),
    [
        (((0, PROMPTED), (10, WEAK), (20, FINISHED), (50, PROMPTED), (55, WEAK)), 25),
        (((0, PROMPTED), (20, FINISHED), (30, WEAK), (40, WEAK)), 20),
        (((0, PROMPTED), (20, FINISHED), (30, STRONG), (40, WEAK)), 30),
        (((0, PROMPTED), (20, RESTED), (30, WEAK), (40, WEAK)), 30),
        (((0, PROMPTED), (20, FINISHED), (30, SOFTLY), (40, WEAK)), 20),
        (((0, PROMPTED), (20, FINISHED), (60, SOFTLY), (70, WEAK)), 30),
        (((0, PROMPTED), (301, WEAK), (601, WEAK)), 300),
        (((0, PROMPTED), (5, WEAK, "a"), (20, FINISHED), (30, WEAK, "a"), (40, FINISHED, "a")), 40),
        (((0, PROMPTED), (5, WEAK, "a"), (20, ENDED), (30, WEAK), (40, WEAK)), 30),
        (((0, PROMPTED), (5, ASKED, "a"), (9, NOTICED), (20, WEAK)), 20),
        (((0, PROMPTED), (9, NOTICED), (20, WEAK)), 9),
    ],
)
def test_what_counts_is_the_same_in_either_direction(
    signs: tuple[tuple[Any, ...], ...], seconds: int
) -> None:
    assert taken(WorkTime(), *signs) == taken(WorkTime(), *reversed(signs)) == seconds * 1_000


def test_a_turns_end_told_late_takes_back_what_ran_on_the_side() -> None:
    asked = [
        hook(kinds.PromptSubmitted, 0),
        fact(kinds.RequestFinished, at_ms=T0_MS + 100_000, source=Source.CLAUDE_CODE),
    ]
    batches = [arrivals(asked), arrivals([hook(kinds.TurnFinished, 20)], first_offset=2)]

    before, after = fold_all(batches[:1]), fold_all(batches, restarting=True)

    assert [row.totals.active_ms for row in before.sessions.values()] == [100_000]
    assert [row.totals.active_ms for row in after.sessions.values()] == [20_000]


def test_what_is_encoded_is_recalled_whatever_the_pieces() -> None:
    whole, work, pieces = WorkTime(), WorkTime(), []
    signs = [(9, WEAK), (0, PROMPTED), (5, WEAK, "a"), (20, FINISHED)]
    for sign in signs:
        taken(whole, sign)
        taken(work, sign)
        pieces.append(work.encode())
        work = WorkTime()
        work.recall(pieces)

    assert work.tail() == whole.tail()
    assert taken(work, (12, RESTED, "a")) == taken(whole, (12, RESTED, "a"))
    assert taken(work, *signs) == 0


@pytest.mark.requirement("limits-have-names")
def test_signs_older_than_those_that_are_forgotten_add_nothing() -> None:
    work, many = WorkTime(), SIGNS_MAX + SPARE
    taken(work, (1, PROMPTED), *((2 + at_s, WEAK) for at_s in range(many - 2)))
    assert len(work) == many - 1

    taken(work, (many, WEAK))

    assert len(work) == SIGNS_MAX
    assert taken(work, (0, FINISHED), (1, PROMPTED), (SPARE, WEAK)) == 0
    assert len(work) == SIGNS_MAX
    assert taken(work, (many + 10, WEAK)) == 10_000


@given(
    told=st.lists(
        st.tuples(
            st.integers(0, 2 * SIGNS_MAX),
            st.sampled_from([PROMPTED, STRONG, WEAK, ASKED, FINISHED]),
            st.sampled_from(["", "", "", "a"]),
        ),
        max_size=3 * (SIGNS_MAX + SPARE),
    ),
    later=st.integers(0, SIGNS_MAX + SPARE),
    cuts=st.sets(st.integers(0, 3 * (SIGNS_MAX + SPARE)), max_size=5),
)
def test_beyond_the_limit_too_it_is_the_same_however_the_log_is_cut_and_over_restarts(
    told: list[tuple[int, int, str]], later: int, cuts: set[int]
) -> None:
    signs = [*told, *((2 * SIGNS_MAX + at_s, WEAK, "") for at_s in range(later))]
    whole, cut, pieces = WorkTime(), WorkTime(), []
    grown = [0, 0]
    for number, sign in enumerate(signs):
        if number in cuts:
            pieces.append(cut.encode())
            cut = WorkTime()
            cut.recall(pieces)
        grown[0] += taken(whole, sign)
        grown[1] += taken(cut, sign)

    assert grown[0] == grown[1]
    assert cut.tail() == whole.tail()
    assert len(cut) == len(whole)


@pytest.mark.requirement("limits-have-names")
def test_agents_beyond_the_limit_are_forgotten_those_first_whose_turn_is_over() -> None:
    work = WorkTime()
    taken(work, (0, WEAK, "over"), (1, FINISHED, "over"))
    taken(work, *((2, WEAK, f"a{number}") for number in range(AGENTS_MAX)))

    assert taken(work, (5, WEAK, "over")) == 3_000
    assert work.tail().working


def test_what_a_version_before_knew_goes_on_and_what_is_older_adds_nothing() -> None:
    work = WorkTime()
    main = Activity(state=SessionState.RUNNING, working=True, active_at_ms=50_000)
    over = Activity(is_over=True, over_source="hook", since_ms=40_000, active_at_ms=40_000)

    work.restart(main, {"a": over})

    assert taken(work, (40, WEAK), (50, WEAK)) == 0
    assert taken(work, (60, WEAK, "a")) == 0
    assert taken(work, (65, WEAK)) == 15_000


def test_a_session_kept_by_the_version_before_goes_on_as_it_stood() -> None:
    kept = fold_all([arrivals([hook(kinds.PromptSubmitted, 0), hook(kinds.ToolStarted, 5)])])
    [key] = kept.memories
    data = kept.memories[key][0]
    former = msgspec.msgpack.encode(msgspec.msgpack.decode(data[4:])[:-1])
    kept.memories[key] = [len(former).to_bytes(4, "little") + former]

    late, later = hook(kinds.TurnFinished, 3), hook(kinds.ToolFinished, 15)
    fold_batch(new_fold(kept), kept, arrivals([late, later], first_offset=2))

    assert kept.sessions[key].totals.active_ms == 15_000


def test_signs_of_a_clock_that_is_a_century_ahead_are_kept_as_far_as_they_go() -> None:
    kept = fold_all(
        [
            arrivals([fact(kinds.ToolStarted, id=f"e{one}", at_ms=253_402_300_799_000 + one)])
            for one in range(3)
        ],
        restarting=True,
    )

    assert len(kept.memories) == 1
