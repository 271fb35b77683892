"""The broker stops, comes back empty on the same port, or is not there yet: the gateway runs on."""

import asyncio
import json

import httpx
import pytest

from analytics.contracts import events, topics
from analytics.contracts.agent_events import SessionStarted
from analytics.contracts.ids import EventId, SessionId
from apps.local.ports import free_port
from gateway.kafka.publisher import OutgoingEvent, Receipt, Status
from tests.integration.gateway.conftest import READY_S, Running, Start
from tests.support.broker import started_tansu, suspended
from tests.support.gateway import TENANT, until
from tests.support.publisher_kafka import landed, publisher_on

pytestmark = pytest.mark.embedded


def _event(event_id: str) -> dict[str, object]:
    return {"type": "session.started", "id": event_id, "session_id": "away", "at_ms": 1}


async def _ready(running: Running, *, wanted: bool) -> None:
    await until(lambda: running.publisher.ready is wanted, seconds_max=READY_S)


async def _ids(address: str) -> list[str]:
    found = [one for one in await landed(address) if one.topic == topics.AGENTS.address]
    return [events.decode(one.value).id for one in found]


@pytest.mark.requirement("refused-may-be-resent")
@pytest.mark.requirement("acknowledged-kept")
async def test_a_broker_that_dies_and_comes_back_empty_is_used_again_without_a_restart(
    start_on: Start, bearer: str
) -> None:
    port = free_port()
    headers = {"Authorization": f"Bearer {bearer}"}
    async with (
        start_on(f"127.0.0.1:{port}") as running,
        httpx.AsyncClient(base_url=running.url, headers=headers, timeout=20) as http,
    ):
        with started_tansu(port) as first:
            await _ready(running, wanted=True)
            before = await http.post("/v1/events", json=[_event("before")])
            first.process.kill()
            first.process.wait()
        during = await http.post("/v1/events", json=[_event("during")])
        await _ready(running, wanted=False)
        unready = await http.get("/health/ready")
        refused = await http.post("/v1/events", json=[_event("during")])
        exported = await http.post(
            "/v1/logs",
            json={
                "resourceLogs": [{"scopeLogs": [{"logRecords": [{"body": {"stringValue": "x"}}]}]}]
            },
        )
        hooked = await http.post(
            "/hooks/claude", json={"hook_event_name": "Stop", "session_id": "kept"}
        )
        with started_tansu(port) as second:
            await _ready(running, wanted=True)
            again = await http.post("/v1/events", json=[_event("during"), _event("before")])
            keys: set[bytes] = set()
            async with asyncio.timeout(READY_S):
                while b"kept" not in keys:
                    keys = {one.key for one in await landed(second.address)}
            ids = await _ids(second.address)

    assert before.status_code == 200
    assert during.status_code == refused.status_code == exported.status_code == 503
    assert all("retry-after" in answer.headers for answer in (during, refused, exported))
    assert during.json()["results"][0]["status"] == "refused"
    assert unready.status_code == 503
    assert hooked.content == b"{}"
    refused_then_sent_again, lost_with_the_log = again.json()["results"]
    assert refused_then_sent_again["status"] in {"accepted", "duplicate"}
    assert lost_with_the_log["status"] == "accepted"
    assert (ids.count("during"), ids.count("before")) == (1, 1)


async def test_a_broker_that_is_not_there_yet_is_waited_for(start_on: Start, bearer: str) -> None:
    port = free_port()
    headers = {"Authorization": f"Bearer {bearer}"}
    async with (
        start_on(f"127.0.0.1:{port}") as running,
        httpx.AsyncClient(base_url=running.url, headers=headers, timeout=20) as http,
    ):
        live = await http.get("/health/live")
        early = await http.post("/v1/events", json=[_event("early")])
        with started_tansu(port):
            await _ready(running, wanted=True)
            later = await http.post("/v1/events", json=[_event("early")])

    assert live.status_code == 200
    assert early.status_code == 503
    assert later.json()["results"][0]["status"] == "accepted"


@pytest.mark.requirement("limits-have-names")
async def test_hooks_are_kept_within_a_limit_while_the_broker_is_away(
    start: Start, bearer: str
) -> None:
    hook = json.dumps({"hook_event_name": "Stop", "session_id": "s"})
    headers = {"Authorization": f"Bearer {bearer}", "Content-Type": "application/json"}
    async with (
        publisher_on(f"127.0.0.1:{free_port()}", records_max=5, drain_ms=10) as publisher,
        start(publisher) as running,
        httpx.AsyncClient(base_url=running.url, headers=headers) as http,
    ):
        answers = [await http.post("/hooks/claude", content=hook) for _ in range(7)]

    assert [answer.status_code for answer in answers] == [200] * 5 + [503] * 2


@pytest.mark.requirement("refused-may-be-resent")
async def test_who_is_refused_and_tries_again_at_once_does_not_hold_up_others() -> None:
    turns: list[int] = []

    async def other() -> None:
        for number in range(3):
            turns.append(number)
            await asyncio.sleep(0)

    async with publisher_on(f"127.0.0.1:{free_port()}", drain_ms=10) as publisher:
        task = asyncio.create_task(other())
        refused = [await publisher.publish([_started(number)]) for number in range(10)]
        turned = list(turns)
        await task

    assert {one.status for [one] in refused} == {Status.REFUSED}
    assert turned == [0, 1, 2]


@pytest.mark.requirement("refused-may-be-resent")
@pytest.mark.requirement("limits-have-names")
async def test_a_broker_that_stalls_leaves_nothing_acknowledged_and_memory_bounded() -> None:
    with started_tansu() as broker:
        async with publisher_on(broker.address, ack_ms=1_000, records_max=20) as publisher:
            await until(lambda: publisher.ready, seconds_max=READY_S)
            with suspended(broker.process):
                stalled = await publisher.publish([_started(number) for number in range(30)])
            await until(lambda: publisher.ready, seconds_max=READY_S)
            verdicts: list[Receipt] = []
            async with asyncio.timeout(READY_S):
                while not verdicts or any(one.status is Status.REFUSED for one in verdicts):
                    await until(lambda: publisher.ready, seconds_max=READY_S)
                    verdicts = await publisher.publish([_started(number) for number in range(20)])
        ids = await _ids(broker.address)

    assert {verdict.status for verdict in stalled} == {Status.REFUSED}
    assert all(verdict.retry_after_ms for verdict in stalled)
    assert "too much" in stalled[29].reason
    assert set(ids) == {f"stalled-{number}" for number in range(20)}


def _started(number: int) -> OutgoingEvent:
    return OutgoingEvent(
        event=SessionStarted(
            id=EventId(f"stalled-{number}"), tenant=TENANT, at_ms=1, session_id=SessionId("s")
        )
    )
