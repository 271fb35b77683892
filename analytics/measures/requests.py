"""How model requests are counted: the first report as it comes, later ones by what they change.

A request without an id counts by its event. One with an id is remembered, so that what another
source tells of it is merged; the difference goes to the windows of the first report.
"""

from typing import Final

from analytics.contracts.agent_events import RequestFailed, RequestFinished
from analytics.contracts.facts import AgentFact
from analytics.measures import columns
from analytics.measures.merging import RATE_LIMIT, REQUEST_COLUMNS, RequestState
from analytics.measures.sessions import Signal
from analytics.measures.step import Counted, Shown, Step
from analytics.windows.tumbling import is_open

AUXILIARY: Final = "auxiliary"
"""The query source of requests that are not the session's own work."""


def request_finished(step: Step, event: AgentFact) -> Shown:
    """Count an answered request."""
    assert isinstance(event, RequestFinished)
    memory = step.memory
    sums = step.events(event.model, "", event.skill, event.query_source)
    auxiliary = event.query_source == AUXILIARY
    if event.model and not (auxiliary and memory.model):
        memory.model = event.model
    if not auxiliary:
        step.signal = Signal.ANSWERED
    cost = event.cost_nanousd
    state = memory.requests.get(event.request_id) if event.request_id else None
    if state is not None:
        before, duration_ms = (state.dimensions(), state.amounts()), state.duration_ms
        state.belong(step.project, step.agent)
        state.take_finished(event)
        state.price(step.prices)
        memory.new_requests[state.key] = state
        _move(step, state, before, duration_ms=duration_ms)
        return (event.model, "", event.duration_ms, cost, False)
    if memory.is_settled("request", event.request_id):
        return (event.model, "", event.duration_ms, cost, False)
    sums[columns.CALLS] += 1
    sums[columns.INPUT_TOKENS] += event.input_tokens
    sums[columns.OUTPUT_TOKENS] += event.output_tokens
    sums[columns.CACHE_READ_TOKENS] += event.cache_read_tokens
    sums[columns.CACHE_WRITE_TOKENS] += event.cache_write_tokens
    cost = _first_cost(step, event)
    sums[columns.COST_NANOUSD] += cost or 0
    if event.cost_nanousd is None:
        sums[columns.COST_ESTIMATED_NANOUSD] += cost or 0
    if event.duration_ms is not None:
        step.latency(event.duration_ms)
    if event.request_id:
        _remember_answer(step, event, cost or 0)
    return (event.model, "", event.duration_ms, cost, False)


def _first_cost(step: Step, event: RequestFinished) -> int | None:
    if event.cost_nanousd is not None:
        return event.cost_nanousd
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
        step.project,
        step.agent,
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


def request_failed(step: Step, event: AgentFact) -> Shown:
    """Count a failed request."""
    assert isinstance(event, RequestFailed)
    memory = step.memory
    step.events(event.model, "", event.skill, event.query_source)
    step.signal = Signal.LIMITED if event.kind == RATE_LIMIT else Signal.WORKED
    shown = (event.model, "", event.duration_ms, None, True)
    state = memory.requests.get(event.request_id) if event.request_id else None
    if state is not None:
        before, duration_ms = (state.dimensions(), state.amounts()), state.duration_ms
        state.belong(step.project, step.agent)
        state.take_failed(event)
        state.price(step.prices)
        memory.new_requests[state.key] = state
        _move(step, state, before, duration_ms=duration_ms)
        return shown
    if memory.is_settled("request", event.request_id):
        return shown
    state = RequestState(event.request_id, step.when_ms, step.project, step.agent, "", "", "")
    state.take_failed(event)
    sums = step.delta(state.dimensions(), step.place).sums
    for column, amount in zip(REQUEST_COLUMNS, state.amounts(), strict=True):
        sums[column] += amount
    if event.duration_ms is not None:
        state.latency_movable = is_open(step.place)
        step.latency(event.duration_ms)
    if event.request_id:
        memory.add_request(state, step.counters)
    return shown


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
