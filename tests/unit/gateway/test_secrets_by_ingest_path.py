"""Secrets of every kind, put wherever a sender may put them, on every ingest path."""

import hashlib
import hmac
import json
import random
from typing import Final

import pytest
from pydantic import SecretStr

from analytics.privacy.filter import Filter
from analytics.privacy.rules import PrivacyRules
from gateway.http.auth import Grant, TokenScope
from gateway.kafka.admission import Admission
from gateway.kafka.redaction import Private
from gateway.websocket.methods import PUBLISH, Caller, methods
from tests.support.gateway import NOW_MS, TENANT, client, gateway, token
from tests.support.publisher_memory import MemoryPublisher
from tests.support.secret_forms import OURS, PUBLIC, forms

KEY: Final = "a key of GitHub's webhooks, made up"
IDS: Final = (
    "anthropic-api-key", "openai-api-key", "github-pat", "gitlab-pat", "aws-access-token", "jwt",
    "slack-bot-token", "stripe-access-token", "npm-access-token", "pypi-upload-token",
    "gcp-api-key", "telegram", "vault-service-token", "age-secret-key",
)  # fmt: skip
_FORMS: Final = {form.id: form for form in (*forms(PUBLIC), *forms(OURS))}
SECRETS: Final = {name: _FORMS[name].draw(random.Random(name)) for name in IDS}
PLACES: Final = ("text", "name", "attribute", "attribute's name", "session")
"""Where in what a sender says a secret stands."""


def _text(key: str, value: str) -> dict[str, object]:
    return {"key": key, "value": {"stringValue": value}}


def _said(place: str, secret: str) -> dict[str, str]:
    """Return what a sender says in each place: the secret in one, something else in the others."""
    plain = {
        "text": "hello", "name": "Bash", "attribute": "x", "attribute's name": "y", "session": "s1",
    }  # fmt: skip
    whole = {"text": f"use {secret} now", "attribute": f"key {secret}"}
    return {**plain, place: whole.get(place, secret)}


def _ours(said: dict[str, str]) -> list[object]:
    return [
        {"type": "tool.finished", "id": "t1", "session_id": said["session"], "at_ms": NOW_MS,
         "tool": said["name"], "summary": said["text"],
         said["attribute's name"]: said["attribute"]},
        {"type": "agent.observed", "id": "o1", "session_id": said["session"], "at_ms": NOW_MS,
         "name": said["name"], "body": said["text"],
         "attributes": {said["attribute's name"]: said["attribute"]}},
    ]  # fmt: skip


def _hook(said: dict[str, str]) -> object:
    return {
        "hook_event_name": "PostToolUse", "session_id": said["session"], "tool_name": said["name"],
        "tool_use_id": "u1", "cwd": "/srv", said["attribute's name"]: said["attribute"],
        "tool_input": {"command": said["text"]}, "tool_response": {"stdout": said["text"]},
    }  # fmt: skip


def _logs(said: dict[str, str]) -> object:
    attributes = [
        _text("event.name", "tool_result"), _text("session.id", said["session"]),
        _text("tool_name", said["name"]), _text("tool_parameters", said["text"]),
        _text(said["attribute's name"], said["attribute"]),
    ]  # fmt: skip
    record = {
        "timeUnixNano": str(NOW_MS * 1_000_000), "body": {"stringValue": "claude_code.tool_result"},
        "attributes": attributes,
    }  # fmt: skip
    resource = {"attributes": [_text("service.name", "claude-code"), attributes[-1]]}
    return {"resourceLogs": [{"resource": resource, "scopeLogs": [{"logRecords": [record]}]}]}


def _spans(said: dict[str, str]) -> object:
    span = {
        "traceId": "0123456789abcdef0123456789abcdef", "spanId": "0123456789abcdef",
        "name": f"execute_tool {said['name']}", "kind": 1,
        "startTimeUnixNano": str(NOW_MS * 1_000_000), "endTimeUnixNano": str(NOW_MS * 1_000_000),
        "attributes": [
            _text("gen_ai.operation.name", "execute_tool"), _text("gen_ai.tool.name", said["name"]),
            _text("gen_ai.conversation.id", said["session"]),
            _text("gen_ai.tool.call.arguments", said["text"]),
            _text(said["attribute's name"], said["attribute"]),
        ],
    }  # fmt: skip
    resource = {"attributes": [_text("service.name", "app")]}
    return {"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": [span]}]}]}


def _metrics(said: dict[str, str]) -> object:
    point = {
        "timeUnixNano": str(NOW_MS * 1_000_000), "asDouble": 1.0,
        "attributes": [
            _text("session.id", said["session"]), _text("model", said["name"]),
            _text(said["attribute's name"], said["attribute"]),
        ],
    }  # fmt: skip
    metric = {
        "name": "claude_code.cost.usage",
        "sum": {"aggregationTemporality": 1, "isMonotonic": True, "dataPoints": [point]},
    }  # fmt: skip
    resource = {"attributes": [_text("service.name", "claude-code")]}
    return {"resourceMetrics": [{"resource": resource, "scopeMetrics": [{"metrics": [metric]}]}]}


INGEST_PATHS: Final = {
    "/v1/events": _ours,
    "/hooks/claude": _hook,
    "/v1/logs": _logs,
    "/v1/traces": _spans,
    "/v1/metrics": _metrics,
}
HEADERS: Final = {"content-type": "application/json", "authorization": f"Bearer {token()}"}


def _kept(publisher: MemoryPublisher) -> bytes:
    """Return all that reached the broker, keys and headers of records too."""
    told = [
        b"\n".join((record.value, record.key or b"", str(record.headers).encode()))
        for record in publisher.records
    ]
    return b"\n".join((*told, *(letter.payload for letter in publisher.dead_letters)))


@pytest.mark.requirement("privacy-filter")
@pytest.mark.parametrize("keeps", [False, True], ids=["contents left out", "contents kept"])
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("ingest_path", INGEST_PATHS)
async def test_no_ingest_path_lets_a_secret_pass_wherever_it_stands(
    ingest_path: str, place: str, keeps: bool
) -> None:
    publisher = MemoryPublisher()
    async with client(gateway(publisher, keep_content=keeps)) as http:
        for secret in SECRETS.values():
            body = json.dumps(INGEST_PATHS[ingest_path](_said(place, secret)))
            answer = await http.post(ingest_path, content=body, headers=HEADERS)
            assert answer.status_code == 200

    assert publisher.records
    kept = _kept(publisher)
    assert [name for name, secret in SECRETS.items() if secret.encode() in kept] == []


async def test_neither_does_a_webhook() -> None:
    publisher = MemoryPublisher()
    async with client(
        gateway(publisher, keep_content=True, github_secrets=(SecretStr(KEY),))
    ) as http:
        for number, secret in enumerate(SECRETS.values()):
            body = json.dumps(
                {
                    "action": "created", "repository": {"full_name": "octo/cat"},
                    "pull_request": {"number": 7},
                    "comment": {"id": number + 1, "body": f"see {secret}", "path": f"a/{secret}"},
                }
            ).encode()  # fmt: skip
            digest = hmac.new(KEY.encode(), body, hashlib.sha256).hexdigest()
            headers = {
                "content-type": "application/json", "x-hub-signature-256": f"sha256={digest}",
                "x-github-event": "pull_request_review_comment",
                "x-github-delivery": f"72d3162e-{number:04}",
            }  # fmt: skip
            answer = await http.post("/webhooks/github", content=body, headers=headers)
            assert answer.is_success

    assert len(publisher.records) == len(SECRETS)
    kept = _kept(publisher)
    assert [name for name, secret in SECRETS.items() if secret.encode() in kept] == []


@pytest.mark.parametrize("place", PLACES)
async def test_neither_does_a_call_over_a_socket_nor_a_dead_letter(place: str) -> None:
    publisher = MemoryPublisher()
    admission = Admission(
        Private(publisher, Filter(PrivacyRules(content=True))), events_max=10, new_id=lambda: "new"
    )
    grant = Grant(user="ada", tenant=TENANT, scopes=frozenset({TokenScope.PUBLISH.value}))
    for secret in SECRETS.values():
        said = _ours(_said(place, secret))
        unknown = {"type": "no.such", "id": "x", "said": said}
        body = json.dumps([*said, unknown]).encode()
        await methods(admission)[PUBLISH](Caller(grant, _Silent()), body)

    assert publisher.dead_letters
    kept = _kept(publisher)
    assert [name for name, secret in SECRETS.items() if secret.encode() in kept] == []


async def test_a_sender_is_answered_by_the_id_it_gave_though_that_is_a_secret() -> None:
    publisher = MemoryPublisher()
    secret = SECRETS["github-pat"]
    said = {"type": "session.started", "id": secret, "session_id": secret, "at_ms": NOW_MS}
    async with client(gateway(publisher)) as http:
        answer = await http.post("/v1/events", content=json.dumps([said]), headers=HEADERS)
        again = await http.post("/v1/events", content=json.dumps([said]), headers=HEADERS)

    assert secret in answer.text
    assert secret in again.text
    keys = {record.key for record in publisher.records}
    assert len(keys) == 1
    assert secret.encode() not in _kept(publisher)


class _Silent:
    """A connection that nobody reads."""

    id = "c"

    def tell(self, data: bytes, /) -> None:
        """Send nothing."""
        del data
