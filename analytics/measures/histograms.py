"""Model requests that a service tells by the histograms of the GenAI conventions.

Such a histogram has no requests, only their tokens, number and durations, and they belong to the
service, not to a conversation. Where the service's spans tell of requests too, in whatever session,
each says to the service's session what it told (`TOLD`), and of both only what the histograms have
more counts here: so over all sessions the fuller account counts, in any order. Cached tokens are
part of a histogram's input, as they are of what a span told. Costs are estimates, token by token.
"""

from math import isfinite
from typing import Final

from analytics.contracts.agent_events import UsageReported
from analytics.contracts.facts import Source
from analytics.measures.columns import (
    CALL_ERRORS,
    CALLS,
    COST_ESTIMATED_NANOUSD,
    COST_NANOUSD,
    INPUT_TOKENS,
    LATENCY_COUNT,
    LATENCY_SUM_MS,
    OUTPUT_TOKENS,
    UNPRICED_CALLS,
    UNPRICED_TOKENS,
    USAGE_INPUT_TOKENS,
    USAGE_OUTPUT_TOKENS,
)
from analytics.measures.event_step import EventStep
from analytics.measures.merging import CounterState
from analytics.measures.session_memory import SessionMemory
from analytics.measures.sketch import bucket_of
from analytics.measures.usage import VALUE_MAX, growth_of

TOLD: Final = "mainstem.gen_ai.told"
"""The metric by which a span says what it told: its amounts are among the attributes."""
TOKENS: Final = "gen_ai.client.token.usage"
DURATIONS: Final = ("gen_ai.client.operation.duration", "gen_ai.client.inference.duration")
"""The old name and the new one: a sender uses either."""
COUNTS: Final = tuple(f"{name}.count" for name in DURATIONS)
SUM: Final = "otel.sum"
"""The attribute of a histogram's count that says its sum."""
UNIT: Final = "otel.unit"
"""The attribute that says the sum's unit, where it is not seconds."""
ERROR: Final = "error.type"

CALL: Final = "calls"
FAILURE: Final = "errors"
INPUT: Final = "input_tokens"
OUTPUT: Final = "output_tokens"
TIMED: Final = "timed"
TOOK: Final = "took_ms"
COST: Final = "cost"
UNPRICED: Final = {INPUT: "unpriced_tokens", OUTPUT: "unpriced_tokens", CALL: "unpriced_calls"}
"""What of a model without a price is counted too."""

KINDS: Final = {"input": INPUT, "prompt": INPUT, "output": OUTPUT, "completion": OUTPUT}
"""The types of token that are counted; others are part of these."""
_USAGE: Final = "gen_ai.client.inference.usage."
COUNTERS: Final = {f"{_USAGE}input_tokens": INPUT, f"{_USAGE}output_tokens": OUTPUT}
"""What takes the place of the histogram of tokens in newer conventions."""
_COUNTED: Final = frozenset({TOLD, TOKENS, *DURATIONS, *COUNTS, *COUNTERS})
COLUMNS: Final[dict[str, tuple[int, ...]]] = {
    CALL: (CALLS,),
    FAILURE: (CALL_ERRORS,),
    INPUT: (INPUT_TOKENS,),
    OUTPUT: (OUTPUT_TOKENS,),
    TIMED: (LATENCY_COUNT,),
    TOOK: (LATENCY_SUM_MS,),
    COST: (COST_NANOUSD, COST_ESTIMATED_NANOUSD),
    UNPRICED[INPUT]: (UNPRICED_TOKENS,),
    UNPRICED[CALL]: (UNPRICED_CALLS,),
}
_TOLD_TOKENS: Final = {INPUT: USAGE_INPUT_TOKENS, OUTPUT: USAGE_OUTPUT_TOKENS}
_NEVER_LESS: Final = frozenset({TIMED, TOOK})
"""What is not taken back: a duration that was counted stays in its bucket."""
_PRICED_BY: Final = 1_000
"""Tokens of which the price is asked: too few to be a long prompt."""


def is_counted(event: UsageReported) -> bool:
    """Say whether a point is of these histograms; agents that we know repeat their own by them."""
    return event.source is Source.OTEL and event.metric in _COUNTED


def take(step: EventStep, event: UsageReported, delta: int) -> None:
    """Count what a point says that no span told."""
    if event.metric == TOLD:
        _take_told(step, event, delta)
        return
    what = _what(event)
    scale = 1_000 if event.metric in DURATIONS and event.unit != "ms" else 1
    scaled = event.value * scale
    if what is None or not isfinite(scaled) or abs(scaled) > VALUE_MAX:
        return
    amount = growth_of(step, event, round(scaled)) if event.cumulative else round(scaled)
    if not amount:
        return
    if what in _TOLD_TOKENS:
        step.entries.changes.append((delta, _TOLD_TOKENS[what], amount))
        _count(step, delta, what, amount)
        cost = _cost(step, event.model, what, amount)
        if cost is None:
            step.counters.unpriced += 1
            _count(step, delta, UNPRICED[what], amount)
        else:
            _count(step, delta, COST, cost)
    elif event.metric in DURATIONS:
        _count(step, delta, TOOK, amount)
    else:
        _take_calls(step, event, delta, amount)


def _what(event: UsageReported) -> str | None:
    """Return what a point counts; an operation that is no request has a kind of its own."""
    if event.metric == TOKENS:
        return KINDS.get(event.kind)
    return None if event.kind else COUNTERS.get(event.metric, CALL)


def _take_calls(step: EventStep, event: UsageReported, delta: int, amount: int) -> None:
    _count(step, delta, CALL, amount)
    if step.prices.rates(event.model) is None:
        _count(step, delta, UNPRICED[CALL], amount)
    if event.attributes.get(ERROR):
        _count(step, delta, FAILURE, amount)
    timed = _count(step, delta, TIMED, amount)
    total = event.attributes.get(SUM)
    if timed > 0 and isinstance(total, int | float) and event.value > 0:
        scale = 1 if event.attributes.get(UNIT) == "ms" else 1_000
        mean_ms = min(max(total * scale / event.value, 0.0), VALUE_MAX)
        step.entries.durations.append((delta, bucket_of(round(mean_ms)), timed))


def _take_told(step: EventStep, event: UsageReported, delta: int) -> None:
    cost, is_unpriced = 0, step.prices.rates(event.model) is None
    for what in COLUMNS:
        amount = event.attributes.get(what)
        if isinstance(amount, int) and amount:
            _count(step, delta, what, -amount)
            if what in _TOLD_TOKENS:
                cost += _cost(step, event.model, what, amount) or 0
            if is_unpriced and what in UNPRICED:
                _count(step, delta, UNPRICED[what], -amount)
    _count(step, delta, COST, -cost)


def _count(step: EventStep, delta: int, what: str, amount: int) -> int:
    """Take an amount into account; count and return what it adds to what no span told."""
    grown = _remainder(step.memory, what, amount) if amount else 0
    if grown > 0 or (grown and what not in _NEVER_LESS):
        step.entries.changes.extend((delta, column, grown) for column in COLUMNS[what])
    return grown


def _cost(step: EventStep, model: str, what: str, amount: int) -> int | None:
    """Return what tokens cost by list; None where the model has no price."""
    given, output = (_PRICED_BY, 0) if what == INPUT else (0, _PRICED_BY)
    cost = step.prices.cost_nanousd(model, given, output, 0, 0)
    return None if cost is None else cost * amount // _PRICED_BY


def _remainder(memory: SessionMemory, what: str, amount: int) -> int:
    """Take an amount into what the histograms have more than the spans; return how it changed.

    It is kept among the counters, as one that was used last.
    """
    key = (f"gen_ai {what}", 0)
    state = memory.counters.pop(key, None) or CounterState(*key, 0, 0)
    before = max(state.total, 0)
    state.total += amount
    memory.add_counter(state)
    memory.new_counters[key] = state
    return max(state.total, 0) - before
