"""Every request that OpenAPI allows, and many that it does not, get an answer that it documents."""

import hashlib
import hmac
import json
from typing import Any, Final

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, seed, settings
from pydantic import SecretStr
from schemathesis.checks import CheckFunction
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance
from schemathesis.transport.serialization import Binary
from starlette.types import ASGIApp, Message, Receive, Send
from starlette.types import Scope as Asked

from gateway.http.auth import TokenScope
from gateway.routes import parts, webhooks
from tests.support.channels import MemoryLog, node
from tests.support.gateway import gateway, token
from tests.support.publisher_memory import MemoryPublisher

EXAMPLES_MAX: Final = 20
SECRET: Final = "between GitHub and us"
SIGNATURE: Final = b"x-hub-signature-256"
UNDER_TEST: Final = gateway(
    MemoryPublisher(),
    hub=node(MemoryLog()).hub,
    github_secrets=(SecretStr(SECRET),),
    stream_heartbeat_seconds=0.01,
)
NOT_HELD: Final[list[CheckFunction]] = [positive_data_acceptance, negative_data_rejection]
"""Schemas say less than formats do, and parameters that nobody asked for are passed over."""


@schemathesis.serializer(parts.NDJSON, parts.PROTOBUF)
def _as_bytes(_context: object, value: object) -> bytes:
    """Return bytes as they are, and any other value as a line of JSON."""
    return value.data if isinstance(value, Binary) else json.dumps(value, default=str).encode()


def _signing(app: ASGIApp) -> ASGIApp:
    """Return the application for a GitHub that signs what it sends, where it sends a signature."""

    async def signed(scope: Asked, receive: Receive, send: Send) -> None:
        rest = [row for row in scope.get("headers", ()) if row[0] != SIGNATURE]
        if scope.get("path") != webhooks.PATH or len(rest) == len(scope["headers"]):
            await app(scope, receive, send)
            return
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        digest = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
        headers = [*rest, (SIGNATURE, f"sha256={digest}".encode())]

        async def again() -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        await app({**scope, "headers": headers}, again, send)

    return signed


SCHEMA: Final = schemathesis.openapi.from_dict(UNDER_TEST.api.openapi())
SCHEMA.app = _signing(UNDER_TEST.asgi)
SCHEMA.config.max_stream_events = 2


@SCHEMA.parametrize()
@seed(5)
@settings(
    max_examples=EXAMPLES_MAX,
    deadline=None,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@pytest.mark.requirement("openapi-true")
def test_an_answer_is_always_one_that_is_documented(case: schemathesis.Case[Any]) -> None:
    case.call_and_validate(
        headers={"Authorization": f"Bearer {token(scopes=list(TokenScope))}"},
        excluded_checks=NOT_HELD,
    )
