"""What the gateway answers over HTTP: each ingest path, and each way to be refused."""

import gzip
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from analytics.contracts import events, topics
from analytics.contracts.ids import TenantId
from gateway.http.auth import TokenScope
from tests.support.gateway import client, gateway, token
from tests.support.publisher_memory import MemoryPublisher

JSON = "application/json"
PROTOBUF = "application/x-protobuf"
LIMIT = 2_048
STARTED: dict[str, Any] = {"type": "session.started", "id": "e1", "session_id": "s1", "at_ms": 1}
LOG = {"resourceLogs": [{"scopeLogs": [{"logRecords": [{"body": {"stringValue": "x"}}]}]}]}


@pytest.fixture
def publisher() -> MemoryPublisher:
    return MemoryPublisher()


@pytest.fixture
async def http(publisher: MemoryPublisher) -> AsyncIterator[httpx.AsyncClient]:
    async with client(gateway(publisher), bearer=token()) as connected:
        yield connected


async def test_a_published_event_is_acknowledged_and_carries_the_tokens_tenant(
    http: httpx.AsyncClient, publisher: MemoryPublisher
) -> None:
    answer = await http.post("/v1/events", json={**STARTED, "tenant": "somebody-else"})

    assert answer.json() == {"results": [{"id": "e1", "status": "accepted"}]}
    [record] = publisher.records
    assert record.topic == topics.AGENTS.address
    assert events.decode(record.value).tenant == "acme"


@pytest.mark.requirement("tenant-isolated")
async def test_two_tenants_may_use_the_same_id(publisher: MemoryPublisher) -> None:
    under_test = gateway(publisher)

    for tenant in ("acme", "umbrella"):
        async with client(under_test, bearer=token(tenant=TenantId(tenant))) as http:
            answer = await http.post("/v1/events", json=STARTED)
            assert answer.json()["results"][0]["status"] == "accepted"

    assert [events.decode(record.value).tenant for record in publisher.records] == [
        "acme", "umbrella",
    ]  # fmt: skip


async def test_each_event_of_a_batch_gets_its_own_verdict_in_order(
    http: httpx.AsyncClient, publisher: MemoryPublisher
) -> None:
    batch = [
        STARTED,
        {"type": "nonsense", "id": "e2"},
        STARTED,
        {"type": "connection.opened", "id": "e3", "connection_id": "c", "at_ms": 1},
        {**STARTED, "id": "e4", "at_ms": "yesterday"},
        5,
        {key: value for key, value in STARTED.items() if key != "id"},
    ]

    answer = await http.post("/v1/events", json=batch)

    results = answer.json()["results"]
    assert [(one["id"], one["status"]) for one in results] == [
        ("e1", "accepted"), ("e2", "refused"), ("e1", "duplicate"), ("e3", "refused"),
        ("e4", "refused"), ("", "refused"), ("new-1", "accepted"),
    ]  # fmt: skip
    assert [one["reason"] for one in results if one["status"] == "refused"] == [
        "type 'nonsense' is not known",
        "type 'connection.opened' is not for clients to publish",
        "Expected `int`, got `str` - at `$.at_ms`",
        "an event is an object, not int",
    ]


@pytest.mark.requirement("unreadable-dead-letter")
async def test_what_cannot_be_read_becomes_a_dead_letter_as_it_came(
    http: httpx.AsyncClient, publisher: MemoryPublisher
) -> None:
    body = b'{"events": [{"type": "nonsense",  "x":1}, {"type":"session.started"}]}'

    await http.post("/v1/events", content=body, headers={"content-type": JSON})
    await http.post("/hooks/claude", content=b"{torn", headers={"content-type": JSON})
    await http.post("/v1/logs", content=b"\xff", headers={"content-type": PROTOBUF})

    assert [
        (letter.payload, letter.origin, letter.tenant) for letter in publisher.dead_letters
    ] == [
        (b'{"type": "nonsense",  "x":1}', "events", "acme"),
        (b'{"type":"session.started"}', "events", "acme"),
        (b"{torn", "hooks", "acme"),
        (b"\xff", "logs", "acme"),
    ]
    assert all(letter.reason for letter in publisher.dead_letters)


async def test_fields_we_do_not_know_are_carried_along(
    http: httpx.AsyncClient, publisher: MemoryPublisher
) -> None:
    await http.post("/v1/events", json={**STARTED, "mood": {"is": "good"}})

    assert json.loads(publisher.records[0].value) == {
        **STARTED, "tenant": "acme", "mood": {"is": "good"},
    }  # fmt: skip


async def test_lines_are_events_too_and_a_bad_line_spoils_no_other(
    http: httpx.AsyncClient, publisher: MemoryPublisher
) -> None:
    lines = [json.dumps(STARTED), "", "{torn", json.dumps({**STARTED, "id": "e2"}), ""]

    answer = await http.post(
        "/v1/events", content="\n".join(lines), headers={"content-type": "application/x-ndjson"}
    )

    assert [one["status"] for one in answer.json()["results"]] == [
        "accepted", "refused", "accepted",
    ]  # fmt: skip
    assert publisher.dead_letters[0].payload == b"{torn"


async def test_gzip_and_chunks_are_taken(
    http: httpx.AsyncClient, publisher: MemoryPublisher
) -> None:
    body = gzip.compress(json.dumps(STARTED).encode()) + gzip.compress(b"  ")

    async def chunks() -> AsyncIterator[bytes]:
        for byte in body:
            yield bytes([byte])

    answer = await http.post(
        "/v1/events",
        content=chunks(),
        headers={"content-type": JSON + "; charset=utf-8", "content-encoding": "gzip"},
    )

    assert answer.json()["results"][0]["status"] == "accepted"


async def test_a_body_without_a_length_is_stopped_at_the_limit(publisher: MemoryPublisher) -> None:
    taken = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal taken
        while taken < 1_000_000:
            taken += 1_000
            yield b" " * 1_000

    async with client(gateway(publisher, body_bytes_max=LIMIT), bearer=token()) as http:
        answer = await http.post("/v1/events", content=endless(), headers={"content-type": JSON})

    assert answer.status_code == 413


@pytest.mark.requirement("hooks-land")
async def test_a_hook_is_answered_with_nothing_and_its_event_is_on_its_way(
    http: httpx.AsyncClient, publisher: MemoryPublisher
) -> None:
    answer = await http.post("/hooks/claude", json={"hook_event_name": "Stop", "session_id": "s"})

    assert (answer.status_code, answer.content) == (200, b"{}")
    assert [record.topic for record in publisher.records] == [topics.AGENTS.address]


async def test_a_hook_is_refused_only_once_too_much_waits() -> None:
    publisher = MemoryPublisher(records_max=0)

    async with client(gateway(publisher), bearer=token()) as http:
        answer = await http.post("/hooks/claude", json={"hook_event_name": "Stop"})

    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "1"
    assert answer.json()["type"] == "urn:mainstem:problem:producer-full"


async def test_a_trace_is_carried_into_the_record(
    http: httpx.AsyncClient, publisher: MemoryPublisher
) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

    await http.post("/v1/events", json=STARTED, headers={"traceparent": trace})
    await http.post("/v1/events", json={**STARTED, "id": "e2"}, headers={"traceparent": "no trace"})

    first, second = (dict(record.headers) for record in publisher.records)
    assert first["ce_traceparent"] == trace.encode()
    assert "ce_traceparent" not in second


async def test_a_batch_of_which_nothing_got_through_says_when_to_come_again(
    http: httpx.AsyncClient, publisher: MemoryPublisher
) -> None:
    publisher.away = True

    answer = await http.post("/v1/events", json=[STARTED, {**STARTED, "id": "e2"}])

    assert answer.status_code == 503
    assert [one["retry_after_ms"] for one in answer.json()["results"]] == [1_000, 1_000]


@pytest.mark.requirement("otlp-lands")
async def test_an_export_is_answered_with_success_once_all_is_acknowledged(
    http: httpx.AsyncClient, publisher: MemoryPublisher
) -> None:
    answer = await http.post("/v1/logs", json=LOG)

    assert (answer.status_code, answer.json()) == (200, {})
    assert len(publisher.records) == 1


@pytest.mark.requirement("secrets-private")
async def test_a_token_appears_in_no_log_and_no_answer(
    publisher: MemoryPublisher, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(0)
    secret = token(key=b"another key, just as long as the right one")

    async with client(gateway(publisher), bearer=secret) as http:
        answer = await http.post("/v1/events", json=STARTED)

    assert secret not in answer.text
    assert secret.split(".")[2] not in caplog.text


async def test_health_tells_the_truth_without_a_token(publisher: MemoryPublisher) -> None:
    async with client(gateway(publisher)) as http:
        live, ready = await http.get("/health/live"), await http.get("/health/ready")
        publisher.away = True
        later = await http.get("/health/ready")

    assert (live.status_code, ready.status_code, later.status_code) == (200, 200, 503)
    assert ready.json()["producer"] is True
    assert later.json() == {
        "ready": False, "producer": False, "loop_lag_ms": 0.0, "draining": False,
    }  # fmt: skip


async def test_metrics_count_what_came_of_events_for_an_operator(
    publisher: MemoryPublisher,
) -> None:
    bearer = token(scopes=(TokenScope.PUBLISH, TokenScope.ADMIN))
    async with client(gateway(publisher), bearer=bearer) as http:
        await http.post("/v1/events", json=STARTED)

        shown = await http.get("/metrics")

    assert shown.headers["content-type"].startswith("text/plain")
    assert 'gateway_events_total{ingest_path="events",status="accepted"}' in shown.text
    assert 'gateway_requests_total{route="events",status="200"}' in shown.text


async def test_openapi_names_every_road(http: httpx.AsyncClient) -> None:
    described = (await http.get("/openapi.json")).json()

    assert set(described["paths"]) == {
        "/v1/events", "/v1/metrics", "/v1/logs", "/v1/traces", "/hooks/claude",
        "/health/live", "/health/ready", "/metrics", "/v1/stream", "/connection/uni_sse",
        "/webhooks/github", "/v1/pool", "/v1/pool/health", "/v1/pool/config",
        "/v1/connections/{connection_id}",
    }  # fmt: skip
    assert "503" in described["paths"]["/v1/logs"]["post"]["responses"]
