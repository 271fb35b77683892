"""What OTLP asks of whoever receives it: refusals, answers, limits, ids."""

import json
from typing import Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceResponse,
)
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceResponse,
)

from analytics.contracts.agent_events import AgentObserved, UsageReported
from analytics.contracts.errors import BadBody
from analytics.contracts.ids import DEFAULT_TENANT, TenantId
from gateway.otlp import content
from gateway.otlp.intake import Intake, OtlpSignal, answer, read, status
from tests.support.ingest import (
    NOW_MS,
    NOW_NS,
    any_value,
    attributes,
    both,
    log,
    metric,
    only,
    point,
    request,
    span,
    taken,
)


def read_json(signal: OtlpSignal, document: object, *, received_ms: int = NOW_MS) -> Intake:
    body = json.dumps(document).encode()
    return read(signal, body, as_json=True, tenant=DEFAULT_TENANT, received_ms=received_ms)


@pytest.mark.requirement("bad-input-answered")
@pytest.mark.parametrize("signal", list(OtlpSignal))
@pytest.mark.parametrize(
    "body",
    [b"{", b"[]", b'"x"', b"\xff", b'{"resourceLogs": 3, "resourceSpans": 3, "resourceMetrics": 3}',
     b"[" * 100_000, b'{"x":' * 100_000, b""],
)  # fmt: skip
def test_what_is_no_request_is_a_bad_body(signal: OtlpSignal, body: bytes) -> None:
    with pytest.raises(BadBody):
        read(signal, body, as_json=True, tenant=DEFAULT_TENANT, received_ms=NOW_MS)


def test_bytes_that_are_no_message_are_a_bad_body() -> None:
    with pytest.raises(BadBody):
        read(OtlpSignal.LOGS, b"\xff\xff", as_json=False, tenant=DEFAULT_TENANT, received_ms=NOW_MS)


@pytest.mark.parametrize("as_json", [True, False])
@pytest.mark.parametrize("signal", list(OtlpSignal))
def test_an_empty_request_holds_nothing(signal: OtlpSignal, *, as_json: bool) -> None:
    body = b"{}" if as_json else b""

    intake = read(signal, body, as_json=as_json, tenant=DEFAULT_TENANT, received_ms=NOW_MS)

    assert intake == Intake(events=(), refused=(), total=0)


@pytest.mark.requirement("unreadable-dead-letter")
@pytest.mark.parametrize(
    "bad",
    [
        {"timeUnixNano": "yesterday"},
        {"attributes": "none"},
        {"attributes": [{"key": 1}]},
        {"body": {"bytesValue": "!"}},
        {"severityNumber": "INFO"},
        [],
        7,
    ],
)
def test_one_broken_log_record_is_refused_alone_and_as_it_came(bad: object) -> None:
    document = request(OtlpSignal.LOGS, [log("a", {}), bad, log("b", {})])  # type: ignore[list-item] # broken on purpose

    intake = read_json(OtlpSignal.LOGS, document)

    (refusal,) = intake.refused
    assert json.loads(refusal.payload) == bad
    assert refusal.reason
    assert intake.total == 3
    assert [getattr(event, "name", "") for event in intake.events] == ["a", "b"]


@pytest.mark.parametrize(
    "ids",
    [
        {"traceId": ""},
        {"spanId": "00" * 8},
        {"traceId": "00" * 16},
        {"traceId": "ab"},
        {"spanId": ""},
    ],
)
def test_a_span_whose_ids_are_not_valid_is_refused_in_both_forms(ids: dict[str, str]) -> None:
    document = request(OtlpSignal.TRACES, [span("good", {}), span("bad", {}, **ids)])

    intake = both(OtlpSignal.TRACES, document)

    assert intake.total == 2
    assert len(intake.refused) == 1
    assert only(AgentObserved, intake).name == "good"


def test_a_span_whose_id_is_no_hex_is_refused() -> None:
    document = request(OtlpSignal.TRACES, [span("bad", {}, spanId="zz" * 8)])

    assert len(read_json(OtlpSignal.TRACES, document).refused) == 1


def test_ids_may_be_written_in_capitals() -> None:
    lower = taken(OtlpSignal.TRACES, [span("x", {})])
    upper = taken(OtlpSignal.TRACES, [span("x", {}, spanId="B7AD6B7169203331")])

    assert lower.events == upper.events


@pytest.mark.parametrize(
    "bad",
    [
        {"name": "m"},
        {"name": "", "gauge": {"dataPoints": []}},
        {"name": "m", "sum": {"aggregationTemporality": "DELTA"}},
        {"name": "m", "sum": {"dataPoints": [{"asInt": "many"}]}},
    ],
)
def test_one_broken_metric_or_point_is_refused_alone(bad: dict[str, Any]) -> None:
    document = request(OtlpSignal.METRICS, [metric("good", "sum", [point(1)]), bad])

    intake = read_json(OtlpSignal.METRICS, document)

    assert (intake.total, len(intake.refused)) == (2, 1)
    assert only(UsageReported, intake).metric == "good"


def test_a_broken_resource_refuses_its_records_and_no_others() -> None:
    document = request(OtlpSignal.LOGS, [log("a", {})])
    broken = request(OtlpSignal.LOGS, [log("b", {}), log("c", {})])["resourceLogs"][0]
    document["resourceLogs"].append({**broken, "resource": {"attributes": 7}})

    intake = read_json(OtlpSignal.LOGS, document)

    assert (intake.total, len(intake.refused), len(intake.events)) == (3, 2, 1)


def test_fields_that_are_not_known_are_passed_over() -> None:
    record = {**log("a", {}), "fieldOfNextYear": {"x": 1}}
    document = {**request(OtlpSignal.LOGS, [record]), "another": [1]}

    assert len(read_json(OtlpSignal.LOGS, document).events) == 1


def test_keys_in_snake_case_are_unknown_fields() -> None:
    assert read_json(OtlpSignal.LOGS, {"resource_logs": 3}).total == 0


@pytest.mark.parametrize("number", [7, "7"])
def test_64_bit_numbers_come_as_text_or_as_numbers(number: object) -> None:
    record = {"timeUnixNano": NOW_NS, "attributes": [{"key": "n", "value": {"intValue": number}}]}

    event = only(AgentObserved, read_json(OtlpSignal.LOGS, request(OtlpSignal.LOGS, [record])))

    assert event.attributes["n"] == 7
    assert event.at_ms == NOW_MS


def test_every_kind_of_value_is_kept() -> None:
    given: dict[str, object] = {
        "text": "é", "yes": True, "no": False, "int": -(2**63), "float": 0.5, "bytes": b"\x00\xff",
        "list": [1, "a", [True]], "map": {"b": 1, "a": None}, "nothing": None,
    }  # fmt: skip

    event = only(AgentObserved, taken(OtlpSignal.LOGS, [log("a", given)]))

    kept = event.attributes
    assert (kept["text"], kept["yes"], kept["no"], kept["float"]) == ("é", True, False, 0.5)
    assert kept["bytes"] == '"AP8="'
    assert kept["list"] == '[1,"a",[true]]'
    assert kept["map"] == '{"a":null,"b":1}'
    assert kept["nothing"] is None
    assert int(str(kept["int"])) == -(2**63)


@pytest.mark.requirement("counted-once-by-id")
def test_records_that_say_the_same_are_told_apart_within_a_request_and_not_between() -> None:
    records = [log("tick", {}), log("tick", {}), log("tock", {})]

    first = taken(OtlpSignal.LOGS, records)
    again = taken(OtlpSignal.LOGS, records)

    ids = [event.id for event in first.events]
    assert len(set(ids)) == 3
    assert [event.id for event in again.events] == ids


def test_a_record_without_any_time_has_the_time_of_its_receipt() -> None:
    document = request(OtlpSignal.LOGS, [{"body": any_value("x")}])

    first = read_json(OtlpSignal.LOGS, document).events[0]
    later = read_json(OtlpSignal.LOGS, document, received_ms=NOW_MS + 1).events[0]

    assert first.at_ms == NOW_MS
    assert first.id != later.id


@pytest.mark.requirement("tenant-isolated")
def test_the_same_record_of_another_tenant_is_another_fact() -> None:
    body = json.dumps(request(OtlpSignal.LOGS, [log("a", {})])).encode()

    ours, theirs = (
        read(
            OtlpSignal.LOGS, body, as_json=True, tenant=TenantId(tenant), received_ms=NOW_MS
        ).events[0]
        for tenant in ("ours", "theirs")
    )

    assert ours.id != theirs.id
    assert (ours.tenant, theirs.tenant) == ("ours", "theirs")


def test_a_running_total_says_so_and_keeps_its_series() -> None:
    def total(value: float, seconds: int, region: str) -> UsageReported:
        at_ns = str(NOW_NS + seconds * 1_000_000_000)
        given = point(value, {"region": region}, timeUnixNano=at_ns)
        made = metric("requests", "sum", [given], aggregationTemporality=2)
        return only(UsageReported, taken(OtlpSignal.METRICS, [made]))

    assert total(1, 0, "eu").cumulative
    assert total(1, 0, "eu").series == total(2, 60, "eu").series != total(1, 0, "us").series
    assert total(1, 0, "eu").id != total(1, 60, "eu").id


def test_sums_that_may_shrink_and_summaries_are_marked() -> None:
    shrinking = metric("open", "sum", [point(-2)], isMonotonic=False)
    quantiles = [{"quantile": 0.5, "value": 2.0}]
    summary = metric("t", "summary", [{"count": "4", "sum": 9.5, "quantileValues": quantiles}])

    down, total, count = taken(OtlpSignal.METRICS, [shrinking, summary]).events

    assert isinstance(down, UsageReported)
    assert isinstance(total, UsageReported)
    assert isinstance(count, UsageReported)
    assert (down.value, down.attributes["otel.point"]) == (-2.0, "up_down_sum")
    assert (total.metric, total.value, total.cumulative) == ("t", 9.5, True)
    assert (count.metric, count.value) == ("t.count", 4.0)
    assert total.attributes["otel.quantiles"] == "[[0.5,2.0]]"


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity"])
def test_a_point_without_a_number_is_kept_and_not_counted(value: str) -> None:
    given = {**point(0, {"region": "eu"}), "asDouble": value}

    event = only(AgentObserved, taken(OtlpSignal.METRICS, [metric("odd", "gauge", [given])]))

    assert event.name == "odd"
    assert event.attributes["region"] == "eu"


def test_a_marker_of_no_value_is_kept_and_not_counted() -> None:
    given = point(0, flags=1)

    event = only(AgentObserved, taken(OtlpSignal.METRICS, [metric("gone", "sum", [given])]))

    assert event.attributes["otel.no_recorded_value"] is True


@pytest.mark.requirement("limits-have-names")
def test_values_and_requests_are_cut_at_their_limits() -> None:
    long = "x" * (content.VALUE_LENGTH_MAX + 10)
    many = {f"key{number}": 1 for number in range(content.ATTRIBUTES_MAX + 5)}
    budget = content.Budget(text_left=content.VALUE_LENGTH_MAX)

    kept = content.scalars({"a": long, "b": long}, budget, keep_content=False)
    fewer = content.scalars(many, content.Budget(), keep_content=False)

    assert len(str(kept["a"])) == content.VALUE_LENGTH_MAX
    assert str(kept["a"]).endswith("…")
    assert len(str(kept["b"])) == content.SPENT_LENGTH_MAX
    assert fewer["attributes_left_out"] == 5
    assert len(fewer) == content.ATTRIBUTES_MAX + 1


def test_contents_are_left_out_and_their_lengths_are_kept() -> None:
    given: dict[str, object] = {"gen_ai.input.messages": "secret", "gen_ai.prompt.0.content": "so"}
    event = {"name": "gen_ai.content.prompt", "timeUnixNano": "1"}
    parts = [{**event, "attributes": attributes({"gen_ai.prompt": "secret", "n": 1})}]

    dropped = only(AgentObserved, taken(OtlpSignal.TRACES, [span("x", given, events=parts)]))
    kept = taken(OtlpSignal.TRACES, [span("x", given, events=parts)], keep_content=True)

    assert dropped.attributes["gen_ai.input.messages.length"] == 6
    assert "secret" not in repr(dropped)
    assert '"n":1' in str(dropped.attributes["span.events"])
    assert only(AgentObserved, kept).attributes["gen_ai.input.messages"] == "secret"


@pytest.mark.parametrize("signal", list(OtlpSignal))
def test_all_taken_is_answered_with_an_empty_message(signal: OtlpSignal) -> None:
    assert answer(signal, as_json=True) == b"{}"
    assert answer(signal, as_json=False) == b""


@pytest.mark.parametrize(
    ("signal", "response", "name"),
    [
        (OtlpSignal.LOGS, ExportLogsServiceResponse, "rejected_log_records"),
        (OtlpSignal.METRICS, ExportMetricsServiceResponse, "rejected_data_points"),
        (OtlpSignal.TRACES, ExportTraceServiceResponse, "rejected_spans"),
    ],
)
def test_a_refusal_is_a_partial_success(signal: OtlpSignal, response: Any, name: str) -> None:
    body = answer(signal, as_json=False, rejected=3, message="three are broken")
    document = json.loads(answer(signal, as_json=True, rejected=3, message="three are broken"))

    partial = response.FromString(body).partial_success
    assert getattr(partial, name) == 3
    assert partial.error_message == "three are broken"
    first, *rest = name.split("_")
    camel = first + "".join(part.title() for part in rest)
    assert document == {"partialSuccess": {camel: "3", "errorMessage": "three are broken"}}


def test_a_status_is_written_as_google_writes_it() -> None:
    rpc = pytest.importorskip("google.rpc.status_pb2", reason="comes with the OTLP exporter")
    text = "ünreadable " * 40

    message = rpc.Status.FromString(status(text, code=3, as_json=False))

    assert (message.code, message.message) == (3, text)
    assert json.loads(status(text, code=3, as_json=True)) == {"code": 3, "message": text}
