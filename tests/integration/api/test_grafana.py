"""Grafana with Mainstem as its Prometheus: its very calls, and a public dashboard's panels."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from analytics.contracts.ids import TenantId
from streams.series.measures import Db
from tests.integration.api.conftest import Clients

pytestmark = pytest.mark.embedded

DASHBOARD: Final = Path(__file__).parents[2] / "data" / "grafana" / "claude-code-otel.json"
VARIABLES: Final = {"$__rate_interval": "1m0s", "$__interval": "15s", "$__range": "3600s"}
HOUR_S: Final = 3_600
FORM: Final = {"Content-Type": "application/x-www-form-urlencoded"}


def _panels() -> Iterator[tuple[str, str]]:
    """Yield title and expression of every panel that asks Prometheus."""
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        for target in panel.get("targets", []):
            if target["datasource"]["type"] == "prometheus":
                yield panel["title"], target["expr"]


def _substituted(expression: str) -> str:
    """Return an expression with Grafana's variables filled in."""
    for name, value in VARIABLES.items():
        expression = expression.replace(name, value)
    return expression


PANELS: Final = tuple(_panels())


async def test_the_data_source_passes_grafanas_test_of_it(client: Clients, now_ms: int) -> None:
    async with client() as http:
        build = await http.get("/api/v1/status/buildinfo")
        health = await http.post(
            "/api/v1/query", content=f"query=1%2B1&time={now_ms / 1_000}", headers=FORM
        )
        by_get = await http.get(f"/api/v1/query?query=1%2B1&time={now_ms / 1_000}")

    assert build.json()["status"] == "success"
    assert (
        health.json()
        == by_get.json()
        == {
            "status": "success",
            "data": {"resultType": "scalar", "result": [now_ms / 1_000, "2"]},
        }
    )


@pytest.mark.requirement("grafana-data-source")
async def test_every_prometheus_panel_of_a_public_dashboard_shows_data(
    client: Clients, now_ms: int
) -> None:
    end = now_ms // 15_000 * 15
    assert len(PANELS) == 10
    async with client() as http:
        for title, written in PANELS:
            expression = _substituted(written)
            form = {"query": expression, "start": str(end - HOUR_S), "end": str(end), "step": "15"}
            ranged = await http.post("/api/v1/query_range", data=form)
            moment = await http.post("/api/v1/query", data={"query": expression, "time": str(end)})

            assert ranged.status_code == moment.status_code == 200, (title, ranged.text)
            lines = ranged.json()["data"]["result"]
            values = [float(value) for line in lines for _, value in line["values"]]
            is_counted = "commit" not in expression and "pull_request" not in expression
            assert values, title
            assert any(values) is is_counted, title
            assert moment.json()["data"]["resultType"] == "vector"


async def test_labels_and_names_are_there_for_the_query_editor(
    client: Clients, now_ms: int
) -> None:
    over = {"start": str(now_ms // 1_000 - HOUR_S), "end": str(now_ms // 1_000)}
    match = {"match[]": 'claude_code_token_usage_tokens_total{job="otel-collector"}'}
    async with client() as http:
        names = (await http.get("/api/v1/label/__name__/values", params=over)).json()["data"]
        kinds = (await http.get("/api/v1/label/type/values", params={**over, **match})).json()
        series = (await http.post("/api/v1/series", data={**over, **match})).json()["data"]
        labels = (await http.post("/api/v1/labels", data={**over, **match})).json()["data"]

    assert {"claude_code_cost_usage_USD_total", "anomaly_score", "events_total"} <= set(names)
    assert {"input", "output"} <= set(kinds["data"]) <= {
        "input", "output", "cacheRead", "cacheCreation",
    }  # fmt: skip
    assert {one["job"] for one in series} == {"otel-collector"}
    assert {"__name__", "job", "model", "type"} <= set(labels)


async def test_rules_and_alerts_are_listed_as_prometheus_lists_them(
    client: Clients, fleet: Db
) -> None:
    fleet.execute(
        "insert into alerts (tenant, fingerprint, rule, labels, annotations, state, value,"
        " active_at, starts_at) values ('local', 'f1', 'CostSpike',"
        """ '{"alertname": "CostSpike"}', '{"summary": "much"}', 'firing', 1.5, now(), now())"""
    )
    fleet.commit()
    async with client() as http:
        rules = (await http.get("/api/v1/rules")).json()["data"]["groups"]
        alerts = (await http.get("/api/v1/alerts")).json()["data"]["alerts"]

    by_name: dict[str, Any] = {rule["name"]: rule for group in rules for rule in group["rules"]}
    assert by_name["CostSpike"]["state"] == "firing"
    assert by_name["CostSpike"]["alerts"] == alerts
    assert by_name["TokenBurn"]["state"] == "inactive"
    assert alerts[0]["labels"] == {"alertname": "CostSpike"}
    assert alerts[0]["value"] == "1.5"


async def test_results_are_exposed_as_metrics_under_public_names(client: Clients) -> None:
    async with client() as http:
        answer = await http.get("/metrics")

    lines = answer.text.splitlines()
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert "# TYPE claude_code_cost_usage_USD_total counter" in lines
    costs = [line for line in lines if line.startswith("claude_code_cost_usage_USD_total{")]
    assert costs
    assert all('job="otel-collector"' in line and 'model="' in line for line in costs)
    assert not any(line.startswith("# UNIT") for line in lines)
    assert len(lines) == len(set(lines))


@pytest.mark.requirement("query-what-rules-wrote")
async def test_what_rules_wrote_is_a_series_like_any_other(
    client: Clients, fleet: Db, now_ms: int
) -> None:
    fleet.execute(
        "insert into recordings (tenant, at, labels, value) select 'local',"
        " to_timestamp(%s / 1000.0), labels::jsonb, value from (values"
        """ ('{"__name__": "ALERTS", "alertname": "CostSpike", "alertstate": "firing"}', 1),"""
        """ ('{"__name__": "model:cost:rate5m", "model": "m"}', 0.25)) as row (labels, value)""",
        [now_ms - 60_000],
    )
    fleet.commit()
    async with client() as http:
        alerts = await http.post("/api/v1/query", data={"query": 'ALERTS{alertstate="firing"}'})
        recorded = await http.get("/api/v1/query", params={"query": "model:cost:rate5m * 4"})
        names = (await http.get("/api/v1/label/__name__/values")).json()["data"]
        lines = (await http.get("/metrics")).text.splitlines()
    async with client(tenant=TenantId("stranger")) as http:
        others = (await http.get("/api/v1/query", params={"query": "ALERTS"})).json()["data"]
        other_names = (await http.get("/api/v1/label/__name__/values")).json()["data"]

    [alert] = alerts.json()["data"]["result"]
    assert alert["metric"]["alertname"] == "CostSpike"
    assert [row["value"][1] for row in recorded.json()["data"]["result"]] == ["1"]
    assert {"ALERTS", "model:cost:rate5m"} <= set(names)
    assert 'model:cost:rate5m{model="m"} 0.25' in lines
    assert others["result"] == []
    assert "model:cost:rate5m" not in other_names
