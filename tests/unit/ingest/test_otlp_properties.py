"""Laws of intake: whatever comes is read, refused or a bad body, and events pass their contract."""

import json
import math
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.contracts import events
from analytics.contracts.errors import BadBody
from analytics.contracts.ids import DEFAULT_TENANT
from gateway.otlp.intake import OtlpSignal, read
from tests.support.ingest import NOW_MS, as_protobuf, log, metric, point, request, span, taken

scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**63), 2**63 - 1), st.text(max_size=9),
    st.floats(allow_nan=False), st.binary(max_size=9),
)  # fmt: skip
any_values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)
some_attributes = st.dictionaries(st.text(max_size=12), any_values, max_size=4)
known_names = st.sampled_from(
    ["claude_code.api_request", "claude_code.tool_result", "codex.sse_event", "codex.tool_result",
     "gemini_cli.api_response", "gemini_cli.tool_call", "gen_ai.choice", "x", ""]
)  # fmt: skip
known_keys = st.sampled_from(
    ["session.id", "event.sequence", "cost_usd", "duration_ms", "success", "input_token_count",
     "model", "status_code", "event.kind", "gen_ai.operation.name", "user.email", "error"]
)  # fmt: skip
known_attributes = st.dictionaries(known_keys, any_values, max_size=6)
times = st.integers(0, 2**64 - 1)


@settings(max_examples=80, deadline=None)
@given(name=known_names, some=some_attributes, known=known_attributes, body=any_values, at_ns=times)
def test_any_log_record_becomes_an_event_that_passes_its_contract(
    name: str, some: dict[str, object], known: dict[str, object], body: object, at_ns: int
) -> None:
    record = log(name, {**some, **known}, body=body, at_ns=at_ns)

    intake = taken(OtlpSignal.LOGS, [record])

    for event in intake.events:
        assert events.decode(events.encode(event)) == event


@settings(max_examples=60, deadline=None)
@given(name=known_names, some=some_attributes, known=known_attributes, end_ns=times)
def test_any_span_becomes_an_event_that_passes_its_contract(
    name: str, some: dict[str, object], known: dict[str, object], end_ns: int
) -> None:
    made = span(name, {**some, **known}, endTimeUnixNano=str(end_ns))

    for event in taken(OtlpSignal.TRACES, [made]).events:
        assert events.decode(events.encode(event)) == event


@settings(max_examples=60, deadline=None)
@given(value=st.floats(), some=some_attributes, time_ns=times, start_ns=times)
def test_any_point_becomes_an_event_that_passes_its_contract(
    value: float, some: dict[str, object], time_ns: int, start_ns: int
) -> None:
    made = point(0, some, timeUnixNano=str(time_ns), startTimeUnixNano=str(start_ns))
    made["asDouble"] = value if math.isfinite(value) else "NaN"

    for event in taken(OtlpSignal.METRICS, [metric("m", "sum", [made])]).events:
        assert events.decode(events.encode(event)) == event


@settings(max_examples=150, deadline=None)
@given(
    signal=st.sampled_from(list(OtlpSignal)), body=st.binary(max_size=200), as_json=st.booleans()
)
def test_any_bytes_are_read_or_a_bad_body(
    signal: OtlpSignal, body: bytes, *, as_json: bool
) -> None:
    try:
        intake = read(signal, body, as_json=as_json, tenant=DEFAULT_TENANT, received_ms=NOW_MS)
    except BadBody:
        return
    assert len(intake.refused) <= intake.total


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(
            ["attributes", "key", "value", "stringValue", "intValue", "doubleValue", "arrayValue",
             "values", "body", "timeUnixNano", "traceId", "spanId", "events", "name", "status",
             "sum", "gauge", "histogram", "dataPoints", "asDouble", "count", "bucketCounts"]
        ),
        inner, max_size=4,
    ),
    max_leaves=12,
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(signal=st.sampled_from(list(OtlpSignal)), records=st.lists(json_values, max_size=3))
def test_any_json_in_a_records_place_is_read_or_refused(
    signal: OtlpSignal, records: list[Any]
) -> None:
    body = json.dumps(request(signal, records)).encode()

    intake = read(signal, body, as_json=True, tenant=DEFAULT_TENANT, received_ms=NOW_MS)

    assert len(intake.refused) <= intake.total
    for event in intake.events:
        assert events.decode(events.encode(event)) == event


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_a_request_with_changed_bytes_is_read_or_a_bad_body(data: st.DataObject) -> None:
    spans = [span("x", {"a": 1, "b": [1, {"c": "d"}]})]
    body = bytearray(as_protobuf(OtlpSignal.TRACES, request(OtlpSignal.TRACES, spans)))
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))

    try:
        intake = read(
            OtlpSignal.TRACES, bytes(body), as_json=False, tenant=DEFAULT_TENANT, received_ms=NOW_MS
        )
    except BadBody:
        return
    for event in intake.events:
        assert events.decode(events.encode(event)) == event
