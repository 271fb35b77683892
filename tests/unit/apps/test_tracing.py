"""One trace from a client's message through the gateway and the worker."""

from typing import Final

import msgspec
import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from analytics.contracts import topics
from analytics.contracts.cloudevents import Record
from analytics.contracts.ids import TenantId
from apps.runtime import tracing
from gateway.http.auth import Grant, TokenScope
from gateway.kafka import admission
from gateway.kafka.admission import Admission
from streams.consumer.tracing import sampled
from tests.support import facts
from tests.support.checkpoint_memory import MemoryCheckpoint
from tests.support.publisher_memory import MemoryPublisher
from tests.support.stream_steps import Item, Written, step

TRACE_ID: Final = "4bf92f3577b34da6a3ce929d0e0e4736"
CLIENT_SPAN: Final = "00f067aa0ba902b7"
SAMPLED: Final = f"00-{TRACE_ID}-{CLIENT_SPAN}-01"
UNSAMPLED: Final = f"00-{TRACE_ID}-{CLIENT_SPAN}-00"
GRANT: Final = Grant(
    user="u", tenant=TenantId("acme"), scopes=frozenset({TokenScope.PUBLISH.value})
)


def _message(traceparent: str) -> bytes:
    event = msgspec.json.decode(facts.encoded(facts.request("r1")))
    return msgspec.json.encode({"events": [event], "traceparent": traceparent})


def _item(record: Record) -> Item:
    written = Written(0, facts.T0_MS, record.value, record.key, record.headers)
    return Item("cluster-a", topics.AGENTS.address, 0, 0, 1, [written])


async def _sent(traceparent: str, spans: tracing.Spans | None) -> Record:
    publisher = MemoryPublisher()
    way_in = Admission(publisher, events_max=10, new_id=lambda: "id", tracing=spans)
    await way_in.take(admission.split(_message(traceparent)), grant=GRANT, ingest_path="websocket")
    [record] = publisher.records
    return record


def _parent(span: ReadableSpan) -> str:
    assert span.parent is not None
    return f"{span.parent.span_id:016x}"


@pytest.mark.requirement("gateway-traces")
async def test_a_sampled_message_has_a_span_to_the_broker_and_one_to_the_store() -> None:
    exporter = InMemorySpanExporter()
    with tracing.exporting("test", exporter) as spans:
        record = await _sent(SAMPLED, spans)
        worker = step(
            MemoryCheckpoint(),
            stored=lambda stored: spans.stored(topics.AGENTS.address, 0, stored.traced),
        )
        await worker.take(_item(record), facts.T0_MS + 1)

    publish, store = exporter.get_finished_spans()
    assert [publish.name, store.name] == ["publish", "store"]
    assert {f"{span.context.trace_id:032x}" for span in (publish, store)} == {TRACE_ID}
    assert _parent(publish) == CLIENT_SPAN
    assert _parent(store) == f"{publish.context.span_id:016x}"
    assert publish.attributes is not None
    assert publish.attributes["mainstem.events.refused"] == 0
    assert store.attributes is not None
    assert store.attributes["messaging.kafka.offset"] == 0


async def test_a_message_that_nobody_samples_is_carried_as_it_is_and_has_no_span() -> None:
    exporter = InMemorySpanExporter()
    with tracing.exporting("test", exporter) as spans:
        record = await _sent(UNSAMPLED, spans)

    assert dict(record.headers)["ce_traceparent"] == UNSAMPLED.encode()
    assert sampled(_item(record).records) == ()
    assert exporter.get_finished_spans() == ()


async def test_without_a_collector_what_the_sender_gave_travels_on() -> None:
    record = await _sent(SAMPLED, None)

    assert dict(record.headers)["ce_traceparent"] == SAMPLED.encode()


async def test_one_event_by_itself_may_name_its_trace_too() -> None:
    batch = admission.split(b'{"type":"x","traceparent":"%s"}' % SAMPLED.encode())

    assert batch.traceparent == SAMPLED


def test_nothing_is_collected_where_no_address_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MAINSTEM_TRACES_ENDPOINT", raising=False)

    with tracing.collecting("test") as spans:
        assert spans is None
