"""What is not priced: each request that took tokens and whose cost nobody knows, as all tell it."""

import random
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.contracts.agent_events import RequestFinished, UsageReported
from analytics.contracts.facts import Source
from analytics.measures.rows import WIDTHS_MS, Grain
from tests.property.strategies import SPAN_MS
from tests.support.facts import MODEL, T0_MS, arrivals, fact
from tests.support.folding import Kept, fold_all

NOW_MS = T0_MS + SPAN_MS
COSTS = st.sampled_from([None, None, 0, 7])
TOKENS = st.integers(0, 50)


@st.composite
def reports(draw: st.DrawFn) -> list[RequestFinished]:
    """Draw reports of a few requests: several of one may say a cost, none, or that it was free."""
    found = []
    for number in range(draw(st.integers(1, 12))):
        made = fact(
            RequestFinished,
            id=f"e{number}",
            session_id="s1",
            at_ms=T0_MS + draw(st.integers(0, SPAN_MS)),
            source=draw(st.sampled_from([Source.HOOK, Source.CLAUDE_CODE, Source.TRANSCRIPT])),
            request_id=draw(st.sampled_from(["r1", "r2", "r3", "r4"])),
            model="unheard-of",
            input_tokens=draw(TOKENS),
            cache_read_tokens=draw(TOKENS),
            cost_nanousd=draw(COSTS),
        )
        assert isinstance(made, RequestFinished)
        found.append(made)
    return found


def _counted(told: Sequence[RequestFinished | UsageReported]) -> Kept:
    return fold_all([arrivals(told)], now_ms=NOW_MS)


def _sums(kept: Kept) -> set[tuple[int, int]]:
    """Return what every width, grain and the session itself say; one value, or they disagree."""
    (session,) = kept.sessions.values()
    found = {(session.totals.unpriced_calls, session.totals.unpriced_tokens)}
    for width in WIDTHS_MS:
        for grain in (Grain.FLEET, Grain.SESSION):
            calls, tokens = (
                kept.sum_of(width, grain, f"unpriced_{name}") for name in ("calls", "tokens")
            )
            found.add((calls, tokens))
    return found


@pytest.mark.requirement("rollups-exact")
@given(told=reports(), order=st.randoms(use_true_random=False))
def test_a_request_is_not_priced_if_no_report_of_it_says_a_cost(
    told: list[RequestFinished], order: random.Random
) -> None:
    requests: dict[str, list[RequestFinished]] = {}
    for one in told:
        requests.setdefault(one.request_id, []).append(one)
    unknown = [
        max(one.input_tokens for one in of) + max(one.cache_read_tokens for one in of)
        for of in requests.values()
        if all(one.cost_nanousd is None for one in of)
    ]
    order.shuffle(told)

    kept = _counted(told)

    assert _sums(kept) == {(sum(tokens > 0 for tokens in unknown), sum(unknown))}


@pytest.mark.requirement("rollups-exact")
@given(
    by_metrics=st.lists(TOKENS, max_size=4),
    by_events=st.lists(st.tuples(TOKENS, st.booleans()), max_size=4),
    order=st.randoms(use_true_random=False),
)
def test_tokens_that_only_metrics_without_a_cost_tell_of_are_not_priced(
    by_metrics: list[int], by_events: list[tuple[int, bool]], order: random.Random
) -> None:
    told: list[RequestFinished | UsageReported] = [
        fact(
            UsageReported, id=f"m{number}", session_id="s1", at_ms=T0_MS + number,
            metric="gemini_cli.token.usage", kind="input", value=float(tokens), model="m",
        )
        for number, tokens in enumerate(by_metrics)
    ]  # fmt: skip
    told += [
        fact(
            RequestFinished, id=f"e{number}", session_id="s1", at_ms=T0_MS + number,
            request_id=f"r{number}", model=MODEL if is_priced else "unheard-of",
            input_tokens=tokens,
        )
        for number, (tokens, is_priced) in enumerate(by_events)
    ]  # fmt: skip
    order.shuffle(told)
    unknown = [tokens for tokens, is_priced in by_events if not is_priced]
    beyond = max(0, sum(by_metrics) - sum(tokens for tokens, _ in by_events))

    found = _sums(_counted(told)) if told else {(0, 0)}

    assert found == {(sum(tokens > 0 for tokens in unknown), sum(unknown) + beyond)}
