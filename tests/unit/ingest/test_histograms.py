"""Services that tell of model requests by histograms: each counts once, also beside its span."""

import itertools
import json
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.contracts.agent_events import AgentEvent, UsageReported
from analytics.contracts.ids import DEFAULT_TENANT, SessionId
from analytics.measures.rows import Measures
from gateway.otlp.intake import OtlpSignal, read
from gateway.otlp.lineage import Lineage
from gateway.otlp.metered import Metered
from tests.support.facts import arrivals
from tests.support.folding import fold_all
from tests.support.ingest import NOW_MS, NOW_NS, attributes, metric, point, request, span

RESOURCE = {"service.name": "planner", "service.instance.id": "i-1"}
MODEL = "claude-sonnet-4-5"
STARTED_NS = NOW_NS - 60_000_000_000
MODALITY = {"gen_ai.token.modality": "text"}
Request = tuple[int, int, int]
"""What went in, what came out, and how long it took in milliseconds."""


def histogram(
    name: str,
    values: Sequence[float],
    more: Mapping[str, object],
    *,
    second: int = 0,
    temporality: int = 2,
) -> Any:
    """Return a histogram's point of all values so far, or of these alone where it is a delta."""
    given: dict[str, object] = {"gen_ai.request.model": MODEL, "gen_ai.operation.name": "chat"}
    start_ns = STARTED_NS if temporality == 2 else NOW_NS + (second - 10) * 10**9
    made = {
        "count": str(len(values)),
        "sum": float(sum(values)),
        "bucketCounts": [str(len(values))],
        "startTimeUnixNano": str(start_ns),
        "timeUnixNano": str(NOW_NS + second * 10**9),
        "attributes": attributes({**given, **more}),
    }
    return metric(name, "histogram", [made], aggregationTemporality=temporality)


class Service:
    """A service whose telemetry passes through one gateway."""

    def __init__(self) -> None:
        self.lineage = Lineage()

    def taken(
        self, signal: OtlpSignal, records: Sequence[Any], received_ms: int = NOW_MS
    ) -> list[AgentEvent]:
        body = json.dumps(request(signal, records, RESOURCE)).encode()
        intake = read(
            signal, body, as_json=True, tenant=DEFAULT_TENANT, received_ms=received_ms,
            lineage=self.lineage,
        )  # fmt: skip
        assert not intake.refused
        return list(intake.events)

    def metrics(
        self,
        requests: Sequence[Request],
        *,
        second: int = 0,
        temporality: int = 2,
        received_ms: int = NOW_MS,
    ) -> list[AgentEvent]:
        made = partial(histogram, second=second, temporality=temporality)
        tokens, took = "gen_ai.client.token.usage", "gen_ai.client.operation.duration"
        given, output, ms = ([one[place] for one in requests] for place in range(3))
        return self.taken(
            OtlpSignal.METRICS,
            [
                made(tokens, given, {"gen_ai.token.type": "input"}),
                made(tokens, output, {"gen_ai.token.type": "output"}),
                made(took, [one / 1_000 for one in ms], {}) | {"unit": "s"},
            ],
            received_ms,
        )

    def spans(self, requests: Sequence[tuple[int, Request]], session: str) -> list[AgentEvent]:
        return self.taken(
            OtlpSignal.TRACES, [self._span(number, one, session) for number, one in requests]
        )

    def _span(self, number: int, told_of: Request, session: str) -> Any:
        given, output, took_ms = told_of
        told: dict[str, object] = {
            "gen_ai.operation.name": "chat",
            "gen_ai.response.model": MODEL,
            "gen_ai.usage.input_tokens": given,
            "gen_ai.usage.cache_read.input_tokens": given // 2,
            "gen_ai.usage.output_tokens": output,
        }
        if session:
            told["gen_ai.conversation.id"] = session
        made = span("chat", told) | {
            "traceId": f"{number + 1:032x}",
            "spanId": f"{number + 1:016x}",
        }
        return made | {"endTimeUnixNano": str(int(made["startTimeUnixNano"]) + took_ms * 10**6)}


def folded(*batches: list[AgentEvent]) -> Measures:
    number, logs = 0, []
    for batch in batches:
        logs.append(arrivals(batch, first_offset=number, received_ms=NOW_MS))
        number += len(batch)
    rows = fold_all(logs, now_ms=NOW_MS, restarting=True).sessions.values()
    names = Measures.__struct_fields__
    return Measures(*(sum(getattr(row.totals, name) for row in rows) for name in names))


def account(measures: Measures) -> tuple[int, int, int, int]:
    whole = measures.input_tokens + measures.cache_read_tokens + measures.cache_write_tokens
    return measures.calls, whole, measures.output_tokens, measures.latency_count


def truth(requests: Sequence[Request]) -> tuple[int, int, int, int]:
    return (
        len(requests),
        sum(given for given, _, _ in requests),
        sum(output for _, output, _ in requests),
        len(requests),
    )


TWO: list[Request] = [(100, 10, 1_500), (40, 4, 500)]


@pytest.mark.parametrize("temporality", [1, 2])
def test_a_service_that_has_histograms_alone_is_counted_once(temporality: int) -> None:
    told = Service().metrics(TWO, temporality=temporality)

    measures = folded(told, told)

    assert account(measures) == truth(TWO)
    assert measures.latency_sum_ms == 2_000
    assert (measures.sessions, measures.call_errors) == (1, 0)
    assert measures.cost_nanousd == 140 * 3_000 + 14 * 15_000
    assert measures.cost_estimated_nanousd == measures.cost_nanousd


def test_the_newer_names_count_the_same_beside_spans_too() -> None:
    service = Service()
    name = "gen_ai.client.inference"
    took = histogram(f"{name}.duration", [one / 1_000 for _, _, one in TWO], {}) | {"unit": "s"}
    counted = [
        metric(
            f"{name}.usage.{kind}_tokens",
            "sum",
            [point(sum(one[place] for one in TWO), {**MODALITY, "gen_ai.request.model": MODEL})],
        )
        for place, kind in enumerate(("input", "output"))
    ]

    spans = service.spans([(1, TWO[0])], "conversation-1")
    measures = folded(spans, service.taken(OtlpSignal.METRICS, [took, *counted]))

    assert account(measures) == truth(TWO)
    assert measures.cost_nanousd < 140 * 3_000 + 14 * 15_000  # a half of one input was cached


def test_running_totals_count_their_growth_and_late_ones_nothing() -> None:
    service = Service()
    first, second = service.metrics(TWO[:1]), service.metrics(TWO, second=60)

    assert account(folded(first, second)) == truth(TWO)
    assert account(folded(second, first)) == truth(TWO)


@pytest.mark.parametrize("session", ["", "conversation-1"], ids=["the service's", "its own"])
@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_beside_spans_the_fuller_account_counts(session: str, order: tuple[int, ...]) -> None:
    service = Service()
    told = [
        service.spans([(1, TWO[0])], session),
        service.metrics(TWO[:1]),
        service.spans([(2, TWO[1])], session) + service.metrics(TWO, second=60),
    ]

    measures = folded(*(told[place] for place in order), *told)

    assert account(measures)[:3] == truth(TWO)[:3]
    assert measures.latency_count >= 2


@given(
    requests=st.lists(
        st.tuples(st.integers(1, 400), st.integers(1, 40), st.integers(1, 9_000)),
        min_size=1,
        max_size=6,
    ),
    data=st.data(),
)
def test_the_fuller_account_counts_whatever_spans_are_lost(
    requests: list[Request], data: st.DataObject
) -> None:
    session = data.draw(st.sampled_from(["", "conversation-1"]))
    spanned = data.draw(st.lists(st.sampled_from(range(len(requests))), unique=True))
    metered = data.draw(st.integers(0, len(requests)))
    service, parts = Service(), list[list[AgentEvent]]()
    for step in data.draw(st.permutations(["spans", "metrics"])):
        if step == "spans":
            parts += [service.spans([(number, requests[number])], session) for number in spanned]
        elif metered:
            parts.append(service.metrics(requests[:metered]))

    measures = folded(*data.draw(st.permutations(parts)))

    of_spans = truth([requests[number] for number in spanned])
    of_metrics = truth(requests[:metered])
    fuller = tuple(map(max, of_spans, of_metrics))
    assert account(measures)[:3] == fuller[:3]
    assert (measures.cost_nanousd > 0) is bool(spanned or metered)


def test_failed_calls_are_told_by_their_error() -> None:
    failed = histogram("gen_ai.client.operation.duration", [2.0], {"error.type": "timeout"})
    told = Service().taken(OtlpSignal.METRICS, [failed | {"unit": "s"}])

    measures = folded(told)

    assert (measures.calls, measures.call_errors, measures.latency_sum_ms) == (1, 1, 2_000)


def test_what_is_no_request_and_what_an_agent_repeats_is_kept_only() -> None:
    runs = histogram(
        "gen_ai.client.operation.duration", [9.0], {"gen_ai.operation.name": "invoke_agent"}
    )
    sums = histogram(
        "gen_ai.client.token.usage",
        [900],
        {"gen_ai.operation.name": "invoke_agent", "gen_ai.token.type": "input"},
    )
    parts = histogram("gen_ai.client.token.usage", [5], {"gen_ai.token.type": "reasoning"})
    own = read(
        OtlpSignal.METRICS,
        json.dumps(
            request(
                OtlpSignal.METRICS,
                [histogram("gen_ai.client.token.usage", [7], {"gen_ai.token.type": "input"})],
                {"service.name": "gemini-cli", "session.id": "s"},
            )
        ).encode(),
        as_json=True, tenant=DEFAULT_TENANT, received_ms=NOW_MS,
    )  # fmt: skip

    measures = folded(Service().taken(OtlpSignal.METRICS, [runs, sums, parts]), list(own.events))

    assert account(measures) == (0, 0, 0, 0)
    assert measures.events == 8


def test_a_service_without_histograms_has_no_session_of_its_own_beside_its_conversations() -> None:
    measures = folded(Service().spans([(1, TWO[0]), (2, TWO[1])], "conversation-1"))

    assert (measures.sessions, measures.calls) == (1, 2)


def test_what_is_held_of_spans_is_bounded_and_the_service_unused_for_longest_goes_first() -> None:
    metered = Metered(services_max=2, held_max=3)
    finished = Service().spans([(1, TWO[0])], "c")[0]

    for name in ("a", "b", "b", "c"):
        assert metered.by_span(SessionId(name), finished) == []

    assert metered.take_forgotten() == 1
    assert metered.by_metric(DEFAULT_TENANT, SessionId("a"), NOW_MS) == []
    held = metered.by_metric(DEFAULT_TENANT, SessionId("c"), NOW_MS)
    assert [one.session_id for one in held if isinstance(one, UsageReported)] == ["c"]
    assert len(metered.by_span(SessionId("c"), finished)) == 1


def test_what_was_held_is_told_again_for_a_while_since_a_request_may_be_refused() -> None:
    metered, service = Metered(), SessionId("a")
    metered.by_span(service, Service().spans([(1, TWO[0])], "c")[0])

    told = [
        len(metered.by_metric(DEFAULT_TENANT, service, NOW_MS + later))
        for later in (0, 0, 60_000, 60_000, 120_001, 180_000)
    ]

    assert told == [1, 0, 1, 0, 0, 0]


def test_a_refused_request_of_histograms_that_comes_again_counts_once_beside_spans() -> None:
    service = Service()
    spans = service.spans([(1, TWO[0])], "conversation-1")
    service.metrics(TWO)  # read, and refused: nothing of it arrives

    again = service.metrics(TWO, received_ms=NOW_MS + 5_000)

    assert account(folded(spans, again))[:3] == truth(TWO)[:3]
