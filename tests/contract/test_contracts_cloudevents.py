"""Our Kafka records are CloudEvents: the `cloudevents` package reads and writes the same ones."""

import json
from datetime import UTC, datetime, timedelta
from typing import Final

import pytest
from cloudevents.core.bindings.kafka import KafkaMessage, from_binary, to_binary
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from hypothesis import given
from hypothesis import strategies as st

from analytics.contracts import cloudevents, events, topics
from analytics.contracts.events import Event
from analytics.contracts.facts import Source
from tests.support.facts import T0_MS, one_of_each, request

PARENT: Final = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def as_oracle_message(record: cloudevents.Record) -> KafkaMessage:
    return KafkaMessage(headers=dict(record.headers), key=record.key, value=record.value)


@pytest.mark.requirement("cloudevents-binary")
@pytest.mark.parametrize("event", one_of_each(), ids=events.type_of)
def test_the_oracle_reads_every_record(event: Event) -> None:
    record = cloudevents.record(event, traceparent=PARENT)

    read = from_binary(as_oracle_message(record), JSONFormat())

    assert read.get_specversion() == "1.0"
    assert read.get_id() == event.id
    assert read.get_type() == "mainstem." + events.type_of(event)
    assert read.get_source() == cloudevents.source_of(event)
    assert read.get_subject() == topics.key_of(event)
    assert read.get_datacontenttype() == "application/json"
    assert read.get_time() == datetime.fromtimestamp(event.at_ms / 1000, tz=UTC)
    assert read.get_extension("partitionkey") == topics.key_of(event)
    assert read.get_extension("traceparent") == PARENT
    assert read.get_data() == json.loads(record.value)


@pytest.mark.requirement("cloudevents-binary")
@pytest.mark.parametrize("event", one_of_each(), ids=events.type_of)
def test_the_oracle_writes_the_same_record(event: Event) -> None:
    record = cloudevents.record(event)
    attributes = {
        "specversion": "1.0",
        "id": event.id,
        "source": cloudevents.source_of(event),
        "type": "mainstem." + events.type_of(event),
        "subject": topics.key_of(event),
        "time": datetime.fromtimestamp(event.at_ms / 1000, tz=UTC),
        "datacontenttype": "application/json",
        "partitionkey": topics.key_of(event),
    }

    written = to_binary(CloudEvent(attributes, json.loads(record.value)), JSONFormat())

    ours, theirs = dict(record.headers), dict(written.headers)
    assert ours.keys() == theirs.keys()
    assert ours.pop("ce_time").removesuffix(b"Z").removesuffix(b".000") == theirs.pop(
        "ce_time"
    ).removesuffix(b"Z").removesuffix(b"+00:00")
    assert ours == theirs
    assert written.key is not None
    key = written.key if isinstance(written.key, bytes) else written.key.encode()
    assert key == record.key
    assert json.loads(written.value) == json.loads(record.value)


def test_the_payload_travels_as_it_came_with_fields_we_do_not_know() -> None:
    event = request()
    payload = events.encode(event)[:-1] + b',"from_the_future":1}'

    assert cloudevents.record(event, payload=payload).value == payload


def test_the_record_goes_to_its_topic_under_its_key() -> None:
    record = cloudevents.record(request(session_id="s-9"))

    assert (record.topic, record.key) == ("mainstem.agents.v1", b"s-9")
    assert "ce_traceparent" not in dict(record.headers)


def test_a_source_is_a_uri_whatever_the_tenant_is_called() -> None:
    event = request(tenant="a/b c", source=Source.HOOK)

    assert cloudevents.source_of(event) == "/tenants/a%2Fb%20c/hook"


@pytest.mark.parametrize(
    ("at_ms", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (T0_MS + 7, "2026-01-01T00:00:00.007Z"),
        (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
    ],
)
def test_times_are_rfc_3339_with_milliseconds(at_ms: int, text: str) -> None:
    assert cloudevents.rfc3339(at_ms) == text


@given(at_ms=st.integers(min_value=0, max_value=253_402_300_799_999))
def test_times_are_those_of_the_standard_library(at_ms: int) -> None:
    at = datetime.fromtimestamp(at_ms // 1_000, tz=UTC) + timedelta(milliseconds=at_ms % 1_000)

    assert cloudevents.rfc3339(at_ms) == at.isoformat(timespec="milliseconds")[:-6] + "Z"
