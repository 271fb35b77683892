"""An agent asks about its own fleet through MCP: the real client, over stdin and stdout."""

import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from mcp import Client, StdioServerParameters, stdio_client
from mcp.types import TextContent

from apps.cli import main
from streams.series.measures import Db
from tests.integration.dashboard.conftest import (
    database_url,
    db,
    fleet,
    migrated_template,
    now_ms,
    postgres,
)

__all__ = ["database_url", "db", "fleet", "migrated_template", "now_ms", "postgres"]

pytestmark = pytest.mark.embedded
TOOLS = {
    "fleet_summary", "list_sessions", "query_measures", "query_promql", "list_anomalies",
    "list_forecasts", "list_budgets", "list_alerts",
}  # fmt: skip


@asynccontextmanager
async def _asking(url: str, tenant: str = "local") -> AsyncIterator[Client]:
    command = ["-m", "apps.cli.main", "mcp", "--store-url", url, "--tenant", tenant]
    server = stdio_client(StdioServerParameters(command=sys.executable, args=command))
    async with Client(server, read_timeout_seconds=60) as client:
        yield client


async def _told(client: Client, tool: str, **asked: object) -> dict[str, Any]:
    answer = await client.call_tool(tool, asked)
    [content] = answer.content
    assert isinstance(content, TextContent)
    assert not answer.is_error, content.text
    told: dict[str, Any] = json.loads(content.text)
    return told


@pytest.mark.requirement("mcp-read-only")
async def test_every_tool_answers_and_says_that_it_only_reads(fleet: Db, database_url: str) -> None:
    async with _asking(database_url) as client:
        listed = (await client.list_tools()).tools
        summary = await _told(client, "fleet_summary")
        found = await _told(client, "list_sessions", sort="cost", limit=3)
        measures = await _told(
            client, "query_measures", measures="calls,cost_nanousd", group_by="model"
        )
        now = await _told(client, "query_promql", expression="sum by (model) (requests_total)")
        over = await _told(
            client, "query_promql", expression="sum(rate(requests_total[5m]))", since="-2h"
        )
        others = [
            await _told(client, name)
            for name in ("list_anomalies", "list_forecasts", "list_budgets", "list_alerts")
        ]

    assert {tool.name for tool in listed} == TOOLS
    assert all(tool.annotations and tool.annotations.read_only_hint for tool in listed)
    assert summary["most"]["model"]
    assert len(found["sessions"]) == 3
    costs = [one["cost_nanousd"] for one in found["sessions"]]
    assert costs == sorted(costs, reverse=True)
    assert measures["columns"] == ["at_ms", "calls", "cost_nanousd"]
    assert measures["groups"]
    assert now["result"]
    assert over["result"][0]["values"]
    assert [next(iter(one)) for one in others] == ["anomalies", "forecasts", "budgets", "alerts"]


@pytest.mark.requirement("mcp-strict")
async def test_the_examples_in_descriptions_answer_and_schemas_are_closed(
    fleet: Db, database_url: str
) -> None:
    async with _asking(database_url) as client:
        listed = {tool.name: tool.input_schema for tool in (await client.list_tools()).tools}
        about = listed["query_promql"]["properties"]["expression"]["description"]
        example = about.removeprefix("PromQL, such as ").removesuffix(".")
        answered = await _told(client, "query_promql", expression=example)

    assert all(one["additionalProperties"] is False for one in listed.values())
    assert answered["result"]


async def test_another_tenant_sees_nothing(fleet: Db, database_url: str) -> None:
    async with _asking(database_url, tenant="nobody") as client:
        found = await _told(client, "list_sessions")
        summary = await _told(client, "fleet_summary")

    assert found["sessions"] == []
    assert not any(summary["most"].values())


@pytest.mark.parametrize(
    ("tool", "asked", "reason"),
    [
        ("query_promql", {"expression": "sum(("}, "1:"),
        ("query_measures", {"measures": "happiness"}, "happiness"),
        ("list_sessions", {"since": "yesterday-ish"}, "yesterday-ish"),
        ("list_sessions", {"limit": 100_000}, "100"),
        ("list_sessions", {"from": "-1m"}, "no argument 'from'; there are since, until, search"),
        ("list_budgets", {"name": "x"}, "no argument 'name'; there are none"),
        ("fleet_summary", {"tenant": "other"}, "no argument 'tenant'"),
        ("list_alerts", {"state": "bogus"}, "'firing', 'pending' or 'resolved'"),
        ("list_forecasts", {"horizon": "year"}, "'hour', 'day' or 'week'"),
        ("list_forecasts", {"measure": "luck"}, "no measure 'luck'"),
        ("list_anomalies", {"measure": "luck"}, "no measure 'luck'"),
        ("list_sessions", {"sort": "luck"}, "'recent'"),
        ("list_sessions", {"state": "lucky"}, "'running'"),
        ("query_measures", {"measures": "calls", "aggregation": "2m"}, "'1m'"),
        ("query_measures", {"measures": "calls", "group_by": "luck"}, "luck"),
        ("query_promql", {"expression": "up", "step_s": 1}, "10"),
    ],
)
async def test_what_is_asked_wrongly_is_an_error_of_the_tool_with_its_reason(
    fleet: Db, database_url: str, tool: str, asked: dict[str, object], reason: str
) -> None:
    async with _asking(database_url) as client:
        answer = await client.call_tool(tool, asked)

    [content] = answer.content
    assert isinstance(content, TextContent)
    assert answer.is_error
    assert reason in content.text


def test_without_a_store_it_says_how_to_get_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MAINSTEM_HOME", str(tmp_path))
    monkeypatch.delenv("DATABASE_URL", raising=False)

    assert main.run(("mcp",)) == 2
    assert "mainstem up" in capsys.readouterr().err


def test_it_says_how_it_is_registered(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(("mcp", "--json")) == 0

    told = json.loads(capsys.readouterr().out)
    assert told["mcpServers"]["mainstem"]["args"][-1] == "mcp"
