"""The query API over a store with a believable day in it."""

from collections.abc import Callable, Iterator

import httpx
import pytest

from analytics.contracts.ids import TenantId
from apps.api.app import build
from apps.api.parts import Asking
from gateway.auth import Scope, Verifier
from streams.store.queries.measured import Db
from streams.store.reader import Reader
from tests.integration.dashboard.conftest import (
    database_url,
    db,
    fleet,
    migrated_template,
    now_ms,
    postgres,
)
from tests.support.gateway import KEY, Clock, clocks, settings, token

__all__ = ["database_url", "db", "fleet", "migrated_template", "now_ms", "postgres"]

LOCAL = TenantId("local")
Clients = Callable[..., httpx.AsyncClient]


@pytest.fixture
def reader(fleet: Db, database_url: str) -> Iterator[Reader]:
    """Read the store."""
    reader = Reader(database_url, size_max=2)
    yield reader
    reader.close()


@pytest.fixture
def client(reader: Reader, now_ms: int) -> Clients:
    """Return a client of the API, with a token of tenant `local` that may watch."""

    def made(
        *, tenant: TenantId = LOCAL, scope: Scope = Scope.SUBSCRIBE, of: Reader = reader
    ) -> httpx.AsyncClient:
        api = build(
            settings(),
            Asking(reader=of, wall_ms=lambda: now_ms),
            verifier=Verifier(KEY, cached_max=10),
            clocks=clocks(Clock()),
        )
        bearer = token(tenant=tenant, scopes=(scope,))
        return httpx.AsyncClient(
            transport=httpx.ASGITransport(api),
            base_url="http://api",
            headers={"Authorization": f"Bearer {bearer}"},
        )

    return made
