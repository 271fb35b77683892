"""Grafana's data source asks what it asks of Prometheus, and is answered in the same words."""

import pytest

from streams.store.queries import rankings, span
from streams.store.queries.measured import Db
from tests.integration.api.conftest import Clients

pytestmark = pytest.mark.embedded

DAY_MS = 86_400_000
BY_MODEL = "sum by (model) (last_over_time(cost_usd_total{model!=''}[30d]))"


async def test_an_expression_at_a_moment_is_a_vector(
    client: Clients, fleet: Db, now_ms: int
) -> None:
    async with client() as http:
        answer = await http.get("/api/v1/query", params={"query": BY_MODEL})

    told = answer.json()
    over = span.over(now_ms - 30 * DAY_MS, now_ms, now_ms=now_ms)
    top = rankings.top(fleet, "local", over, limit=50)["model"]
    assert told["status"] == "success"
    assert told["data"]["resultType"] == "vector"
    found = {row["metric"]["model"]: float(row["value"][1]) for row in told["data"]["result"]}
    assert set(found) == {one.name for one in top}
    assert all(row["value"][0] == now_ms / 1_000 for row in told["data"]["result"])


async def test_a_range_by_form_is_a_matrix_with_the_values_of_its_moments(
    client: Clients, now_ms: int
) -> None:
    end = now_ms // 60_000 * 60
    async with client() as http:
        form = {"query": BY_MODEL, "start": str(end - 3_600), "end": str(end), "step": "5m"}
        ranged = (await http.post("/api/v1/query_range", data=form)).json()
        moment = await http.post("/api/v1/query", data={"query": BY_MODEL, "time": str(end)})

    rows = ranged["data"]["result"]
    last = {row["metric"]["model"]: row["values"][-1] for row in rows}
    at_the_end = {row["metric"]["model"]: row["value"] for row in moment.json()["data"]["result"]}
    assert ranged["data"]["resultType"] == "matrix"
    assert max(len(row["values"]) for row in rows) == 13
    assert last == at_the_end


@pytest.mark.parametrize(
    ("expression", "kind"),
    [("1 + 1", "scalar"), ("'text'", "string"), ("events_total[5m]", "matrix")],
)
async def test_every_kind_of_result_has_its_name(
    client: Clients, expression: str, kind: str
) -> None:
    async with client() as http:
        told = (await http.get("/api/v1/query", params={"query": expression})).json()

    assert told["data"]["resultType"] == kind


async def test_labels_values_and_series_are_listed(client: Clients, fleet: Db) -> None:
    async with client() as http:
        names = (await http.get("/api/v1/labels")).json()["data"]
        models = (await http.get("/api/v1/label/model/values")).json()["data"]
        metrics = (await http.get("/api/v1/label/__name__/values")).json()["data"]
        asked = {"match[]": 'requests_total{agent!=""}'}
        series = (await http.get("/api/v1/series", params=asked)).json()["data"]
        about = (await http.get("/api/v1/metadata")).json()["data"]
        build = (await http.get("/api/v1/status/buildinfo")).json()["data"]

    known = fleet.execute(
        "select distinct model from series where tenant = 'local' and grain = 'fleet'"
    ).fetchall()
    assert {"__name__", "model", "agent"} <= set(names)
    assert set(models) <= {row[0] for row in known}
    assert {"cost_usd_total", "session_cost_usd_total", "requests_total"} <= set(metrics)
    assert series
    assert all(one["__name__"] == "requests_total" and one["agent"] for one in series)
    assert about["cost_usd_total"][0]["type"] == "counter"
    assert build["version"]


@pytest.mark.parametrize(
    ("path", "asked", "status", "kind"),
    [
        ("query", {"query": "sum("}, 400, "bad_data"),
        ("query", {}, 400, "bad_data"),
        ("query", {"query": "up", "time": "soon"}, 400, "bad_data"),
        ("query", {"query": "rate(up[5m:1m])"}, 400, "bad_data"),
        ("query_range", {"query": "up", "start": "2", "end": "1", "step": "1"}, 400, "bad_data"),
        ("query_range", {"query": "up", "start": "1", "end": "2", "step": "x"}, 400, "bad_data"),
        ("series", {"match[]": "1 + 1"}, 400, "bad_data"),
        ("query_range", {"query": "up", "start": "0", "end": "9e6", "step": "1"}, 422, "execution"),
    ],
)
async def test_what_cannot_be_answered_says_so_as_prometheus_does(
    client: Clients, path: str, asked: dict[str, str], status: int, kind: str
) -> None:
    async with client() as http:
        answer = await http.get(f"/api/v1/{path}", params=asked)

    assert answer.status_code == status
    assert (answer.json()["status"], answer.json()["errorType"]) == ("error", kind)
    assert answer.json()["error"]
