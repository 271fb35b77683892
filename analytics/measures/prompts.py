"""How prompts are counted: once each, whichever of its hook, log and transcript tells of it.

A prompt's own name is the id of its message, which forks and copies keep. The id of its turn stands
in for it where a source does not say more; a fork gives its own to every prompt that it copied, so
prompts of different messages are different ones even if they share it.
"""

from typing import Final

from analytics.contracts.agent_events import PromptSubmitted
from analytics.contracts.facts import AgentFact, Source
from analytics.measures.columns import PROMPTS
from analytics.measures.event_step import INHERITED, EventStep, Told
from analytics.measures.identities import PROMPT
from analytics.measures.merging import PROMPT_COLUMNS, PromptState
from analytics.measures.report_matching import ingest_path_of, is_anothers, is_copy, register
from analytics.measures.reports import OWN, STAND_IN, TURN
from analytics.measures.sessions import SessionSignal

_PROMPTED: Final = SessionSignal.PROMPTED
_TRANSCRIPT: Final = Source.TRANSCRIPT
FIRST_PROMPT_LENGTH_MAX: Final = 500
"""Characters of a session's first prompt that are shown."""


def prompt_submitted(step: EventStep, event: AgentFact) -> Told:
    """Count a prompt."""
    assert isinstance(event, PromptSubmitted)
    memory = step.memory
    if _is_news(step, event):
        return _first_told(step, event)
    state, elsewhere = _met(step, event)
    if state is None and not _is_settled(step, event):
        state = _new_state(step, event)
    if state is not None:
        _merge(step, event, state, elsewhere=elsewhere)
    if elsewhere and is_copy(event):
        return INHERITED
    if event.text and not memory.first_prompt:
        memory.first_prompt = event.text[:FIRST_PROMPT_LENGTH_MAX]
    return (step.reach("", "", "", ""), _PROMPTED, "", "", None, None, False)


def _is_news(step: EventStep, event: PromptSubmitted) -> bool:
    """Say at little cost whether nothing that is known can be the prompt, as of most there is."""
    reports, message_id, turn = step.memory.prompts, event.message_id, event.prompt_id
    if (
        event.source is _TRANSCRIPT
        or step.identities.is_watchful
        or reports.may_have(step.ingest_path)
    ):
        return False
    known, names, settled = reports.known, reports.names, reports.settled
    if message_id and (message_id in known or message_id in names or message_id in settled):
        return False
    if not turn:
        return True
    named = _turn(event)
    return not (named in names or named in settled or turn in known or turn in settled)


def _first_told(step: EventStep, event: PromptSubmitted) -> Told:
    """Count a prompt that nothing was known of."""
    memory, message_id, turn = step.memory, event.message_id, event.prompt_id
    kinds = (OWN if message_id else 0) | (STAND_IN if turn else 0)
    state = PromptState(
        message_id or event.id, step.when_ms, memory.project, memory.agent, event.length,
        step.ingest_path, kinds, _turn(event),
    )  # fmt: skip
    if message_id:
        step.identities.register((memory.owner, memory.key[0], PROMPT, message_id))
    if turn:
        step.identities.register((memory.owner, memory.key[0], PROMPT, turn))
        memory.prompts.names[state.also] = state.key
    if memory.prompts.put(state):
        step.counters.merges_settled += 1
    if event.text and not memory.first_prompt:
        memory.first_prompt = event.text[:FIRST_PROMPT_LENGTH_MAX]
    delta = step.reach("", "", "", "")
    step.entries.changes.append((delta, PROMPTS, 1))
    return (delta, _PROMPTED, "", "", None, None, False)


def _met(step: EventStep, event: PromptSubmitted) -> tuple[PromptState | None, bool]:
    """Return the prompt that a report is of, if known, and whether it is another session's."""
    reports, message_id = step.memory.prompts, event.message_id
    state = reports.named(message_id) if message_id else None
    if state is not None:
        return state, state.elsewhere
    elsewhere = any(
        is_anothers(step, event, PROMPT, name) for name in (message_id, event.prompt_id)
    )
    state = _of_turn(step, event)
    if state is not None and not (message_id and state.kinds & OWN):
        return state, elsewhere or state.elsewhere
    if state is not None and not elsewhere and state.elsewhere and _is_mistaken(state, event):
        _take_back(step, event, state)
        return state, False
    kinds = OWN if message_id else 0
    if event.prompt_id and state is None:  # else the prompt of this turn was taken for another
        kinds |= STAND_IN
    shapes, ingest_path = ((event.length,),), ingest_path_of(event)
    state = reports.alike(
        shapes, ingest_path=ingest_path, kinds=kinds, when_ms=step.when_ms, elsewhere=elsewhere
    )
    if state is None:
        return None, elsewhere
    state.by_likeness = state.by_likeness or (elsewhere and not state.elsewhere)
    return state, elsewhere or state.elsewhere


def _of_turn(step: EventStep, event: PromptSubmitted) -> PromptState | None:
    """Return the prompt that is known to be of the same turn; older versions knew the bare id."""
    if not event.prompt_id:
        return None
    reports = step.memory.prompts
    return reports.named(_turn(event)) or reports.known.get(event.prompt_id)


def _is_mistaken(state: PromptState, event: PromptSubmitted) -> bool:
    """Say whether a prompt was taken for a copy, while others told of it as this report does."""
    ingest_path = ingest_path_of(event)
    return bool(state.ingest_paths & ingest_path and state.ingest_paths & ~ingest_path)


def _take_back(step: EventStep, event: PromptSubmitted, state: PromptState) -> None:
    """Take a prompt back from a copy; one that was only like it is of another that is like it."""
    if not state.by_likeness:
        return
    reports, ingest_path = step.memory.prompts, ingest_path_of(event)
    state.by_likeness = False
    other = reports.alike(
        (state.shape(),), ingest_path=ingest_path, kinds=OWN, when_ms=state.when_ms
    )
    if other is None or other.elsewhere:
        return
    reports.hand_on(state, other)
    before, shape = (other.dimensions(), other.amounts(), ()), other.shape()
    other.elsewhere = other.by_likeness = True
    other.ingest_paths |= ingest_path
    reports.changed(other, shape)
    after = (other.dimensions(), other.amounts(), ())
    step.change(PROMPT_COLUMNS, step.place_at(other.when_ms), before, after)


def _is_settled(step: EventStep, event: PromptSubmitted) -> bool:
    reports = step.memory.prompts
    return any(
        name and reports.is_settled(name)
        for name in ((event.message_id,) if event.message_id else (_turn(event), event.prompt_id))
    )


def _new_state(step: EventStep, event: PromptSubmitted) -> PromptState:
    """Return a prompt that is heard of for the first time, and counts nothing yet."""
    memory = step.memory
    state = PromptState(event.message_id or event.id, step.when_ms, memory.project, memory.agent)
    state.length, state.kinds, state.elsewhere = event.length, 0, True
    memory.add_prompt(state, step.counters)
    return state


def _merge(step: EventStep, event: PromptSubmitted, state: PromptState, *, elsewhere: bool) -> None:
    """Count what a report changed, and remember the names that it gave."""
    reports = step.memory.prompts
    before, shape = (state.dimensions(), state.amounts(), ()), state.shape()
    state.elsewhere = elsewhere
    state.ingest_paths |= ingest_path_of(event)
    state.belong(step.project, step.agent)
    state.length = state.length or event.length
    turned = _of_turn(step, event)
    unnamed = not state.kinds & OWN or reports.named(event.message_id) is not state
    if event.message_id and unnamed:
        _name(step, state, event.message_id, OWN, unique=event.message_id)
    if event.prompt_id and not state.kinds & STAND_IN:
        shared = turned is not None and turned is not state and not turned.elsewhere
        told = "" if is_copy(event) else event.prompt_id  # a copy may have been given another
        _name(step, state, "" if shared else _turn(event), STAND_IN, unique=told)
    reports.changed(state, shape)
    place = step.place_at(state.when_ms)
    step.change(PROMPT_COLUMNS, place, before, (state.dimensions(), state.amounts(), ()))


def _name(step: EventStep, state: PromptState, name: str, kind: int, *, unique: str) -> None:
    step.memory.prompts.name(state, name, kind)
    if not state.elsewhere:
        register(step, PROMPT, unique)


def _turn(event: PromptSubmitted) -> str:
    return f"{TURN}{event.prompt_id}" if event.prompt_id else ""
