"""Grafana's data source asks what it asks of Prometheus, and is answered in the same words."""

from typing import Any

import pytest
from psycopg.types.json import Jsonb

from streams.queries import rankings
from streams.series import span
from streams.series.measures import Db
from tests.integration.api.conftest import Clients

pytestmark = pytest.mark.embedded

DAY_MS = 86_400_000
BY_MODEL = "sum by (model) (last_over_time(cost_usd_total{model!=''}[29d]))"


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
        ("series", {}, 400, "bad_data"),
        ("labels", {"limit": "-1"}, 400, "bad_data"),
        ("labels", {"start": "2", "end": "1"}, 400, "bad_data"),
        ("metadata", {"limit_per_metric": "many"}, 400, "bad_data"),
        ("rules", {"type": "alerts"}, 400, "bad_data"),
        ("rules", {"group_next_token": "x"}, 400, "bad_data"),
        ("query", {"query": "up", "limit": "x"}, 400, "bad_data"),
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


@pytest.mark.requirement("prometheus-labels")
@pytest.mark.parametrize(
    ("label", "query"),
    [
        ("session_id", "select session_id from sessions where tenant = 'local'"),
        ("user", "select user_name from sessions where tenant = 'local'"),
        ("team", "select team from sessions where tenant = 'local'"),
        ("project", "select project from sessions where tenant = 'local'"),
        ("state", "select state from sessions where tenant = 'local' and ended_at is null"),
    ],
)
async def test_the_values_of_every_label_are_listed_without_a_selector(
    client: Clients, fleet: Db, *, label: str, query: str
) -> None:
    asked = {"start": "0"}
    async with client() as http:
        values = (await http.get(f"/api/v1/label/{label}/values", params=asked)).json()["data"]
        names = (await http.get("/api/v1/labels", params=asked)).json()["data"]

    known = {row[0] for row in fleet.execute(query.encode()) if row[0]}
    assert values
    assert values == sorted(values)
    assert set(values) <= known
    assert label in names
    assert label == "state" or set(values) == known


@pytest.mark.requirement("prometheus-labels")
async def test_labels_of_alerts_and_of_what_rules_wrote_are_listed_too(
    client: Clients, fleet: Db, now_ms: int
) -> None:
    labels = {"__name__": "ALERTS", "alertname": "A", "alertstate": "firing", "severity": "page"}
    fleet.execute(
        "insert into recordings (tenant, at, labels, value) values"
        " ('local', to_timestamp(%s / 1000.0), %s, 1)",
        [now_ms - 60_000, Jsonb(labels)],
    )
    fleet.commit()
    async with client() as http:
        names = (await http.get("/api/v1/labels")).json()["data"]
        found = {
            name: (await http.get(f"/api/v1/label/{name}/values")).json()["data"]
            for name in ("alertname", "alertstate", "severity")
        }
        before = {"end": str(now_ms / 1_000 - 3_600)}
        early = (await http.get("/api/v1/label/severity/values", params=before)).json()["data"]

    assert found == {"alertname": ["A"], "alertstate": ["firing"], "severity": ["page"]}
    assert {"alertname", "alertstate", "severity", "__name__"} <= set(names)
    assert early == []


@pytest.mark.requirement("prometheus-labels")
async def test_a_limit_cuts_what_is_listed_and_says_so(client: Clients, fleet: Db) -> None:
    async def told(path: str, **asked: str) -> dict[str, Any]:
        answer: dict[str, Any] = (await http.get(f"/api/v1/{path}", params=asked)).json()
        return answer

    by_model = "sum by (model) (last_over_time(requests_total[1d]))"
    async with client() as http:
        names = await told("labels", limit="2")
        whole = await told("labels", limit="0")
        values = await told("label/__name__/values", limit="3")
        query = await told("query", query=by_model, limit="1")
        about = await told("metadata", limit="2", limit_per_metric="0")
        one = await told("metadata", metric="cost_usd_total")

    assert names["data"] == whole["data"][:2]
    assert names["warnings"] == ["results truncated due to limit"]
    assert "warnings" not in whole
    assert len(values["data"]) == 3
    assert len(query["data"]["result"]) == 1
    assert len(about["data"]) == 2
    assert list(one["data"]) == ["cost_usd_total"]


@pytest.mark.requirement("prometheus-labels")
async def test_rules_are_listed_by_kind_name_group_file_and_label(
    client: Clients, fleet: Db
) -> None:
    body = (
        "groups: [{name: mine, rules: [{record: 'a:b', expr: '1'},"
        " {alert: Mine, expr: '1', labels: {team: x}}]}]"
    )
    fleet.execute(
        "insert into alert_files (tenant, kind, name, body) values ('local', 'rules', 'm.yml', %s)",
        [body],
    )
    fleet.commit()

    async def names(**asked: str) -> list[str]:
        given = {name.replace("__", "[]"): value for name, value in asked.items()}
        answer = (await http.get("/api/v1/rules", params=given)).json()["data"]
        return [rule["name"] for group in answer["groups"] for rule in group["rules"]]

    async with client() as http:
        assert await names(type="record") == ["a:b"]
        assert "a:b" not in await names(type="alert")
        assert await names(rule_name__="Mine") == ["Mine"]
        assert await names(rule_group__="mine") == ["a:b", "Mine"]
        assert await names(file__="m.yml", type="alert") == ["Mine"]
        assert await names(match__='{team="x"}') == ["Mine"]
        first = (await http.get("/api/v1/rules", params={"group_limit": "1"})).json()["data"]
        rest = await names(group_limit="100", group_next_token=first["groupNextToken"])

    assert len(first["groups"]) == 1
    assert first["groups"][0]["rules"][0]["name"] not in rest
    assert "Mine" in rest
