"""What of people's data gets past the gateway, on every ingest path."""

import json
from typing import Final

import pytest
from pydantic import SecretStr

from analytics.contracts import events
from analytics.contracts.errors import BadSetting
from analytics.privacy.filter import Filter
from analytics.privacy.rules import PrivacyRules
from gateway import settings as gateway_settings
from gateway.http.auth import Grant, TokenScope
from gateway.kafka.admission import Admission
from gateway.kafka.publisher import OutgoingEvent
from gateway.kafka.redaction import Private
from gateway.websocket.methods import PUBLISH, Caller, methods
from tests.support.gateway import NOW_MS, TENANT, client, gateway, token
from tests.support.publisher_memory import MemoryPublisher

PROMPT: Final = "fix /home/ada/app, says ada@example.com, password=hunter22"


def _text(key: str, value: str) -> dict[str, object]:
    return {"key": key, "value": {"stringValue": value}}


OURS: Final = {
    "type": "prompt.submitted", "id": "p1", "session_id": "s", "at_ms": NOW_MS, "text": PROMPT,
}  # fmt: skip
HOOK: Final = {
    "hook_event_name": "UserPromptSubmit", "session_id": "s", "cwd": "/home/ada/app",
    "prompt": PROMPT,
}  # fmt: skip
LOGS: Final = {
    "resourceLogs": [{
        "resource": {"attributes": [_text("service.name", "claude-code")]},
        "scopeLogs": [{"logRecords": [{
            "timeUnixNano": str(NOW_MS * 1_000_000),
            "body": {"stringValue": "claude_code.user_prompt"},
            "attributes": [
                _text("event.name", "user_prompt"), _text("session.id", "s"),
                _text("prompt", PROMPT), _text("prompt_length", "58"),
            ],
        }]}],
    }]
}  # fmt: skip
INGEST_PATHS: Final = [("/v1/events", OURS), ("/hooks/claude", HOOK), ("/v1/logs", LOGS)]
HEADERS: Final = {"content-type": "application/json", "authorization": f"Bearer {token()}"}


@pytest.mark.requirement("privacy-filter")
@pytest.mark.parametrize(("path", "body"), INGEST_PATHS)
async def test_no_ingest_path_lets_a_prompt_pass(path: str, body: object) -> None:
    publisher = MemoryPublisher()
    async with client(gateway(publisher)) as http:
        answer = await http.post(path, content=json.dumps(body), headers=HEADERS)

    assert answer.status_code == 200
    [told] = [events.decode(record.value) for record in publisher.records]
    assert isinstance(told, events.TYPES["prompt.submitted"])
    assert getattr(told, "length", 0) == len(PROMPT)
    assert getattr(told, "text", None) == ""


@pytest.mark.parametrize(("path", "body"), INGEST_PATHS)
async def test_contents_that_are_kept_lose_addresses_paths_and_secrets(
    path: str, body: object
) -> None:
    publisher = MemoryPublisher()
    async with client(gateway(publisher, keep_content=True)) as http:
        await http.post(path, content=json.dumps(body), headers=HEADERS)

    [told] = [events.decode(record.value) for record in publisher.records]
    assert getattr(told, "text", "") == "fix ~/app, says <email>, password=<secret>"


async def test_neither_does_a_call_over_a_socket_nor_a_dead_letter() -> None:
    publisher = MemoryPublisher()
    admission = Admission(
        Private(publisher, Filter(PrivacyRules())), events_max=10, new_id=lambda: "new"
    )
    caller = Caller(_grant(), _Silent())
    unknown = {**OURS, "type": "password=hunter22"}

    await methods(admission)[PUBLISH](caller, json.dumps([OURS, unknown]).encode())

    [told] = publisher.records
    [letter] = publisher.dead_letters
    assert b"hunter22" not in told.value
    assert "hunter22" not in letter.payload.decode() + letter.reason
    assert json.loads(letter.payload)["text.length"] == len(PROMPT)


async def test_what_is_large_goes_through_in_stretches_and_in_order() -> None:
    publisher = MemoryPublisher()
    private = Private(publisher, Filter(PrivacyRules()))
    fields = {"tenant": "t", "session_id": "s", "at_ms": 1, "name": "x",
              "body": "a@b.example " * 4_000}  # fmt: skip
    told = [events.read({"type": "agent.observed", "id": f"e{n}", **fields}) for n in range(9)]
    outgoing = [OutgoingEvent(event=event) for event in told]

    verdicts = await private.publish(outgoing)
    private.post(
        [
            OutgoingEvent(event=events.read({"type": "agent.observed", "id": f"p{n}", **fields}))
            for n in range(9)
        ]
    )
    await private.dead_letter(b"a@b.example " * 20_000, reason="r", origin="o", tenant=TENANT)

    assert [one.id for one in verdicts] == [event.id for event in told]
    kept = [events.decode(record.value) for record in publisher.records]
    assert [event.id for event in kept] == [f"{way}{n}" for way in "ep" for n in range(9)]
    assert {getattr(event, "body", "") for event in kept} == {"<email> " * 4_000}
    assert publisher.dead_letters[0].payload == b"<email> " * 20_000


async def test_what_could_not_be_read_is_cut_before_it_is_gone_through() -> None:
    publisher = MemoryPublisher()
    private = Private(publisher, Filter(PrivacyRules()))
    torn = b'{"prompt": "' + b"hunter22 " * 100_000 + b'", "a": 1}'

    await private.dead_letter(torn, reason="r", origin="o", tenant=TENANT)

    [letter] = publisher.dead_letters
    assert letter.payload == b'{"prompt":"<content>"'
    assert letter.whole_bytes == len(torn)


def test_pseudonyms_need_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAINSTEM_GATEWAY_USERS", "hash")
    with pytest.raises(BadSetting, match="MAINSTEM_GATEWAY_USERS_KEY"):
        gateway_settings.load()
    monkeypatch.setenv("MAINSTEM_GATEWAY_USERS_KEY", "k" * 32)

    assert gateway_settings.load().users_key == SecretStr("k" * 32)


def _grant() -> Grant:
    return Grant(user="ada", tenant=TENANT, scopes=frozenset({TokenScope.PUBLISH.value}))


class _Silent:
    """A connection that nobody reads."""

    id = "c"

    def tell(self, data: bytes, /) -> None:
        """Send nothing."""
        del data
