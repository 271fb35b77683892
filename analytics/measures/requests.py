"""How model requests are counted: the first report as it comes, later ones by what they change.

A request is remembered, so that what another source tells of it is merged; the difference goes to
the windows of the first report. One that another session told of first counts nothing.
"""

from typing import Final

from analytics.contracts.agent_events import RequestFailed, RequestFinished
from analytics.contracts.facts import AgentFact, Source
from analytics.measures.accumulator_table import AMOUNT_MAX
from analytics.measures.columns import (
    CALL_ERRORS,
    CALLS,
    RATE_LIMITS,
    UNPRICED_CALLS,
    UNPRICED_TOKENS,
)
from analytics.measures.entries import ANSWER_COLUMNS
from analytics.measures.event_step import INHERITED, Counted, EventStep, Told
from analytics.measures.identities import REQUEST
from analytics.measures.merging import (
    FAILED,
    RATE_LIMIT,
    REQUEST_COLUMNS,
    RequestState,
    answer_shape,
)
from analytics.measures.prices import apart_of
from analytics.measures.report_matching import (
    begun,
    ingest_path_of,
    is_copy,
    meet,
    named_request,
    register,
    standing,
    taken_back,
)
from analytics.measures.reports import OWN, SPAN_PATH, Shape
from analytics.measures.session_accumulators import Labels
from analytics.measures.sessions import SessionSignal, is_of_subagent, is_on_the_side
from analytics.measures.sketch import bucket_of
from analytics.windows.tumbling import is_open

Tokens = tuple[int, int, int, int, int]
"""Tokens of the input, the output, read from the cache and written to it; and what they cost."""

FAILURE_COLUMNS: Final = (CALLS, CALL_ERRORS, RATE_LIMITS)
"""What a request that failed is counted in."""
UNPRICED_COLUMNS: Final = (UNPRICED_CALLS, UNPRICED_TOKENS)
"""What a request whose cost is not known is counted in too."""

_ANSWERED: Final = SessionSignal.ANSWERED
_TRANSCRIPT: Final = Source.TRANSCRIPT


def request_finished(step: EventStep, event: AgentFact) -> Told:
    """Count an answered request."""
    assert isinstance(event, RequestFinished)
    memory = step.memory
    request_id, reports = event.request_id, memory.requests
    state, elsewhere, is_news = None, False, False
    if request_id and reports.is_news(request_id):
        is_news = not (event.source is _TRANSCRIPT or step.identities.is_watchful)
    if not is_news:
        state, elsewhere = _met(step, event, _shape_of(event))
        if elsewhere and is_copy(event):
            return _inherited(step, event, state)
    model, source = event.model, event.query_source
    delta = step.reach(model, "", event.skill, source)
    is_own = not (source and is_on_the_side(source))
    if model and model != memory.model:
        is_main = is_own and not event.agent_id and not is_of_subagent(source)
        if is_main or not memory.model:
            memory.model = model
    cost = event.cost_nanousd
    if state is not None:
        _merge(step, event, state, elsewhere=elsewhere)
    elif is_news or not _is_settled(step, event):
        cost = _first_told(step, event, delta, elsewhere=elsewhere)
    signal = _ANSWERED if is_own else None
    return (delta, signal, model, "", event.duration_ms, cost, False)


def request_failed(step: EventStep, event: AgentFact) -> Told:
    """Count a failed request."""
    assert isinstance(event, RequestFailed)
    memory = step.memory
    state, elsewhere = _met(step, event, FAILED)
    if elsewhere and is_copy(event):
        return _inherited(step, event, state)
    delta = step.reach(event.model, "", event.skill, event.query_source)
    if state is not None:
        _merge(step, event, state, elsewhere=elsewhere)
    elif not _is_settled(step, event):
        state = _new_state(step, event, elsewhere=elsewhere)
        state.take_failed(event)
        if not elsewhere:
            step.entries.note(delta, FAILURE_COLUMNS, (1, 1, int(state.limited)))
            if event.duration_ms is not None:
                state.latency_movable = is_open(step.place)
                step.latency(delta, event.duration_ms)
        memory.add_request(state, step.counters)
    signal: SessionSignal | None = (
        SessionSignal.LIMITED if event.kind == RATE_LIMIT else SessionSignal.WORKED
    )
    if is_on_the_side(event.query_source):
        signal = None
    return (delta, signal, event.model, "", event.duration_ms, None, True)


def _met(
    step: EventStep, event: RequestFinished | RequestFailed, shape: Shape
) -> tuple[RequestState | None, bool]:
    """Return the request that a report is of, if known, and whether it is another session's."""
    return meet(
        step, step.memory.requests, event, named_request(event),
        shapes=(shape,), ingest_path=ingest_path_of(event, event.signal),
    )  # fmt: skip


def _shape_of(event: RequestFinished) -> Shape:
    return answer_shape(
        event.input_tokens, event.output_tokens, event.cache_read_tokens, event.cache_write_tokens
    )


def _is_settled(step: EventStep, event: RequestFinished | RequestFailed) -> bool:
    return step.memory.requests.is_settled(event.request_id or named_request(event).name)


def _inherited(
    step: EventStep, event: RequestFinished | RequestFailed, state: RequestState | None
) -> Told:
    """Remember what another session told of before."""
    if state is not None:
        _merge(step, event, state, elsewhere=True)
    elif not _is_settled(step, event):
        state = _new_state(step, event, elsewhere=True)
        _take(state, event)
        state.price(step.prices)
        begun(step, state, REQUEST_COLUMNS)
        step.memory.add_request(state, step.counters)
    return INHERITED


def _take(state: RequestState, event: RequestFinished | RequestFailed) -> None:
    if isinstance(event, RequestFinished):
        state.take_finished(event)
    else:
        state.take_failed(event)


def _new_state(
    step: EventStep, event: RequestFinished | RequestFailed, *, elsewhere: bool
) -> RequestState:
    """Return a request that is heard of for the first time, before its report is taken."""
    memory, named = step.memory, named_request(event)
    is_own = named.kind == OWN
    state = RequestState(
        named.name if is_own else event.id, step.when_ms, memory.project, memory.agent, "", "", ""
    )
    state.ingest_paths = ingest_path_of(event, event.signal)
    state.kinds, state.also = named.kind, "" if is_own else named.name
    state.elsewhere = elsewhere
    if not elsewhere:
        register(step, REQUEST, named.unique)
    return state


def _first_told(
    step: EventStep, event: RequestFinished, delta: int, *, elsewhere: bool
) -> int | None:
    """Count an answer that nothing was known of; return what it cost, if that can be said."""
    memory, key, model = step.memory, event.request_id, event.model
    input_tokens, output_tokens = event.input_tokens, event.output_tokens
    cache_read, cache_write = event.cache_read_tokens, event.cache_write_tokens
    stated, duration_ms, apart = event.cost_nanousd, event.duration_ms, apart_of(event)
    cost, unpriced = stated, 0
    if cost is None:
        cost = step.prices.cost_nanousd(
            model, input_tokens, output_tokens, cache_read, cache_write, apart=apart
        )
        if cost is None:
            unpriced = input_tokens + output_tokens + cache_read + cache_write
            step.counters.unpriced += unpriced > 0
    state = RequestState(
        key or event.id, step.when_ms, memory.project, memory.agent, model, event.skill,
        event.query_source, input_tokens, output_tokens, cache_read, cache_write, stated,
        cost or 0, duration_ms, False, False, duration_ms is not None and is_open(step.place),  # noqa: FBT003
        SPAN_PATH if event.signal else step.ingest_path, OWN, "", elsewhere, apart,
        cost == 0,
    )  # fmt: skip
    unique = key
    if not key:
        named = named_request(event)
        state.kinds, state.also, unique = named.kind, named.name, named.unique
    if elsewhere:
        state.latency_movable = False
        begun(step, state, REQUEST_COLUMNS)
    else:
        if unique:
            step.identities.register((memory.owner, memory.key[0], REQUEST, unique))
        told = (input_tokens, output_tokens, cache_read, cache_write, cost or 0)
        labels = (model, "", event.skill, event.query_source)
        _note(step, delta, labels, told, took_ms=duration_ms, stated=stated is not None)
        if unpriced:
            step.entries.note(delta, UNPRICED_COLUMNS, (1, unpriced))
    if not key:
        memory.add_request(state, step.counters)
    elif memory.requests.put_named(key, state):
        step.counters.merges_settled += 1
    return cost


def _note(
    step: EventStep,
    delta: int,
    labels: Labels,
    amounts: Tokens,
    *,
    took_ms: int | None,
    stated: bool,
) -> None:
    """Note what a request that is heard of for the first time adds."""
    entries, accounts = step.entries, step.memory.accounts
    input_tokens, output_tokens, cache_read, cache_write, cost = amounts
    estimated, measured = 0 if stated else cost, 1
    if took_ms is None:
        took_ms = measured = 0
    else:
        entries.durations.append((delta, bucket_of(took_ms), 1))
    if accounts.told:
        input_tokens, output_tokens, cache_read, cache_write, cost = step.settle(0, labels, amounts)
    elif input_tokens or output_tokens or cost or cache_read or cache_write:
        told = accounts.events_of(labels)
        told[0] += input_tokens
        told[1] += output_tokens
        if cache_read:
            told[2] += cache_read
        if cache_write:
            told[3] += cache_write
        told[4] += cost
    if (
        input_tokens + output_tokens + cache_read + cache_write + cost + estimated + took_ms
        <= AMOUNT_MAX
    ):
        entries.answers.append(
            (delta, 1, input_tokens, output_tokens, cache_read, cache_write, cost, estimated,
             took_ms, measured)
        )  # fmt: skip
    else:
        large = (
            1, input_tokens, output_tokens, cache_read, cache_write, cost, estimated,
            took_ms, measured,
        )  # fmt: skip
        entries.note(delta, ANSWER_COLUMNS, large)


def _merge(
    step: EventStep, event: RequestFinished | RequestFailed, state: RequestState, *, elsewhere: bool
) -> None:
    """Count what another report changed."""
    memory, reports = step.memory, step.memory.requests
    before, duration_ms = standing(step, state), state.duration_ms
    shape, was_elsewhere = reports.shape_of(state), state.elsewhere
    state.ingest_paths |= ingest_path_of(event, event.signal)
    state.elsewhere = elsewhere
    state.belong(memory.project, memory.agent)
    _take(state, event)
    state.price(step.prices)
    may_be_another = reports.changed(state, shape)
    _move(step, state, before, duration_ms=None if was_elsewhere else duration_ms)
    if may_be_another:
        gone = taken_back(step, reports, state, REQUEST_COLUMNS)
        if gone is not None:
            _join(step, state, gone)


def _join(step: EventStep, state: RequestState, gone: RequestState) -> None:
    """Let two requests that turned out to be one be one; what `gone` counted was taken back."""
    before, shape = standing(step, state), state.shape()
    reports = step.memory.requests
    reports.merge(state, gone)
    state.elsewhere = state.elsewhere or gone.elsewhere
    state.complete(gone)
    state.price(step.prices)
    reports.changed(state, shape)
    after = standing(step, state)
    step.change(REQUEST_COLUMNS, step.place_at(state.when_ms), before, after)


def _move(
    step: EventStep, state: RequestState, before: Counted, *, duration_ms: int | None
) -> None:
    """Count what another report changed, in the windows of the first report."""
    place = step.place_at(state.when_ms)
    step.change(REQUEST_COLUMNS, place, before, standing(step, state))
    if state.elsewhere:
        if duration_ms is not None and state.latency_movable and is_open(place):
            step.latency_in(before[0], place, duration_ms, -1)
        state.latency_movable = False
        return
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
