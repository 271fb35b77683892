"""Every question that OpenAPI allows, and many that it does not, get an answer it documents."""

from collections.abc import Iterator
from typing import Any, Final

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, seed, settings
from schemathesis.checks import CheckFunction
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as Asked

from analytics.contracts.ids import TenantId
from apps.api.app import build
from apps.api.parts import Asking
from gateway.http.auth import TokenScope, Verifier
from streams.clients.reader import Reader
from tests.support.gateway import KEY, Clock, clocks, token
from tests.support.gateway import settings as access

pytestmark = pytest.mark.embedded

EXAMPLES_MAX: Final = 20
BEARER: Final = {
    "Authorization": f"Bearer {token(tenant=TenantId('local'), scopes=list(TokenScope))}"
}
NOT_HELD: Final[list[CheckFunction]] = [positive_data_acceptance, negative_data_rejection]
"""Schemas say less than times, expressions and pages do, and Prometheus overlooks what it lacks."""


def _api(reader: Reader, wall_ms: int, store_url: str = "") -> ASGIApp:
    return build(
        access(),
        Asking(reader=reader, wall_ms=lambda: wall_ms, store_url=store_url),
        verifier=Verifier(KEY, cached_max=10),
        clocks=clocks(Clock()),
    )


def _said() -> dict[str, Any]:
    """Return what the API says of itself, which needs no store."""
    nowhere = Reader("postgresql://127.0.0.1:1/none")
    answer = TestClient(_api(nowhere, 0), headers=BEARER).get("/openapi.json")
    told: dict[str, Any] = answer.json()
    return told


SERVING: Final[list[ASGIApp]] = []


async def _served(scope: Asked, receive: Receive, send: Send) -> None:
    """Hand on to the API that serves now."""
    await SERVING[-1](scope, receive, send)


SCHEMA: Final = schemathesis.openapi.from_dict(_said())
SCHEMA.app = _served


@pytest.fixture(autouse=True)
def _over_a_day(reader: Reader, now_ms: int, database_url: str) -> Iterator[None]:
    """Ask an API over a store with a day in it."""
    SERVING.append(_api(reader, now_ms, database_url))
    yield
    SERVING.clear()


@SCHEMA.parametrize()
@seed(6)
@settings(
    max_examples=EXAMPLES_MAX,
    deadline=None,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@pytest.mark.requirement("query-openapi-true")
def test_an_answer_is_always_one_that_is_documented(case: schemathesis.Case[Any]) -> None:
    answer = case.call_and_validate(headers=BEARER, excluded_checks=NOT_HELD)

    assert answer.status_code not in {401, 403}
