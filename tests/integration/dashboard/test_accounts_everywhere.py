"""Each reader of a store says the fuller account of every session, by whichever ingest path."""

from typing import Any, Final

import psycopg
import pytest

from analytics.contracts import agent_events as kinds
from analytics.contracts.events import Event
from analytics.contracts.ids import TenantId
from analytics.monitoring.catalogue import Key
from analytics.promql import instant, parse
from analytics.promql.series import InstantPoint
from apps.mcp.server import Source, Tools
from streams.clients.reader import Reader
from streams.maintenance import rollups
from streams.monitoring import readings as minutes
from streams.queries import grouped, rankings, sessions, trends
from streams.queries.grouped import GroupedQuery
from streams.queries.sessions import Filter
from streams.series import cover, span
from streams.series.measures import Db
from streams.series.store_series import EverySeries
from streams.store import levels
from streams.store.checkpoint_postgres import open_checkpoint
from tests.support.facts import arrivals, fact, request, usage
from tests.support.folding import Kept, fold_batch, new_fold

pytestmark = [pytest.mark.embedded, pytest.mark.requirement("rollups-exact")]

MINUTE_MS: Final = 60_000
HOUR_MS: Final = 3_600_000
METERED: Final = 600
"""Sessions that metrics alone tell of: more than were ever read at once."""
TOLD: Final = 10
EVENTS, METRICS = 700, 900
INPUT: Final = METERED * TOLD + 2 * METRICS
DIGITS: Final = tuple("0123456789abcdef")


def _history(at_ms: int) -> list[Event]:
    """Return what is told: by metrics alone, then by both, metrics being fuller each time."""
    of: dict[str, Any] = {"at_ms": at_ms, "project": "px", "agent": "claude-code", "model": "opus"}
    made: list[Event] = [
        usage(session_id=f"mo-{n}", id=f"u{n}", value=float(TOLD), **of) for n in range(METERED)
    ]
    for number, session_id in enumerate(("both-1", "both-2")):
        told: list[Event] = [
            request(
                f"r{number}", id=f"r{number}", session_id=session_id, input_tokens=EVENTS, **of
            ),
            usage(session_id=session_id, id=f"b{number}", value=float(METRICS), **of),
        ]
        made += told if number else told[::-1]
    made.append(fact(kinds.RequestFailed, id="f", session_id="mo-1", **of))
    return made


@pytest.fixture
async def told(database_url: str, now_ms: int) -> int:
    """Write the history into a store; return when it was."""
    at_ms = now_ms // MINUTE_MS * MINUTE_MS - 5 * MINUTE_MS
    kept, fold = Kept(), new_fold()
    batch = arrivals(_history(at_ms), received_ms=at_ms + 1_000)
    async with open_checkpoint(database_url, clock=lambda: now_ms) as checkpoints:
        claim = await checkpoints.claim(cluster_id="c", topic="agents.v1", partition=0)
        await checkpoints.commit(claim, fold_batch(fold, kept, batch, now_ms=now_ms))
    return at_ms


def _total(db: Db, text: str, at_ms: int) -> float:
    found = instant(parse(text), EverySeries(db, "local", until_ms=at_ms), at_ms)
    assert isinstance(found, tuple)
    (point,) = (one for one in found if isinstance(one, InstantPoint))
    return point.value


@pytest.mark.parametrize("settled", [False, True])
def test_every_reader_says_the_same_of_sessions_that_metrics_tell_of(
    database_url: str, told: int, now_ms: int, *, settled: bool
) -> None:
    if settled:
        with psycopg.connect(database_url, autocommit=True) as db:
            rollups.run(db, levels.detect(db), now_ms=now_ms)
    with psycopg.connect(database_url) as db:
        since = cover.since(db, "local")
        for step_ms in (10_000, MINUTE_MS, 300_000, HOUR_MS):
            over = span.stepped(told - HOUR_MS, now_ms, step_ms, now_ms=now_ms, since=since)
            assert trends.measures(db, "local", over).total("input_tokens") == INPUT, step_ms
            for by in ((), ("project",), ("agent",), ("model",), ("session_id",)):
                wanted = GroupedQuery(
                    span=over, measures=("input_tokens",), group_by=by, limit=1_000
                )
                groups = grouped.query(db, "local", wanted).groups
                assert sum(point[1] for one in groups for point in one.points) == INPUT, by
                assert len(groups) == (METERED + 2 if by == ("session_id",) else 1)
        top = rankings.top(db, "local", over)
        assert {top[name][0].tokens for name in ("project", "agent", "model")} == {INPUT + 400}
        at_ms = now_ms // MINUTE_MS * MINUTE_MS
        for text in (
            "sum(last_over_time(input_tokens_total[1h]))",
            "sum(last_over_time(session_input_tokens_total[1h]))",
            'sum(last_over_time(claude_code_token_usage_tokens_total{type="input"}[1h]))',
        ):
            assert _total(db, text, at_ms) == INPUT, text
        readings = minutes.read(db, DIGITS, told + MINUTE_MS)["local"]
        assert readings[Key("tokens", "", "")] == INPUT + 400
        _are_listed(db, told, now_ms)
    _are_told_to_agents(database_url, now_ms)


def _are_listed(db: Db, told: int, now_ms: int) -> None:
    wanted = Filter(from_ms=told - HOUR_MS, until_ms=now_ms, project="px", model="opus")
    listed = sessions.listed(db, "local", wanted, sort="tokens", limit=1_000)
    found = sessions.listed(
        db, "local", Filter(from_ms=told - HOUR_MS, until_ms=now_ms, search="mo-59"), limit=100
    )

    assert sum(one.input_tokens for one in listed) == INPUT
    assert {one.session_id for one in listed[:2]} == {"both-1", "both-2"}
    assert sessions.count(db, "local", wanted) == METERED + 2
    assert sum(sessions.states(db, "local", wanted).values()) == METERED + 2
    assert len(found) == 11


def _are_told_to_agents(url: str, now_ms: int) -> None:
    reader = Reader(url, size_max=1)
    asked = Tools(Source(reader=reader, tenant=TenantId("local"), wall_ms=lambda: now_ms))
    try:
        measured = asked.query_measures("input_tokens", "project", "-1h", aggregation="1m")
        summary = asked.fleet_summary("-1h")
    finally:
        reader.close()

    (group,) = measured["groups"]
    assert sum(point[1] for point in group["points"]) == INPUT
    assert summary["most"]["project"][0]["tokens"] == INPUT + 400
