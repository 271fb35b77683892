"""What the gateway refuses over HTTP: every way, as a table of requests and their typed answers."""

import gzip
import json
from typing import Any

import pytest
from msgspec import Struct

from gateway.http.auth import TokenScope
from tests.support.gateway import NOW_MS, client, gateway, token
from tests.support.publisher_memory import MemoryPublisher

JSON = "application/json"
PROTOBUF = "application/x-protobuf"
PROBLEM = "application/problem+json"
LIMIT = 2_048
STARTED: dict[str, Any] = {"type": "session.started", "id": "e1", "session_id": "s1", "at_ms": 1}
LOG = {"resourceLogs": [{"scopeLogs": [{"logRecords": [{"body": {"stringValue": "x"}}]}]}]}


class Case(Struct, frozen=True, kw_only=True):
    """A request that must be refused, and how."""

    path: str
    body: bytes = b"{}"
    status: int
    answer: str = PROBLEM
    type: str = JSON
    encoding: str | None = None
    token: str | None = "good"
    scopes: tuple[TokenScope, ...] = (TokenScope.PUBLISH,)
    method: str = "POST"
    origin: str | None = None
    away: bool = False
    code: str = ""


def _bomb() -> bytes:
    return gzip.compress(b"0" * 10_000_000)


CASES = {
    "events: not JSON": Case(path="/v1/events", body=b"{", status=400, code="bad-body"),
    "events: a bare number": Case(path="/v1/events", body=b"7", status=400, code="bad-body"),
    "events: nothing": Case(path="/v1/events", body=b"", status=400, code="bad-body"),
    "events: not UTF-8": Case(path="/v1/events", body=b'["\xff"', status=400, code="bad-body"),
    "events: nested two thousand deep": Case(
        path="/v1/events", body=b"[" * 2_000, status=400, code="bad-body"
    ),
    "events: as text": Case(
        path="/v1/events", type="text/plain", status=415, code="unsupported-media-type"
    ),
    "events: without a type": Case(
        path="/v1/events", type="", status=415, code="unsupported-media-type"
    ),
    "events: brotli": Case(
        path="/v1/events", encoding="br", status=415, code="unsupported-media-type"
    ),
    "events: gzip that is none": Case(
        path="/v1/events", encoding="gzip", status=400, code="bad-body"
    ),
    "events: gzip, torn": Case(
        path="/v1/events",
        body=gzip.compress(b"[]")[:-9],
        encoding="gzip",
        status=400,
        code="bad-body",
    ),
    "events: gzip bomb": Case(
        path="/v1/events", body=_bomb()[:LIMIT], encoding="gzip", status=413, code="too-large"
    ),
    "events: too large": Case(
        path="/v1/events", body=b" " * (LIMIT + 1), status=413, code="too-large"
    ),
    "events: too many": Case(
        path="/v1/events", body=b"[" + b"1," * 20 + b"1]", status=413, code="too-large"
    ),
    "events: no token": Case(path="/v1/events", token=None, status=401, code="unauthenticated"),
    "events: a forged token": Case(
        path="/v1/events", token="forged", status=401, code="unauthenticated"
    ),
    "events: an expired token": Case(
        path="/v1/events", token="expired", status=401, code="token-expired"
    ),
    "events: a token without the scope": Case(
        path="/v1/events", scopes=(TokenScope.SUBSCRIBE,), status=403, code="forbidden"
    ),
    "events: from a browser's page": Case(
        path="/v1/events", origin="https://evil.example", status=403, code="forbidden"
    ),
    "events: broker away": Case(
        path="/v1/events",
        body=json.dumps(STARTED).encode(),
        away=True,
        status=503,
        code="unavailable",
    ),
    "events: read instead of sent": Case(
        path="/v1/events", method="GET", status=405, code="method-not-allowed"
    ),
    "hooks: not JSON": Case(path="/hooks/claude", body=b"{", status=400, code="bad-body"),
    "hooks: a list": Case(path="/hooks/claude", body=b"[]", status=400, code="bad-body"),
    "hooks: as text": Case(
        path="/hooks/claude", type="text/plain", status=415, code="unsupported-media-type"
    ),
    "hooks: no token": Case(path="/hooks/claude", token=None, status=401, code="unauthenticated"),
    "hooks: too large": Case(
        path="/hooks/claude", body=b" " * (LIMIT + 1), status=413, code="too-large"
    ),
    **{
        f"{signal} as {kind}: {name}": case
        for signal in ("logs", "metrics", "traces")
        for kind, media in (("JSON", JSON), ("protobuf", PROTOBUF))
        for name, case in {
            "cannot be read": Case(
                path=f"/v1/{signal}", body=b"\xff\xff", type=media, answer=media, status=400
            ),
            "too large": Case(
                path=f"/v1/{signal}", body=b" " * (LIMIT + 1), type=media, answer=media, status=413
            ),
            "gzip bomb": Case(
                path=f"/v1/{signal}",
                body=_bomb()[:LIMIT],
                type=media,
                encoding="gzip",
                answer=media,
                status=413,
            ),
            "no scope": Case(path=f"/v1/{signal}", scopes=(), type=media, answer=media, status=403),
            "no token": Case(
                path=f"/v1/{signal}", token=None, type=media, status=401, code="unauthenticated"
            ),
        }.items()
    },
    "logs: broker away": Case(
        path="/v1/logs", body=json.dumps(LOG).encode(), away=True, answer=JSON, status=503
    ),
    "logs: as a form": Case(
        path="/v1/logs",
        type="application/x-www-form-urlencoded",
        status=415,
        code="unsupported-media-type",
    ),
    "nothing there": Case(path="/v2/events", status=404, code="not-found"),
    "nothing there, no token": Case(
        path="/v2/events", token=None, status=401, code="unauthenticated"
    ),
    "metrics page, a tenant's scopes": Case(
        path="/metrics",
        method="GET",
        scopes=(TokenScope.PUBLISH, TokenScope.SUBSCRIBE),
        status=403,
        code="forbidden",
    ),
    "metrics page, no token": Case(
        path="/metrics", method="GET", token=None, status=401, code="unauthenticated"
    ),
}


def _bearer(case: Case) -> str | None:
    match case.token:
        case "good":
            return token(scopes=case.scopes)
        case "forged":
            return token(key=b"another key, just as long as the right one")
        case "expired":
            return token(lifetime_ms=1_000, now_ms=NOW_MS - 2_000)
        case _:
            return None


@pytest.mark.requirement("bad-input-answered")
@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
async def test_what_must_be_refused_gets_its_typed_answer(case: Case) -> None:
    publisher = MemoryPublisher()
    publisher.away = case.away
    headers = {
        name: value
        for name, value in {
            "content-type": case.type,
            "content-encoding": case.encoding,
            "origin": case.origin,
        }.items()
        if value
    }
    under_test = gateway(
        publisher, body_bytes_max=LIMIT, hook_bytes_max=LIMIT, hook_body_bytes_max=LIMIT,
        batch_events_max=20,
    )  # fmt: skip

    async with client(under_test, bearer=_bearer(case)) as http:
        answer = await http.request(case.method, case.path, content=case.body, headers=headers)

    assert answer.status_code == case.status
    assert answer.headers["content-type"].startswith(case.answer)
    assert publisher.records == []
    if case.answer == PROBLEM:
        told = answer.json()
        assert told["type"] == f"urn:mainstem:problem:{case.code}"
        assert told["status"] == case.status
        assert told["title"]
        assert told["detail"]
        assert "Traceback" not in answer.text
    assert ("retry-after" in answer.headers) == (case.status == 503)
    assert ("www-authenticate" in answer.headers) == (case.status == 401)
