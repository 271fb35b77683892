"""The query API over a store with a believable day in it."""

from collections.abc import Callable, Iterator

import httpx
import pytest

from analytics.contracts.ids import TenantId
from apps.api.app import build
from apps.api.parts import Asking
from gateway.http.auth import TokenScope, Verifier
from streams.clients.reader import Reader
from streams.series.measures import Db
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
def client(reader: Reader, now_ms: int, database_url: str) -> Clients:
    """Return a client of the API, with a token of tenant `local` that may watch."""

    def made(
        *,
        tenant: TenantId = LOCAL,
        scope: TokenScope = TokenScope.SUBSCRIBE,
        of: Reader = reader,
        more: tuple[TokenScope, ...] = (),
    ) -> httpx.AsyncClient:
        api = build(
            settings(),
            Asking(reader=of, wall_ms=lambda: now_ms, store_url=database_url),
            verifier=Verifier(KEY, cached_max=10),
            clocks=clocks(Clock()),
        )
        bearer = token(tenant=tenant, scopes=(scope, *more))
        return httpx.AsyncClient(
            transport=httpx.ASGITransport(api),
            base_url="http://api",
            headers={"Authorization": f"Bearer {bearer}"},
        )

    return made
