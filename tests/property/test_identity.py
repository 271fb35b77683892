"""The law of identity: however a history is told, it comes to what the agent itself says.

By any ingest paths, in any order, again and again, by files of any session in any order of reading,
live before or after, over any restart. `MAINSTEM_TESTS_HISTORIES` says how many histories are
drawn.
"""

import os
from itertools import combinations, permutations
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from analytics.contracts.agent_events import AgentEvent
from tests.support.histories import Manner, Session, Teller, Turn, account, counted, imported

HISTORIES: Final = int(os.environ.get("MAINSTEM_TESTS_HISTORIES", "60"))
History = tuple[Session, ...]
Telling = list[AgentEvent]


@st.composite
def histories(draw: DrawFn) -> History:
    """Draw sessions of which each but the first may be a fork of one before it."""
    sessions: list[Session] = []
    number = 0
    for place in range(draw(st.integers(1, 3))):
        turns = []
        for _ in range(draw(st.integers(1, 3))):
            number += 1
            failed = draw(st.integers(0, 5)) == 0
            turns.append(
                Turn(number=number, tokens=draw(st.integers(1, 2)), tool=draw(st.booleans()),
                     failed=failed)
            )  # fmt: skip
        parent = draw(st.none() | st.sampled_from(sessions)) if sessions else None
        whole = (*parent.copied, *parent.turns) if parent else ()
        sessions.append(
            Session(
                name=f"session-{place}-90ab12cd",
                copied=whole[: draw(st.integers(0, len(whole)))],
                parent=parent.name if parent else "",
                turns=tuple(turns),
            )
        )
    return tuple(sessions)


@st.composite
def tellings(draw: DrawFn, manner: Manner, history: History) -> list[Telling]:
    """Draw what is told, each part maybe twice, in any order: in the end every file was read."""
    teller = Teller(manner)
    parts: list[Telling] = []
    for session in history:
        ingest_paths = (teller.by_logs, teller.by_traces, teller.by_hooks, teller.by_metrics)
        parts += [
            _parted(draw, ingest_path(session))
            for ingest_path in ingest_paths
            if draw(st.booleans())
        ]
    files = [teller.transcript(session) for session in history]
    for _ in range(draw(st.integers(0, 2))):
        some = draw(st.lists(st.sampled_from(range(len(files))), unique=True))
        parts.append(imported(*(files[place] for place in some)))
    parts.append(imported(*draw(st.permutations(files))))
    parts += [part for part in parts if draw(st.integers(0, 3)) == 0]
    return draw(st.permutations(parts))


def _parted(draw: DrawFn, events: Telling) -> Telling:
    """Return events in another order than they happened, now and then."""
    return draw(st.permutations(events)) if draw(st.integers(0, 3)) == 0 else events


manners = st.builds(
    Manner,
    request_ids=st.booleans(),
    client_ids=st.booleans(),
    message_ids=st.booleans(),
    turn_ids=st.booleans(),
    tool_ids=st.booleans(),
    named_forks=st.booleans(),
    running_totals=st.booleans(),
)


@st.composite
def told_histories(draw: DrawFn) -> tuple[History, list[Telling]]:
    """Draw a history and how it is told."""
    history = draw(histories())
    return history, draw(tellings(draw(manners), history))


@pytest.mark.requirement("one-identity")
@settings(max_examples=HISTORIES)
@given(told=told_histories(), restarting=st.booleans())
def test_a_history_comes_to_what_the_agent_says_however_it_is_told(
    told: tuple[History, list[Telling]], *, restarting: bool
) -> None:
    history, parts = told

    assert counted(parts, restarting=restarting) == account(history)


INGEST_PATHS: Final = ("logs", "traces", "hooks", "metrics")
FIRST, SECOND = (Turn(number=number, tokens=number, tool=number == 2) for number in (1, 2))
FORKED: Final = (
    Session(name="session-0-90ab12cd", turns=(FIRST, SECOND)),
    Session(
        name="session-1-90ab12cd", copied=(FIRST, SECOND), parent="session-0-90ab12cd",
        turns=(Turn(number=3, tokens=1),),
    ),
)  # fmt: skip


@pytest.mark.requirement("one-identity")
@pytest.mark.parametrize(
    "ingest_paths",
    [ingest_paths for size in range(5) for ingest_paths in combinations(INGEST_PATHS, size)],
)
@pytest.mark.parametrize("request_ids", [True, False])
@pytest.mark.parametrize("named_forks", [True, False])
def test_a_fork_and_its_parent_come_to_what_the_agent_says_by_any_ingest_paths_in_any_order(
    ingest_paths: tuple[str, ...], *, request_ids: bool, named_forks: bool
) -> None:
    teller = Teller(Manner(request_ids=request_ids, named_forks=named_forks))
    tellers = {
        "logs": teller.by_logs, "traces": teller.by_traces, "hooks": teller.by_hooks,
        "metrics": teller.by_metrics,
    }  # fmt: skip
    live = [
        [event for one in FORKED for event in tellers[ingest_path](one)]
        for ingest_path in ingest_paths
    ]
    files = [teller.transcript(session) for session in FORKED]

    for order in (files, files[::-1]):
        disk = [imported(one) for one in order]
        for parts in ([*live, *disk], [*disk, *live], [*live[:1], *disk, *live[1:]]):
            assert counted([*parts, imported(*files)]) == account(FORKED)


FAILED: Final = tuple(Turn(number=number, tokens=1, failed=True) for number in (1, 2, 3, 4))
TIED: Final = (
    Session(name="session-0-90ab12cd", turns=FAILED[:2]),
    Session(
        name="session-1-90ab12cd", copied=FAILED[:1], parent="session-0-90ab12cd",
        turns=FAILED[2:3],
    ),
    Session(
        name="session-2-90ab12cd", copied=FAILED[:1], parent="session-1-90ab12cd",
        turns=FAILED[3:],
    ),
)  # fmt: skip


@pytest.mark.requirement("one-identity")
@pytest.mark.parametrize("order", list(permutations(range(3))))
@pytest.mark.parametrize("ingest_path", ["logs", "hooks"])
@pytest.mark.parametrize("live", [(0,), (1,), (2,), (0, 1), (0, 1, 2)])
@pytest.mark.parametrize("named_forks", [True, False])
def test_of_prompts_alike_in_one_millisecond_one_is_the_copy_whatever_is_read_first(
    order: tuple[int, ...], ingest_path: str, live: tuple[int, ...], *, named_forks: bool
) -> None:
    teller = Teller(Manner(message_ids=False, named_forks=named_forks))
    by = {"logs": teller.by_logs, "hooks": teller.by_hooks}[ingest_path]
    files = [teller.transcript(TIED[place]) for place in order]

    told = [*(by(TIED[place]) for place in live), imported(*files)]

    assert counted(told) == account(TIED)
