"""Tools over the store for agents: the same questions that pages and the query API ask.

Every tool reads, of one tenant, in a transaction that may not write and has a time limit; what is
asked wrongly, an argument that a tool does not have among it, is an error of the tool with a
sentence of what to do. Answers are JSON and bounded.
Source: Model Context Protocol, https://modelcontextprotocol.io/specification.
"""

from collections.abc import Callable
from functools import wraps
from importlib.metadata import version
from typing import Annotated, Any, Final, Literal, ParamSpec

from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.mcpserver.tools import Tool
from mcp.types import ToolAnnotations
from msgspec import Struct, structs
from pydantic import ConfigDict, Field, model_validator

from analytics import promql
from analytics.contracts.errors import MainstemError
from analytics.contracts.ids import TenantId
from analytics.monitoring.catalogue import MEASURES
from analytics.promql import InstantPoint, Series
from apps.api import questions
from streams.clients.reader import Reader
from streams.monitoring import evaluation
from streams.queries import grouped, monitoring, rankings, sessions
from streams.queries.grouped import BadQuestion
from streams.queries.monitoring import AnomalyFilter
from streams.queries.sessions import Filter
from streams.series import cover, every_series
from streams.series.span import over, within

INSTRUCTIONS: Final = (
    "Mainstem watches a fleet of coding agents. Ask it what sessions do, cost and fail at, what was"
    " unusual, what is expected and which alerts fire. Times are ISO 8601, epoch ms, `now`, or a"
    " distance back such as -24h. Everything is read only."
)
LIMIT_MAX: Final = 100
LINES_MAX: Final = 50
QUERY_MS_MAX: Final = 5_000
"""Milliseconds that an expression may take."""
POINTS_MAX: Final = 200

MEASURED: Final = tuple(one.name for one in MEASURES)
"""What is watched, and forecast."""
_READS: Final = ToolAnnotations(read_only_hint=True, open_world_hint=False)
From = Annotated[str, Field(description="Begin of the range, such as -24h.")]
Until = Annotated[str, Field(description="End of the range, such as now.")]
Limit = Annotated[int, Field(ge=1, le=LIMIT_MAX, description="How many at most.")]
Horizon = Literal["hour", "day", "week"]
AlertState = Literal["firing", "pending", "resolved"]
Aggregation = Literal["auto", "raw", "10s", "1m", "5m", "1h", "1d"]
Sort = Literal["recent", "started", "cost", "tokens", "errors", "duration"]
SessionState = Literal["", "running", "waiting", "idle", "stuck", "rate_limited", "ended"]
Told = dict[str, Any]
P = ParamSpec("P")


class Source(Struct, frozen=True, kw_only=True):
    """Where answers come from, and what time it is."""

    reader: Reader
    tenant: TenantId
    wall_ms: Callable[[], int]


def build(source: Source) -> MCPServer[Any]:
    """Return the server with its tools."""
    asked = Tools(source)
    tools = [
        _strict(Tool.from_function(_said(tool), annotations=_READS))
        for tool in (
            asked.fleet_summary, asked.list_sessions, asked.query_measures, asked.query_promql,
            asked.list_anomalies, asked.list_forecasts, asked.list_budgets, asked.list_alerts,
        )
    ]  # fmt: skip
    return MCPServer(
        "mainstem",
        version=version("mainstem"),
        instructions=INSTRUCTIONS,
        log_level="WARNING",
        tools=tools,
    )


def _strict(tool: Tool) -> Tool:
    """Return a tool that refuses arguments it does not have, in the words of a sentence."""
    given = tool.fn_metadata.arg_model
    known = ", ".join(given.model_fields) or "none"

    class Strict(given):  # type: ignore[valid-type, misc] # made at run time of the function's types
        model_config = ConfigDict(extra="forbid")

        @model_validator(mode="before")
        @classmethod
        def _check(cls, arguments: Any) -> Any:  # noqa: ANN401 - whatever a caller sends
            for name in arguments if isinstance(arguments, dict) else ():
                if name not in cls.model_fields:
                    raise ValueError(f"no argument {str(name)[:40]!r}; there are {known}")
            return arguments

    tool.fn_metadata.arg_model = Strict
    tool.parameters = Strict.model_json_schema(by_alias=True)
    return tool


def _said(tool: Callable[P, Told]) -> Callable[P, Told]:
    """Return a tool whose refusals are told to the agent, and are no crash."""

    @wraps(tool)
    def asked(*args: P.args, **kwargs: P.kwargs) -> Told:
        try:
            return tool(*args, **kwargs)
        except MainstemError as error:
            raise ToolError(str(error)) from error

    return asked


class Tools:
    """The tools; the first sentence of each is what an agent chooses by."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._tenant = source.tenant

    def fleet_summary(self, since: From = "-24h", until: Until = "now") -> Told:
        """Say what the fleet did and cost in a range, by project, agent, model and tool."""
        from_ms, until_ms = self._range(since, until)
        with self._source.reader.connection() as db:
            now_ms, since_ms = self._now_ms(), cover.since(db, self._tenant)
            span = within(
                over(from_ms, until_ms, now_ms=now_ms, since=since_ms),
                from_ms, until_ms, now_ms=now_ms, since=since_ms,
            )  # fmt: skip
            top = rankings.top(db, self._tenant, span)
            asked = Filter(from_ms=from_ms, until_ms=until_ms)
            states = sessions.states(db, self._tenant, asked)
            firing = monitoring.alerts(db, self._tenant, states=("firing",))
        return {
            "from_ms": from_ms,
            "until_ms": until_ms,
            "sessions_by_state": states,
            "most": {name: [_told(one) for one in found] for name, found in top.items()},
            "alerts_firing": len(firing),
        }

    def list_sessions(
        self,
        since: From = "-24h",
        until: Until = "now",
        *,
        search: Annotated[str, Field(description="Text in id, prompt, project or user.")] = "",
        state: Annotated[SessionState, Field(description="Only in this state; empty is any.")] = "",
        sort: Annotated[Sort, Field(description="By what, the most first.")] = "recent",
        limit: Limit = 20,
    ) -> Told:
        """List sessions of agents with state, cost, tokens and errors."""
        from_ms, until_ms = self._range(since, until)
        wanted = Filter(from_ms=from_ms, until_ms=until_ms, search=search, state=state)
        by = questions.sort_of({"sort": [sort]})
        with self._source.reader.connection() as db:
            found = sessions.listed(db, self._tenant, wanted, sort=by, offset=0, limit=limit)
        return {"sessions": [_told(one) for one in found], "more": len(found) == limit}

    def query_measures(
        self,
        measures: Annotated[str, Field(description="With commas: calls, cost_nanousd, …")],
        group_by: Annotated[str, Field(description="With commas: project, agent, model, …")] = "",
        since: From = "-24h",
        until: Until = "now",
        *,
        aggregation: Annotated[Aggregation, Field(description="The width of a step.")] = "auto",
        tz: Annotated[str, Field(description="Time zone of days, such as Europe/Berlin.")] = "UTC",
        limit: Limit = 20,
    ) -> Told:
        """Add up measures over time, by any dimensions."""
        asked: dict[str, list[str]] = {
            "measures": [measures], "group_by": [group_by] if group_by else [], "from": [since],
            "until": [until], "aggregation": [aggregation], "limit": [str(limit)],
            "tz": [tz],
        }  # fmt: skip
        with self._source.reader.connection() as db:
            span = questions.span_of(
                asked, now_ms=self._now_ms(), since=cover.since(db, self._tenant)
            )
            wanted = questions.wanted_of(asked, span)
            found = grouped.query(db, self._tenant, wanted)
        return {
            "from_ms": span.from_ms,
            "until_ms": span.until_ms,
            "step_ms": span.step_ms,
            "tz": span.zone or "UTC",
            "columns": ["at_ms", *wanted.measures],
            "groups": [
                {"labels": one.labels, "points": one.points[-POINTS_MAX:]} for one in found.groups
            ],
            "more": found.more,
        }

    def query_promql(
        self,
        expression: Annotated[
            str, Field(description="PromQL, such as sum(rate(requests_total[5m])).")
        ],
        since: Annotated[str, Field(description="Begin of a range; empty asks about now.")] = "",
        until: Until = "now",
        *,
        step_s: Annotated[int, Field(ge=10, le=86_400, description="Seconds of a step.")] = 300,
    ) -> Told:
        """Evaluate PromQL over the fleet's series, now or over a range; `{}` names are listed."""
        now_ms = self._now_ms()
        until_ms = questions.instant(until, now_ms=now_ms)
        tree, step_ms = promql.parse(expression), step_s * 1_000
        from_ms = questions.instant(since, now_ms=now_ms) if since else until_ms
        promql.check_steps(from_ms, until_ms, step_ms)
        last_ms = from_ms + (until_ms - from_ms) // step_ms * step_ms
        budget = evaluation.within(QUERY_MS_MAX)
        with self._source.reader.connection() as db:
            storage = every_series.series(db, self._tenant, until_ms=until_ms)
            read = promql.held(tree, storage, from_ms, last_ms, budget=budget)
        if not since:
            found = promql.instant(tree, read, until_ms, budget=budget)
            rows = found if isinstance(found, tuple) else ()
            told = [_row(one) for one in rows[:LINES_MAX]] if rows else found
            return {"at_ms": until_ms, "result": told, "more": len(rows) > LINES_MAX}
        lines = promql.ranged(tree, read, from_ms, until_ms, step_ms=step_ms, budget=budget)
        return {"result": [_row(one) for one in lines[:LINES_MAX]], "more": len(lines) > LINES_MAX}

    def list_anomalies(
        self,
        since: From = "-24h",
        until: Until = "now",
        *,
        measure: Annotated[str, Field(description="Such as cost_usd or tool_errors.")] = "",
        limit: Limit = 20,
    ) -> Told:
        """List what was unlike anything before, with the expected range and who moved it."""
        from_ms, until_ms = self._range(since, until)
        _check_measure(measure)
        which = AnomalyFilter(from_ms=from_ms, until_ms=until_ms, measure=measure)
        with self._source.reader.connection() as db:
            found = monitoring.anomalies(db, self._tenant, which, limit=limit)
        return {"anomalies": [_told(one) for one in found], "more": len(found) == limit}

    def list_forecasts(
        self,
        measure: Annotated[str, Field(description="Such as cost_usd.")] = "",
        horizon: Annotated[Horizon, Field(description="How far ahead.")] = "day",
        *,
        limit: Limit = 10,
    ) -> Told:
        """Say what measures will do within an hour, day or week, with 80 and 95 % intervals."""
        _check_measure(measure)
        with self._source.reader.connection() as db:
            found = monitoring.forecasts(
                db, self._tenant, measure=measure, horizon=horizon, limit=limit
            )
        return {"forecasts": [_told(one) for one in found]}

    def list_budgets(self) -> Told:
        """Say what of each budget is spent, and when it is expected to run out."""
        with self._source.reader.connection() as db:
            return {"budgets": [_told(one) for one in monitoring.budgets(db, self._tenant)]}

    def list_alerts(
        self, state: Annotated[AlertState, Field(description="In which state.")] = "firing"
    ) -> Told:
        """List alerts with what to do about each."""
        with self._source.reader.connection() as db:
            found = monitoring.alerts(db, self._tenant, states=(state,), limit=LIMIT_MAX)
        return {"alerts": [_told(one) for one in found]}

    def _range(self, since: str, until: str) -> tuple[int, int]:
        asked = {"from": [since], "until": [until]}
        return questions.range_of(asked, now_ms=self._now_ms())

    def _now_ms(self) -> int:
        return self._source.wall_ms()


def _check_measure(measure: str) -> None:
    if measure and measure not in MEASURED:
        raise BadQuestion(f"no measure {measure[:40]!r}; there are {', '.join(MEASURED)}")


def _told(value: Struct) -> Told:
    return structs.asdict(value)


def _row(one: InstantPoint | Series) -> Told:
    if isinstance(one, InstantPoint):
        return {"labels": dict(one.labels), "value": one.value}
    return {"labels": dict(one.labels), "values": one.samples()[-POINTS_MAX:]}


Tools.query_promql.__doc__ = (
    "Evaluate PromQL over the fleet's series, now or over a range. "
    f"The series are: {', '.join(every_series.NAMES)}."
)
