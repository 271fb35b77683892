"""Libraries that trace model calls: the same request counts the same under all their names."""

import itertools
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.contracts.agent_events import (
    AgentFinished,
    AgentObserved,
    RequestFinished,
    ToolFinished,
)
from analytics.contracts.ids import TenantId
from gateway.otlp import aliases
from gateway.otlp.aliases import Kind
from gateway.otlp.intake import Intake, OtlpSignal, read
from gateway.otlp.lineage import Lineage
from tests.support.ingest import as_protobuf, of_kind, only, request, span, taken

TRACE = "5b8efff798038103d269b633813fc60c"


def _span(number: int, parent: int, attributes: Mapping[str, object]) -> dict[str, Any]:
    above = {"parentSpanId": f"{parent:016x}"} if parent else {}
    return span("s", attributes, traceId=TRACE, spanId=f"{number:016x}", **above)


def _requests(intake: Intake) -> list[tuple[int, int, int, int]]:
    return [
        (one.input_tokens, one.cache_read_tokens, one.cache_write_tokens, one.output_tokens)
        for one in of_kind(RequestFinished, intake.events)
    ]


@pytest.mark.parametrize("name", aliases.INPUT)
@pytest.mark.parametrize("out", aliases.OUTPUT)
def test_input_and_output_are_read_under_every_name(name: str, out: str) -> None:
    intake = taken(OtlpSignal.TRACES, [_span(1, 0, {name: 70, out: "17"})])

    assert _requests(intake) == [(70, 0, 0, 17)]


@pytest.mark.parametrize("name", aliases.CACHE_READ)
def test_what_came_from_the_cache_is_taken_out_of_the_input_under_every_name(name: str) -> None:
    told = {"gen_ai.usage.input_tokens": 1_000, "gen_ai.usage.output_tokens": 5, name: 600}

    assert _requests(taken(OtlpSignal.TRACES, [_span(1, 0, told)])) == [(400, 600, 0, 5)]


@pytest.mark.parametrize("name", aliases.CACHE_WRITE)
def test_what_went_into_the_cache_is_taken_out_of_the_input_under_every_name(name: str) -> None:
    told = {"gen_ai.usage.input_tokens": 1_000, "gen_ai.usage.output_tokens": 5, name: 600}

    assert _requests(taken(OtlpSignal.TRACES, [_span(1, 0, told)])) == [(400, 0, 600, 5)]


@pytest.mark.parametrize("total", aliases.TOTAL)
@given(
    fresh=st.integers(0, 9_999), read=st.integers(0, 9_999), write=st.integers(0, 9_999),
    output=st.integers(0, 9_999), read_apart=st.booleans(), write_apart=st.booleans(),
)  # fmt: skip
def test_the_total_tells_which_cached_parts_the_input_holds(
    total: str, fresh: int, read: int, write: int, output: int, read_apart: bool, write_apart: bool
) -> None:
    told = {
        "gen_ai.usage.input_tokens": fresh + read * (not read_apart) + write * (not write_apart),
        "gen_ai.usage.output_tokens": output,
        "gen_ai.usage.cache_read.input_tokens": read,
        "gen_ai.usage.cache_write.input_tokens": write,
        total: fresh + read + write + output,
    }

    assert _requests(taken(OtlpSignal.TRACES, [_span(1, 0, told)])) == [
        (fresh, read, write, output)
    ]


REQUESTS = {
    "GenAI": {"gen_ai.operation.name": "chat"},
    "LiteLLM": {"gen_ai.operation.name": "acompletion"},
    "LiteLLM responses": {"gen_ai.operation.name": "aresponses"},
    "OpenInference": {"openinference.span.kind": "LLM"},
    "OpenLLMetry": {"llm.request.type": "chat"},
    "Vercel": {"ai.operationId": "ai.streamText.doStream"},
    "says nothing": {},
}
SUMS: dict[str, Mapping[str, object]] = {
    "GenAI": {"gen_ai.operation.name": "invoke_agent"},
    "pydantic-ai": {"agent_name": "a", "model_name": "gpt-4o"},
    "OpenInference chain": {"openinference.span.kind": "CHAIN"},
    "OpenInference agent": {"openinference.span.kind": "AGENT"},
    "OpenLLMetry": {"traceloop.span.kind": "workflow"},
    "Vercel": {"ai.operationId": "ai.streamText"},
    "ADK": {"gen_ai.operation.name": "call_llm"},
    "a request around a request": {"gen_ai.operation.name": "chat"},
}
USED = {"gen_ai.usage.input_tokens": 56, "gen_ai.usage.output_tokens": 5}
TWICE = {"gen_ai.usage.input_tokens": 112, "gen_ai.usage.output_tokens": 10}


@pytest.mark.parametrize("inner", REQUESTS)
@pytest.mark.parametrize("outer", SUMS)
@pytest.mark.parametrize("batches", [1, 2, 3])
@pytest.mark.parametrize("between", [0, 2])
def test_a_span_above_requests_sums_them_up_and_is_no_request(
    inner: str, outer: str, batches: int, between: int
) -> None:
    """Also over spans that tell nothing, and where the children came in an earlier request."""
    chain = [_span(10 + n, 11 + n if n + 1 < between else 1, {}) for n in range(between)]
    parent = 10 if between else 1
    spans = [
        _span(100, parent, {**REQUESTS[inner], **USED}),
        _span(101, parent, {**REQUESTS[inner], **USED}),
        *chain,
        _span(1, 0, {**SUMS[outer], **TWICE}),
    ]
    cuts = {1: (), 2: (2,), 3: (2, len(spans) - 1)}[batches]
    parts = [spans[a:b] for a, b in itertools.pairwise((0, *cuts, len(spans)))]
    lineage = Lineage()

    taken_in = [_read(part, lineage) for part in parts if part]

    counted = list(itertools.chain.from_iterable(map(_requests, taken_in)))
    assert counted == [(56, 0, 0, 5)] * 2


def _read(spans: list[dict[str, Any]], lineage: Lineage, tenant: str = "t") -> Intake:
    return read(
        OtlpSignal.TRACES,
        as_protobuf(OtlpSignal.TRACES, request(OtlpSignal.TRACES, spans)),
        as_json=False,
        tenant=TenantId(tenant),
        received_ms=1,
        lineage=lineage,
    )


def test_what_one_tenant_sends_hides_nothing_of_another() -> None:
    lineage = Lineage()
    _read([_span(2, 1, USED)], lineage, "mallory")

    assert _requests(_read([_span(1, 0, USED)], lineage, "acme")) == [(56, 0, 0, 5)]


def test_the_traces_that_are_remembered_are_bounded() -> None:
    lineage = Lineage(traces_max=2)
    for number in range(1, 5):
        _read([span("s", USED, traceId=f"{number:032x}", spanId="1" * 16, parentSpanId="2" * 16)],
              lineage)  # fmt: skip

    def counted(number: int) -> int:
        told = [span("s", USED, traceId=f"{number:032x}", spanId="2" * 16)]
        return len(_requests(_read(told, lineage)))

    assert [counted(number) for number in (4, 3, 2, 1)] == [0, 0, 1, 1]


def test_a_circle_of_parents_ends() -> None:
    intake = taken(OtlpSignal.TRACES, [_span(1, 2, USED), _span(2, 1, {})])

    assert len(intake.events) == 2


@pytest.mark.parametrize(
    "attributes",
    [
        {"openinference.span.kind": "TOOL", "tool.name": "search", "tool.id": "k"},
        {"ai.operationId": "ai.toolCall", "ai.toolCall.name": "search", "ai.toolCall.id": "k"},
        {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "search",
         "gen_ai.tool.call.id": "k"},
    ],
)  # fmt: skip
def test_a_tool_call_is_one_under_every_name(attributes: Mapping[str, object]) -> None:
    event = only(ToolFinished, taken(OtlpSignal.TRACES, [_span(1, 0, attributes)]))

    assert (event.tool, event.tool_use_id) == ("search", "k")


def test_an_agents_run_is_its_end_and_a_chain_is_kept_as_it_came() -> None:
    agent = taken(OtlpSignal.TRACES, [_span(1, 0, {"openinference.span.kind": "AGENT", **USED})])
    chain = taken(OtlpSignal.TRACES, [_span(1, 0, {"openinference.span.kind": "CHAIN", **USED})])

    assert only(AgentFinished, agent).duration_ms == 1_500
    assert only(AgentObserved, chain).attributes["gen_ai.usage.input_tokens"] == 56


@pytest.mark.parametrize("word", ["agent", "Agent", "AGENT"])
def test_words_are_read_in_any_case_and_an_a_before_another_word_is_no_twin(word: str) -> None:
    assert aliases.kind_of(word) is Kind.AGENT
    assert aliases.kind_of("aworkflow") is Kind.UNSAID
