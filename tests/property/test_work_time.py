"""The time of work is of what was done: whoever tells of it first, it comes to the same."""

import os
import random
from typing import Any, Final

from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.contracts import agent_events as kinds
from analytics.contracts.facts import AgentFact, Source
from analytics.measures.rows import WIDTHS_MS, Grain
from tests.property.strategies import cut
from tests.support.facts import T0_MS, arrivals, fact
from tests.support.folding import Kept, fold_all

KINDS: Final[dict[str, tuple[type[AgentFact], dict[str, Any]]]] = {
    "start": (kinds.SessionStarted, {}),
    "prompt": (kinds.PromptSubmitted, {}),
    "prompt of a turn": (kinds.PromptSubmitted, {"prompt_id": "p1"}),
    "call": (kinds.ToolStarted, {"tool": "Bash"}),
    "call of a turn": (kinds.ToolStarted, {"tool": "Bash", "prompt_id": "p1"}),
    "word": (kinds.ToolDecided, {"tool": "Bash", "accepted": True}),
    "result": (kinds.ToolFinished, {"tool": "Read"}),
    "result of a turn": (kinds.ToolFinished, {"tool": "Read", "prompt_id": "p1"}),
    "same call": (kinds.ToolFinished, {"tool": "Bash", "input_digest": "same"}),
    "answer": (kinds.RequestFinished, {}),
    "answer on the side": (kinds.RequestFinished, {"query_source": "auxiliary"}),
    "limited": (kinds.RequestFailed, {"kind": "rate_limit"}),
    "asked": (kinds.AttentionNeeded, {"reason": "permission", "tool": "Bash"}),
    "notice": (kinds.AttentionNeeded, {"reason": "permission"}),
    "idle": (kinds.AttentionNeeded, {"reason": "idle"}),
    "replied": (kinds.AgentObserved, {"name": "hook.ElicitationResult"}),
    "subagent's start": (kinds.AgentStarted, {}),
    "subagent's end": (kinds.AgentFinished, {}),
    "turn's end": (kinds.TurnFinished, {}),
    "turn's end by name": (kinds.TurnFinished, {"prompt_id": "p1"}),
    "turn's end with tasks": (kinds.TurnFinished, {"background_tasks": 1}),
    "end": (kinds.SessionEnded, {}),
    "metered": (
        kinds.UsageReported,
        {"metric": "claude_code.active_time.total", "kind": "cli", "value": 90.0},
    ),
}
SIGN: Final = st.tuples(
    st.integers(0, 90) | st.integers(0, 1_500),
    st.sampled_from(sorted(KINDS)),
    st.sampled_from([Source.HOOK, Source.TRANSCRIPT, Source.CLAUDE_CODE]),
    st.sampled_from(["", "", "a1", "a2"]),
)
SIGNS: Final = st.lists(SIGN, min_size=2, max_size=24)
EXAMPLES: Final = int(os.environ.get("MAINSTEM_WORK_TIME_EXAMPLES", "500"))
CUTS: Final = st.sets(st.integers(1, 30), max_size=6)


def _fact(number: int, sign: tuple[int, str, Source, str]) -> Any:
    at_s, kind, source, agent_id = sign
    made, given = KINDS[kind]
    return fact(
        made, id=f"e{number}", at_ms=T0_MS + at_s * 1_000, source=source, agent_id=agent_id, **given
    )


def _active_ms(kept: Kept) -> list[int]:
    """Return the time of work of each session, which is also what all windows come to."""
    found = [row.totals.active_ms for row in kept.sessions.values()]
    assert {
        kept.sum_of(width_ms, grain, "active_ms")
        for width_ms in WIDTHS_MS
        for grain in (Grain.FLEET, Grain.SESSION)
    } == {sum(found)}
    return found


@settings(max_examples=EXAMPLES)
@given(
    signs=SIGNS,
    order=st.randoms(use_true_random=False),
    cuts=CUTS,
    repeated=st.lists(st.integers(0, 23), max_size=4),
)
def test_the_time_of_work_does_not_depend_on_the_order_in_which_it_is_told(
    signs: list[tuple[int, str, Source, str]],
    order: random.Random,
    cuts: set[int],
    repeated: list[int],
) -> None:
    told = [_fact(number, sign) for number, sign in enumerate(signs)]
    shuffled = told + [told[number] for number in repeated if number < len(told)]
    order.shuffle(shuffled)
    in_time = sorted(told, key=lambda event: event.at_ms)
    batches = cut(arrivals(shuffled), sorted(cuts))

    expected = _active_ms(fold_all([arrivals(in_time)]))

    assert _active_ms(fold_all([arrivals(shuffled)])) == expected
    assert _active_ms(fold_all(batches)) == expected
    assert _active_ms(fold_all(batches, restarting=True)) == expected
    assert expected[0] <= max(1_500_000, 90_000 * len(signs))
