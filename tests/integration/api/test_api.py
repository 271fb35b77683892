"""The query API says what the store says, to those who may know it, in the form they ask for."""

import asyncio
import csv
import io
import json
import os
import signal
import sys
import time
from asyncio.subprocess import PIPE

import httpx
import pytest
from pyarrow import parquet

from analytics.contracts.ids import TenantId
from apps.api.limits import LIMITS
from apps.api.routes import METRICS, SERIES, SESSIONS
from apps.api.watching import ALERTS, ANOMALIES, BUDGETS, FORECASTS, HISTORY
from gateway.http.auth import TokenScope
from streams.clients.reader import Reader
from streams.queries import rankings, sessions
from streams.queries.sessions import Filter
from streams.series import span
from streams.series.measures import Db
from tests.integration.api.conftest import Clients
from tests.support.gateway import KEY, token

pytestmark = pytest.mark.embedded

DAY_MS = 86_400_000


async def test_measures_by_model_are_those_of_the_store(
    client: Clients, fleet: Db, now_ms: int
) -> None:
    async with client() as http:
        answer = await http.get(
            METRICS, params={"measures": "cost_nanousd,calls", "group_by": "model", "from": "-24h"}
        )

    told = answer.json()
    whole = span.over(now_ms - DAY_MS, now_ms, now_ms=now_ms)
    over = span.within(whole, now_ms - DAY_MS, now_ms, now_ms=now_ms, since={})
    top = rankings.top(fleet, "local", over, limit=50)["model"]
    costs = {
        one["labels"]["model"]: sum(point[1] for point in one["points"])
        for one in told["groups"]
        if one["labels"]["model"]
    }
    assert costs == {one.name: one.cost_nanousd for one in top}
    assert (told["from_ms"], told["until_ms"], told["more"]) == (over.from_ms, over.until_ms, False)


@pytest.mark.parametrize("aggregation", ["raw", "10s", "1m", "5m", "1h", "1d", "auto"])
async def test_every_aggregation_gives_the_same_sum(
    client: Clients, now_ms: int, aggregation: str
) -> None:
    until_ms = now_ms // DAY_MS * DAY_MS + DAY_MS
    asked = {"measures": "calls", "from": str(until_ms - DAY_MS), "until": str(until_ms)}
    async with client() as http:
        whole = await http.get(METRICS, params={**asked, "aggregation": "1d"})
        answer = await http.get(METRICS, params={**asked, "aggregation": aggregation})

    def total(told: httpx.Response) -> int:
        return sum(point[1] for one in told.json()["groups"] for point in one["points"])

    assert answer.status_code == 200
    assert total(answer) == total(whole) > 0


async def test_an_answer_that_has_not_changed_costs_no_transfer(client: Clients) -> None:
    async with client() as http:
        first = await http.get(METRICS)
        again = await http.get(METRICS, headers={"If-None-Match": first.headers["ETag"]})
        other = await http.get(METRICS, headers={"If-None-Match": '"other"'})

    assert (again.status_code, again.content) == (304, b"")
    assert other.status_code == 200


@pytest.mark.parametrize("path", [METRICS, SERIES, SESSIONS])
async def test_csv_and_parquet_hold_the_same_rows(client: Clients, path: str) -> None:
    async with client() as http:
        text = await http.get(path, params={"format": "csv"})
        packed = await http.get(path, headers={"Accept": "application/vnd.apache.parquet"})

    rows = list(csv.DictReader(io.StringIO(text.text)))
    table = parquet.read_table(io.BytesIO(packed.content))
    assert len(rows) == table.num_rows > 0
    assert list(rows[0]) == [one for one in table.column_names if f"{one}_ms" not in rows[0]]


@pytest.mark.parametrize(
    "path",
    [METRICS, SERIES, SESSIONS, ANOMALIES, FORECASTS, BUDGETS, ALERTS, HISTORY],
)
async def test_parquet_of_nothing_has_the_types_of_parquet_with_rows(
    client: Clients, path: str
) -> None:
    asked = {"format": "parquet"}
    if path == METRICS:
        asked |= {"measures": "calls", "group_by": "model"}
    async with client() as http:
        some = await http.get(path, params=asked)
    async with client(tenant=TenantId("nobody")) as http:
        none = await http.get(path, params=asked)

    schemas = [parquet.read_schema(io.BytesIO(one.content)) for one in (some, none)]
    assert parquet.read_table(io.BytesIO(none.content)).num_rows == 0
    assert schemas[0].equals(schemas[1])
    for field in schemas[1]:
        assert str(field.type) in {"int64", "double", "string", "bool", "timestamp[ms, tz=UTC]"}
        if f"{field.name}_ms" in schemas[1].names:
            assert str(field.type) == "timestamp[ms, tz=UTC]"


async def test_what_met_a_limit_is_told_to_its_tenant_alone(client: Clients, fleet: Db) -> None:
    fleet.execute(
        "insert into limited (tenant, dimension, log_id, partition, events, last_at) values"
        " ('local', 'tool', 1, 0, 7, '2100-01-01'), ('local', 'tool', 1, 1, 3, '2100-01-02'),"
        " ('local', 'model', 1, 0, 9, '1999-01-01'), ('globex', 'tool', 1, 0, 5, '2100-01-01')"
    )
    fleet.commit()
    async with client() as http:
        told = (await http.get(LIMITS)).json()
        text = (await http.get(LIMITS, params={"format": "csv"})).text

    assert [(one["dimension"], one["events"]) for one in told["limits"]] == [("tool", 10)]
    assert text.splitlines()[1].startswith("tool,10,")


async def test_pages_of_sessions_add_up_to_them_all(
    client: Clients, fleet: Db, now_ms: int
) -> None:
    found: list[str] = []
    after: str | None = ""
    async with client() as http:
        while after is not None:
            asked = {"from": "-24h", "limit": "3", **({"after": after} if after else {})}
            told = (await http.get(SESSIONS, params=asked)).json()
            found += [one["session_id"] for one in told["sessions"]]
            after = told["next"]

    day = Filter(from_ms=now_ms - DAY_MS, until_ms=now_ms)
    listed = sessions.listed(fleet, "local", day, sort="arrived", limit=1_000)
    assert found == [one.session_id for one in listed]


async def test_pages_of_series_neither_overlap_nor_skip(
    client: Clients, fleet: Db, now_ms: int
) -> None:
    found: list[str] = []
    after: str | None = None
    async with client() as http:
        while True:
            asked = {"limit": "2", **({} if after is None else {"after": after})}
            told = (await http.get(SERIES, params=asked)).json()
            found += [one["id"] for one in told["series"]]
            after = told["next"]
            if after is None:
                break

    row = fleet.execute(
        "select count(*) from series where tenant = 'local' and grain = 'fleet'"
    ).fetchone()
    assert row is not None
    assert len(found) == len(set(found)) == row[0]


@pytest.mark.requirement("tenant-isolated")
@pytest.mark.parametrize("path", [METRICS, SERIES, SESSIONS])
async def test_another_tenants_figures_are_not_there(client: Clients, path: str) -> None:
    async with client(tenant=TenantId("stranger")) as http:
        told = (await http.get(path)).json()

    assert [told.get(name) for name in ("groups", "series", "sessions") if name in told] == [[]]


async def test_who_may_not_watch_is_refused(client: Clients) -> None:
    async with client(scope=TokenScope.PUBLISH) as http:
        lacking = await http.get(METRICS)
        unknown = await http.get(METRICS, headers={"Authorization": "Bearer nonsense"})

    assert (lacking.status_code, unknown.status_code) == (403, 401)


@pytest.mark.parametrize(
    ("path", "asked", "said"),
    [
        (METRICS, {"measures": "kittens"}, "no measure 'kittens'"),
        (METRICS, {"group_by": "planet"}, "no dimension 'planet'"),
        (METRICS, {"from": "yesterday"}, "is no time"),
        (METRICS, {"from": "now", "until": "-1h"}, "is empty"),
        (METRICS, {"aggregation": "7m"}, "no aggregation '7m'"),
        (METRICS, {"aggregation": "10s", "from": "-6d"}, "too many"),
        (METRICS, {"aggregation": "10s", "from": "-20d", "until": "-479h"}, "not kept that far"),
        (METRICS, {"limit": "0"}, "whole number from 1 to 1000"),
        (METRICS, {"format": "xml"}, "no format 'xml'"),
        (METRICS, {"mesures": "calls"}, "no parameter 'mesures'"),
        (SERIES, {"grain": "planet"}, "no grain 'planet'"),
        (SERIES, {"after": "x"}, "the page before"),
        (SESSIONS, {"sort": "mood"}, "no order 'mood'"),
        (SESSIONS, {"after": "-1"}, "of the page before"),
    ],
)
async def test_a_question_without_meaning_is_answered_with_what_to_do(
    client: Clients, path: str, asked: dict[str, str], said: str
) -> None:
    async with client() as http:
        answer = await http.get(path, params=asked)

    assert answer.status_code == 400
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert said in answer.json()["detail"]


async def test_a_store_that_is_away_is_said_and_not_waited_for_long(client: Clients) -> None:
    nobody = Reader("postgresql://127.0.0.1:1/none", wait_s=0.2)
    async with client(of=nobody) as http:
        answer = await http.get(METRICS)
        ready = await http.get("/health/ready")
    nobody.close()

    assert (answer.status_code, ready.status_code) == (503, 503)
    assert "Retry-After" in answer.headers


async def test_text_that_a_spreadsheet_would_run_is_quoted(client: Clients) -> None:
    from apps.api.answers import AnswerColumn, ColumnKind, Format, Table, respond

    table = Table({"name": AnswerColumn(ColumnKind.TEXT, ["=1+1", "plain"])})
    answer = respond({}, table, Format.CSV, name="x")

    assert bytes(answer.body).decode().splitlines() == ["name", "'=1+1", "plain"]


async def test_the_command_answers_and_leaves_with_zero(database_url: str) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "apps.cli.main", "api", "--port", "0", "--json",
        env={
            **os.environ,
            "MAINSTEM_GATEWAY_TOKEN_KEY": KEY.decode(),
            "MAINSTEM_API_STORE_URL": database_url,
        },
        stdout=PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        url = json.loads(await asyncio.wait_for(process.stdout.readline(), 60))["url"]
        bearer = token(scopes=(TokenScope.SUBSCRIBE,), now_ms=time.time_ns() // 1_000_000)
        async with httpx.AsyncClient(headers={"Authorization": f"Bearer {bearer}"}) as http:
            ready = await http.get(url + "/health/ready")
            answer = await http.get(url + SESSIONS)
        process.send_signal(signal.SIGTERM)
        code = await asyncio.wait_for(process.wait(), 60)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()

    assert (ready.status_code, answer.status_code, code) == (200, 200, 0)
