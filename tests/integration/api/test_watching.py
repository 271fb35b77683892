"""Anomalies, forecasts, budgets and alerts over HTTP: a tenant's own, paged, in every format."""

import io
import json

import pyarrow.parquet as pq
import pytest

from analytics.contracts.ids import TenantId
from streams.series.measures import Db
from tests.integration.api.conftest import Clients

pytestmark = pytest.mark.embedded

MINUTE_MS = 60_000
POINT = {"mean": 2.0, "low80": 1.0, "high80": 3.0, "low95": 0.5, "high95": 4.0}


@pytest.fixture
def found(fleet: Db, now_ms: int) -> Db:
    """Fill the tables of watching."""
    for number, tenant in enumerate(("local", "local", "local", "other")):
        fleet.execute(
            "insert into anomalies (anomaly_id, tenant, at, watch_id, measure, dimension, part,"
            " value, expected_low, expected_high, score, rarity, ingredient, reason, contributors)"
            " values (%s, %s, to_timestamp(%s / 1000.0), 1, 'cost_usd', 'model', %s, 9, 1, 2,"
            " 0.999, 3, 'level', 'too much', %s)",
            [f"a{number}", tenant, now_ms - number * MINUTE_MS, f"m{number}",
             json.dumps([{"dimension": "tool", "part": "Bash", "change": 7.0, "share": 1.0}])],
        )  # fmt: skip
    points = json.dumps([{"at_ms": now_ms + step, **POINT} for step in range(3)])
    fleet.execute(
        "insert into forecasts (tenant, measure, dimension, part, horizon, made_at, step_ms,"
        " points) values ('local', 'cost_usd', '', '', 'hour', now(), 300000, %s)",
        [points],
    )
    fleet.execute(
        "insert into budgets (tenant, name, period, limit_usd) values ('local', 'b', 'day', 5)"
    )
    for state in ("firing", "pending", "resolved"):
        fleet.execute(
            "insert into alerts (tenant, fingerprint, rule, labels, annotations, state, active_at)"
            " values ('local', %s, 'R', '{}', '{}', %s, now())",
            [state, state],
        )
        fleet.execute(
            "insert into alert_changes (tenant, at, fingerprint, labels, was, state)"
            " values ('local', to_timestamp(%s / 1000.0), 'f', '{}', 'inactive', %s)",
            [now_ms - MINUTE_MS, state],
        )
    fleet.execute(
        "insert into silences (silence_id, tenant, matchers, starts_at, ends_at, created_by,"
        """ comment) values ('s', 'local', 'team="core"', now(), now() + interval '1 hour', """
        "'a', 'b')"
    )
    fleet.commit()
    return fleet


async def test_anomalies_come_newest_first_in_pages(client: Clients, found: Db) -> None:
    async with client() as http:
        first = (await http.get("/v1/anomalies", params={"limit": "2"})).json()
        second = (
            await http.get("/v1/anomalies", params={"limit": "2", "after": first["next"]})
        ).json()

    ids = [one["anomaly_id"] for page in (first, second) for one in page["anomalies"]]
    assert ids == ["a0", "a1", "a2"]
    assert second["next"] is None
    assert first["anomalies"][0]["contributors"][0]["part"] == "Bash"


async def test_anomalies_are_filtered_by_what_they_are_of(client: Clients, found: Db) -> None:
    async with client() as http:
        one = (await http.get("/v1/anomalies", params={"part": "m1"})).json()["anomalies"]
        none = (await http.get("/v1/anomalies", params={"feedback": "noise"})).json()["anomalies"]

    assert [anomaly["anomaly_id"] for anomaly in one] == ["a1"]
    assert none == []


async def test_forecasts_have_a_row_a_step_in_a_table(client: Clients, found: Db) -> None:
    async with client() as http:
        told = (await http.get("/v1/forecasts", params={"horizon": "hour"})).json()["forecasts"]
        table = await http.get("/v1/forecasts", params={"format": "parquet"})

    assert [point["mean"] for point in told[0]["points"]] == [2.0, 2.0, 2.0]
    rows = pq.read_table(io.BytesIO(table.content))
    assert rows.column("high95").to_pylist() == [4.0, 4.0, 4.0]


async def test_budgets_and_alerts_are_told_with_silences(client: Clients, found: Db) -> None:
    async with client() as http:
        budgets = (await http.get("/v1/budgets")).json()["budgets"]
        alerts = (await http.get("/v1/alerts", params={"state": "firing"})).json()
        every = (await http.get("/v1/alerts", params={"format": "csv"})).text

    assert [(one["name"], one["spent_usd"]) for one in budgets] == [("b", None)]
    assert [one["fingerprint"] for one in alerts["alerts"]] == ["firing"]
    assert [one["matchers"] for one in alerts["silences"]] == ['team="core"']
    assert len(every.splitlines()) == 4


async def test_the_history_of_alerts_is_newest_first_in_pages(client: Clients, found: Db) -> None:
    states: list[str] = []
    asked = {"limit": "2"}
    async with client() as http:
        while True:
            told = (await http.get("/v1/alerts/history", params=asked)).json()
            states += [one["state"] for one in told["changes"]]
            if told["next"] is None:
                break
            asked["after"] = told["next"]
        table = await http.get("/v1/alerts/history", params={"format": "parquet"})

    assert states == ["resolved", "pending", "firing"]
    assert pq.read_table(io.BytesIO(table.content)).column("state").to_pylist() == states


@pytest.mark.parametrize(
    "path",
    ["/v1/anomalies", "/v1/forecasts", "/v1/budgets", "/v1/alerts", "/v1/alerts/history"],
)
async def test_another_tenant_sees_nothing_and_who_has_it_gets_304(
    client: Clients, found: Db, path: str
) -> None:
    async with client(tenant=TenantId("nobody")) as http:
        answer = await http.get(path)
        again = await http.get(path, headers={"If-None-Match": answer.headers["etag"]})

    assert not any(answer.json()[name] for name in answer.json() if name not in {"next", "more"})
    assert again.status_code == 304


@pytest.mark.parametrize(
    "asked",
    [
        "/v1/anomalies?after=x", "/v1/anomalies?feedback=maybe", "/v1/anomalies?limit=0",
        "/v1/forecasts?horizon=year", "/v1/alerts?state=odd", "/v1/budgets?name=b",
        "/v1/alerts/history?after=x",
    ],
)  # fmt: skip
async def test_what_cannot_be_asked_is_refused_with_what_can(
    client: Clients, found: Db, asked: str
) -> None:
    async with client() as http:
        answer = await http.get(asked)

    assert answer.status_code == 400
    assert answer.json()["detail"]
