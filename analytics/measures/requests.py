"""How model requests are counted: the first report as it comes, later ones by what they change.

A request without an id counts by its event. One with an id is remembered, so that what another
source tells of it is merged; the difference goes to the windows of the first report.
"""

from typing import Final

from analytics.contracts.agent_events import RequestFailed, RequestFinished
from analytics.contracts.facts import AgentFact
from analytics.measures.columns import CALL_ERRORS, CALLS, RATE_LIMITS
from analytics.measures.entries import ANSWER_COLUMNS
from analytics.measures.merging import RATE_LIMIT, REQUEST_COLUMNS, RequestState
from analytics.measures.sessions import Signal
from analytics.measures.sheet import AMOUNT_MAX
from analytics.measures.sketch import bucket_of
from analytics.measures.step import Counted, Step, Told
from analytics.windows.tumbling import is_open

FAILURE_COLUMNS: Final = (CALLS, CALL_ERRORS, RATE_LIMITS)
"""What a request that failed is counted in."""

AUXILIARY: Final = "auxiliary"
"""The query source of requests that are not the session's own work."""


_ANSWERED: Final = Signal.ANSWERED


def request_finished(step: Step, event: AgentFact) -> Told:
    """Count an answered request."""
    assert isinstance(event, RequestFinished)
    memory = step.memory
    model, source = event.model, event.query_source
    delta = step.reach(model, "", event.skill, source)
    is_own = source != AUXILIARY
    if model and (is_own or not memory.model):
        memory.model = model
    cost, request_id = event.cost_nanousd, event.request_id
    state = memory.requests.get(request_id) if request_id else None
    if state is not None:
        before, duration_ms = (state.dimensions(), state.amounts()), state.duration_ms
        state.belong(memory.project, memory.agent)
        state.take_finished(event)
        state.price(step.prices)
        memory.new_requests[state.key] = state
        _move(step, state, before, duration_ms=duration_ms)
    elif not (memory.settled and memory.is_settled("request", request_id)):
        if cost is None:
            cost = _estimate(step, event)
        _note(step, delta, event, cost or 0)
        if request_id:
            _remember_answer(step, event, cost or 0)
    signal = _ANSWERED if is_own else None
    return (delta, signal, model, "", event.duration_ms, cost, False)


def _note(step: Step, delta: int, event: RequestFinished, cost: int) -> None:
    """Note what a request that is heard of for the first time adds."""
    entries = step.entries
    input_tokens, output_tokens = event.input_tokens, event.output_tokens
    cache_read, cache_write = event.cache_read_tokens, event.cache_write_tokens
    estimated = cost if event.cost_nanousd is None else 0
    took_ms, measured = 0, 0
    if event.duration_ms is not None:
        took_ms, measured = event.duration_ms, 1
        entries.durations.append((delta, bucket_of(took_ms), 1))
    if input_tokens + output_tokens + cache_read + cache_write + cost + took_ms <= AMOUNT_MAX:
        entries.answers.append(
            (delta, 1, input_tokens, output_tokens, cache_read, cache_write, cost, estimated,
             took_ms, measured)
        )  # fmt: skip
    else:
        amounts = (
            1, input_tokens, output_tokens, cache_read, cache_write, cost, estimated,
            took_ms, measured,
        )  # fmt: skip
        entries.note(delta, ANSWER_COLUMNS, amounts)


def _estimate(step: Step, event: RequestFinished) -> int | None:
    cost = step.prices.cost_nanousd(
        event.model,
        event.input_tokens,
        event.output_tokens,
        event.cache_read_tokens,
        event.cache_write_tokens,
    )
    if cost is None and event.input_tokens + event.output_tokens > 0:
        step.counters.unpriced += 1
    return cost


def _remember_answer(step: Step, event: RequestFinished, cost: int) -> None:
    memory = step.memory
    state = RequestState(
        event.request_id,
        step.when_ms,
        memory.project,
        memory.agent,
        event.model,
        event.skill,
        event.query_source,
        event.input_tokens,
        event.output_tokens,
        event.cache_read_tokens,
        event.cache_write_tokens,
        event.cost_nanousd,
        cost,
        event.duration_ms,
    )
    state.latency_movable = event.duration_ms is not None and is_open(step.place)
    memory.add_request(state, step.counters)


def request_failed(step: Step, event: AgentFact) -> Told:
    """Count a failed request."""
    assert isinstance(event, RequestFailed)
    memory, request_id = step.memory, event.request_id
    delta = step.reach(event.model, "", event.skill, event.query_source)
    state = memory.requests.get(request_id) if request_id else None
    if state is not None:
        before, duration_ms = (state.dimensions(), state.amounts()), state.duration_ms
        state.belong(memory.project, memory.agent)
        state.take_failed(event)
        state.price(step.prices)
        memory.new_requests[state.key] = state
        _move(step, state, before, duration_ms=duration_ms)
    elif not memory.is_settled("request", request_id):
        state = RequestState(request_id, step.when_ms, memory.project, memory.agent, "", "", "")
        state.take_failed(event)
        step.entries.note(delta, FAILURE_COLUMNS, (1, 1, int(state.limited)))
        if event.duration_ms is not None:
            state.latency_movable = is_open(step.place)
            step.latency(delta, event.duration_ms)
        if request_id:
            memory.add_request(state, step.counters)
    signal = Signal.LIMITED if event.kind == RATE_LIMIT else Signal.WORKED
    return (delta, signal, event.model, "", event.duration_ms, None, True)


def _move(step: Step, state: RequestState, before: Counted, *, duration_ms: int | None) -> None:
    """Count what another report changed, in the windows of the first report."""
    place = step.place_at(state.when_ms)
    step.change(REQUEST_COLUMNS, place, before, (state.dimensions(), state.amounts()))
    if duration_ms is None:
        if state.duration_ms is not None:
            step.latency_in(state.dimensions(), place, state.duration_ms, 1)
            state.latency_movable = is_open(place)
        return
    if state.latency_movable and state.dimensions() != before[0]:
        if is_open(place):
            step.latency_in(before[0], place, duration_ms, -1)
            step.latency_in(state.dimensions(), place, duration_ms, 1)
            return
        state.latency_movable = False
