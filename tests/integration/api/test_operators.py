"""Figures of the whole installation are an operator's."""

import psycopg
import pytest

from analytics.contracts.ids import TenantId
from gateway.http.auth import TokenScope
from tests.integration.api.conftest import Clients

pytestmark = [pytest.mark.embedded, pytest.mark.requirement("tenant-isolated")]

EVERYTHING = '{__name__=~".+"}'
UNREAD = "sum(last_over_time(dead_letters_total[1h]))"


@pytest.fixture
def unread_records(client: Clients, database_url: str, now_ms: int) -> None:
    """Bury records of no tenant, beside those of the tenant that the client is of."""
    del client
    with psycopg.connect(database_url) as db:
        db.execute(
            "insert into dead_letters (at, topic, partition, log_offset, tenant, origin, reason,"
            " payload) select to_timestamp(%s / 1000.0 - 300), 't', 0, n, '', '', '', ''"
            " from generate_series(1, 70) as n",
            [now_ms],
        )


async def _asked(
    client: Clients, text: str, *, tenant: str, more: tuple[TokenScope, ...] = ()
) -> object:
    async with client(tenant=TenantId(tenant), more=more) as http:
        answer = await http.get("/api/v1/query", params={"query": text})
        return [(one["metric"], float(one["value"][1])) for one in answer.json()["data"]["result"]]


@pytest.mark.usefixtures("unread_records")
async def test_a_tenant_that_sent_nothing_sees_no_series_at_all(client: Clients) -> None:
    assert await _asked(client, EVERYTHING, tenant="quiet") == []


@pytest.mark.usefixtures("unread_records")
async def test_records_of_no_tenant_are_counted_to_an_operator_alone(client: Clients) -> None:
    assert await _asked(client, UNREAD, tenant="local") == [({}, 1.0)]
    assert await _asked(client, UNREAD, tenant="local", more=(TokenScope.ADMIN,)) == [({}, 71.0)]
