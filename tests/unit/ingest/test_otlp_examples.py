"""The published OTLP examples, as JSON and as protobuf."""

import json

import pytest

from analytics.contracts import events
from analytics.contracts.agent_events import AgentObserved, UsageReported
from analytics.contracts.ids import DEFAULT_TENANT
from gateway.otlp.intake import Intake, OtlpSignal, read
from tests.support.ingest import DATA, NOW_MS, as_json, as_protobuf, both

EXAMPLES = [
    ("events.json", OtlpSignal.LOGS),
    ("logs.json", OtlpSignal.LOGS),
    ("metrics.json", OtlpSignal.METRICS),
    ("trace.json", OtlpSignal.TRACES),
]


def example(name: str) -> bytes:
    return (DATA / "otlp" / name).read_bytes()


def taken(name: str, signal: OtlpSignal) -> Intake:
    return both(signal, json.loads(example(name)))


def records_in(document: object) -> int:
    """Count the leaves that are records: data points, log records, spans."""
    if isinstance(document, list):
        return sum(records_in(part) for part in document)
    if not isinstance(document, dict):
        return 0
    return sum(
        len(value) if key in {"dataPoints", "logRecords", "spans"} else records_in(value)
        for key, value in document.items()
    )


@pytest.mark.requirement("otlp-lands")
@pytest.mark.parametrize(("name", "signal"), EXAMPLES)
def test_every_record_of_an_example_becomes_an_event(name: str, signal: OtlpSignal) -> None:
    intake = taken(name, signal)

    assert intake.total == records_in(json.loads(example(name)))
    assert intake.refused == ()
    assert len(intake.events) >= intake.total


@pytest.mark.parametrize(("name", "signal"), EXAMPLES)
def test_an_example_says_the_same_through_protobuf_and_back(name: str, signal: OtlpSignal) -> None:
    there_and_back = as_json(signal, as_protobuf(signal, json.loads(example(name))))

    again = read(signal, there_and_back, as_json=True, tenant=DEFAULT_TENANT, received_ms=NOW_MS)

    assert again.events == taken(name, signal).events


@pytest.mark.parametrize(("name", "signal"), EXAMPLES)
def test_the_events_of_an_example_pass_their_own_contract(name: str, signal: OtlpSignal) -> None:
    for event in taken(name, signal).events:
        assert events.decode(events.encode(event)) == event


def test_a_log_record_keeps_hex_ids_values_and_body() -> None:
    (event,) = taken("logs.json", OtlpSignal.LOGS).events

    assert isinstance(event, AgentObserved)
    assert event.trace_id == "5b8efff798038103d269b633813fc60c"
    assert event.span_id == "eee19b7ec3c1b174"
    assert event.body == "Example log record"
    assert event.severity == "Information"
    assert event.at_ms == 1_544_712_660_300
    assert event.attributes["int.attribute"] == 10
    assert event.attributes["double.attribute"] == 637.704
    assert event.attributes["boolean.attribute"] is True
    assert event.attributes["array.attribute"] == '["many","values"]'
    assert event.attributes["map.attribute"] == '{"some.map.key":"some value"}'


def test_an_event_keeps_its_name_and_its_structured_body() -> None:
    (event,) = taken("events.json", OtlpSignal.LOGS).events

    assert isinstance(event, AgentObserved)
    assert event.name == "browser.page_view"
    assert json.loads(event.body)["title"] == "Free Online GUID Generator"


def test_a_span_keeps_its_parents_id_and_how_long_it_took() -> None:
    (event,) = taken("trace.json", OtlpSignal.TRACES).events

    assert isinstance(event, AgentObserved)
    assert event.name == "I'm a server span"
    assert event.duration_ms == 1_000
    assert event.at_ms == 1_544_712_661_000
    assert event.parent_span_id == "eee19b7ec3c1b173"


def test_every_kind_of_metric_becomes_a_value_of_the_senders_own_metrics() -> None:
    points = {
        event.metric: event
        for event in taken("metrics.json", OtlpSignal.METRICS).events
        if isinstance(event, UsageReported)
    }

    assert {name: event.value for name, event in points.items()} == {
        "my.counter": 5.0,
        "my.gauge": 10.0,
        "my.histogram": 2.0,
        "my.histogram.count": 2.0,
        "my.exponential.histogram": 10.0,
        "my.exponential.histogram.count": 3.0,
    }
    assert "otel.point" not in points["my.counter"].attributes
    assert points["my.gauge"].attributes["otel.point"] == "gauge"
    assert points["my.histogram"].attributes["otel.buckets"] == "[1,1]"
    assert points["my.exponential.histogram"].attributes["otel.positive"] == "[0,2]"
    assert not any(event.cumulative for event in points.values())
    assert points["my.counter"].start_ms == 1_544_712_660_300


@pytest.mark.parametrize(("name", "signal"), EXAMPLES)
def test_the_same_body_sent_again_has_the_same_ids(name: str, signal: OtlpSignal) -> None:
    first, again = (
        read(signal, example(name), as_json=True, tenant=DEFAULT_TENANT, received_ms=received_ms)
        for received_ms in (NOW_MS, NOW_MS + 5_000)
    )

    assert [event.id for event in again.events] == [event.id for event in first.events]
    assert len({event.id for event in first.events}) == len(first.events)
