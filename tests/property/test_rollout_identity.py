"""The law of identity for Codex: however its threads are written and told, each thing counts once.

Forks of forks, with copies of their parents' lines or without, in any order of reading, told
again, live before or after, over any restart. Where turns have no ids no two prompts are the same
here, and no fork is forked: there only the file that a copied line comes from tells whose it is.
"""

import os
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from analytics.contracts.agent_events import AgentEvent
from tests.support.histories import Account, counted
from tests.support.rollouts import BEGAN_MS, Form, Thread, Turn, imported, logged, written

HISTORIES: Final = int(os.environ.get("MAINSTEM_TESTS_HISTORIES", "60"))
MINUTE_MS: Final = 60_000

forms = st.sampled_from(
    [
        Form(),
        Form(turn_ids=False),
        Form(copies=False),
        Form(records=True),
        Form(copies=False, records=True),
    ]
)


@st.composite
def threads(draw: DrawFn, form: Form) -> list[Thread]:
    """Draw threads of which each but the first may be a fork of one before it."""
    made: list[Thread] = []
    number, now_ms = 0, BEGAN_MS
    for place in range(draw(st.integers(1, 4))):
        roots = [thread for thread in made if form.turn_ids or thread.parent is None]
        parent = draw(st.none() | st.sampled_from(roots)) if roots else None
        whole = (*parent.kept, *parent.turns) if parent else ()
        now_ms += MINUTE_MS
        began_ms = now_ms
        turns = []
        for _ in range(draw(st.integers(1, 3))):
            number, now_ms = number + 1, now_ms + MINUTE_MS
            text = draw(st.sampled_from(["go on", "again", "och 🙂"]))
            text = text if form.turn_ids else f"{text} {number}"
            answers = draw(st.lists(st.integers(1, 3), min_size=1, max_size=3))
            turns.append(Turn(number=number, text=text, answers=tuple(answers), began_ms=now_ms))
        kept = whole[: draw(st.integers(0, len(whole)))]
        made.append(
            Thread(number=place, began_ms=began_ms, turns=tuple(turns), parent=parent, kept=kept)
        )
    return made


@st.composite
def told_threads(draw: DrawFn) -> tuple[list[Thread], list[list[AgentEvent]]]:
    """Draw threads and how they are told: in the end every file was read."""
    form = draw(forms)
    history = draw(threads(form))
    files = [written(thread, form) for thread in history]
    parts = [logged(thread) for thread in history if draw(st.booleans())]
    if draw(st.booleans()):
        some = draw(st.lists(st.sampled_from(range(len(files))), unique=True))
        parts.append(imported([files[place] for place in some])[1])
    parts.append(imported(draw(st.permutations(files)))[1])
    parts += [part for part in parts if draw(st.integers(0, 3)) == 0]
    return history, draw(st.permutations(parts))


def account(history: list[Thread]) -> Account:
    """Return what truly happened; a half of what went in was cached, and nothing has a price."""
    turns = [turn for thread in history for turn in thread.turns]
    output = sum(sum(turn.answers) for turn in turns)
    calls = sum(len(turn.answers) for turn in turns)
    return Account(calls, 0, len(turns), calls - len(turns), 50 * output, output, 0)


@pytest.mark.requirement("one-identity")
@settings(max_examples=HISTORIES)
@given(told=told_threads(), restarting=st.booleans())
def test_threads_come_to_what_codex_says_however_they_are_told(
    told: tuple[list[Thread], list[list[AgentEvent]]], *, restarting: bool
) -> None:
    history, parts = told

    assert counted(parts, restarting=restarting) == account(history)


@settings(max_examples=HISTORIES)
@given(form=forms, data=st.data())
def test_an_imports_own_figures_are_the_same_in_any_order(form: Form, data: st.DataObject) -> None:
    history = data.draw(threads(form))
    files = [written(thread, form) for thread in history]

    reader, _ = imported(data.draw(st.permutations(files)))

    truth, totals = account(history), reader.totals
    assert (totals.requests, totals.prompts, totals.tool_calls) == (
        truth.calls, truth.prompts, truth.tool_calls,
    )  # fmt: skip
    assert totals.spent.output_tokens == truth.output_tokens
