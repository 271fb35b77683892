"""`/v1/metrics/query`, `/v1/series` and `/v1/sessions`: a tenant's own figures, read only.

All of it needs the scope `subscribe` and shows the token's tenant. An answer is JSON, CSV or
Parquet (`format`, or `Accept`), has an ETag, and says with `more` or `next` that there is more.
"""

from typing import Final

from fastapi import APIRouter, Request
from msgspec import structs
from starlette.responses import Response

from analytics.measures.rows import Grain
from apps.api import cursors, questions
from apps.api.answers import AnswerColumn, ColumnKind, Table
from apps.api.cursors import Cursor
from apps.api.parts import FORMAT, LIMIT, ONLY, RANGE, Asking, asked_of, described, respond
from apps.api.questions import Parameters
from streams.queries import catalogue, grouped, sessions
from streams.queries.catalogue import FIRST, CatalogueEntry
from streams.queries.grouped import BadQuestion, Grouped, GroupedQuery
from streams.queries.sessions import Session
from streams.series import cover, measures

METRICS: Final = "/v1/metrics/query"
SERIES: Final = "/v1/series"
SESSIONS: Final = "/v1/sessions"


def router(asking: Asking) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(tags=["query"])

    @routes.get(METRICS, summary="Measures over time", **described(_METRICS))
    def metrics(request: Request) -> Response:
        grant, asked = asked_of(request, KNOWN)
        with asking.reader.connection() as db:
            whole = cover.since(db, grant.tenant)
            span = questions.span_of(asked, now_ms=asking.wall_ms(), since=whole)
            wanted = questions.wanted_of(asked, span)
            found = grouped.query(db, grant.tenant, wanted)
        return respond(request, asked, _told(wanted, found), _table(wanted, found), name="metrics")

    @routes.get(SERIES, summary="Which series there are", **described(_SERIES))
    def series(request: Request) -> Response:
        grant, asked = asked_of(request, KNOWN)
        limit = questions.number(asked, "limit", 100, least=1, most=catalogue.PAGE_MAX)
        with asking.reader.connection() as db:
            found = catalogue.listed(
                db,
                grant.tenant,
                grain=_grain(asked),
                only=questions.only_of(asked),
                after=_after(asked),
                limit=limit,
            )
        told = {
            "series": [{"id": str(one.series_id), "labels": one.labels} for one in found],
            "next": str(found[-1].series_id) if len(found) == limit else None,
        }
        return respond(request, asked, told, _series_table(found), name="series")

    @routes.get(SESSIONS, summary="Sessions of a range", **described(_SESSIONS))
    def listed(request: Request) -> Response:
        grant, asked = asked_of(request, KNOWN)
        limit = questions.number(asked, "limit", 100, least=1, most=sessions.PAGE_MAX)
        after = cursors.read(asked)
        sort = questions.sort_of(asked, sessions.ARRIVED)
        if after is not None and sort != sessions.ARRIVED:
            raise BadQuestion(
                f"pages go by the order in which sessions came: ask for 'after' without 'sort'; "
                f"{sort!r} changes while sessions work, and answers with the first `limit`"
            )
        from_ms, until_ms = _range(asked, after, asking.wall_ms())
        wanted = questions.filter_of(asked, from_ms=from_ms, until_ms=until_ms)
        before = sessions.NUMBER_MAX if after is None else after.number
        with asking.reader.connection() as db:
            found = sessions.listed(db, grant.tenant, wanted, sort=sort, before=before, limit=limit)
        more = len(found) == limit
        following = None
        if more and sort == sessions.ARRIVED:
            following = cursors.written(Cursor(from_ms, until_ms, found[-1].number))
        told = {
            "sessions": [structs.asdict(one) for one in found], "next": following, "more": more,
        }  # fmt: skip
        return respond(request, asked, told, Table.of(found, Session), name="sessions")

    return routes


def _range(asked: Parameters, after: Cursor | None, now_ms: int) -> tuple[int, int]:
    """Return the range of the first page."""
    if after is not None:
        return after.from_ms, after.until_ms
    return questions.range_of(asked, now_ms=now_ms)


def _told(wanted: GroupedQuery, found: Grouped) -> dict[str, object]:
    span = wanted.span
    return {
        "from_ms": span.from_ms,
        "until_ms": span.until_ms,
        "step_ms": span.step_ms,
        "window_ms": span.width_ms,
        "tz": span.zone or "UTC",
        "measures": wanted.measures,
        "group_by": wanted.group_by,
        "groups": [{"labels": one.labels, "points": one.points} for one in found.groups],
        "more": found.more,
    }


def _table(wanted: GroupedQuery, found: Grouped) -> Table:
    rows = [(one.labels, point) for one in found.groups for point in one.points]
    columns = {"at_ms": AnswerColumn(ColumnKind.MOMENT, [point[0] for _, point in rows])}
    columns |= {
        name: AnswerColumn(ColumnKind.TEXT, [labels[name] for labels, _ in rows])
        for name in wanted.group_by
    }
    columns |= {
        name: AnswerColumn(ColumnKind.INTEGER, [point[place] for _, point in rows])
        for place, name in enumerate(wanted.measures, start=1)
    }
    return Table(columns)


def _series_table(found: tuple[CatalogueEntry, ...]) -> Table:
    texts = {"id": [str(one.series_id) for one in found]}
    texts |= {name: [one.labels.get(name, "") for one in found] for name in grouped.DIMENSIONS}
    return Table({name: AnswerColumn(ColumnKind.TEXT, values) for name, values in texts.items()})


def _grain(asked: Parameters) -> Grain:
    named = questions.one(asked, "grain", Grain.FLEET)
    try:
        return Grain(named)
    except ValueError as error:
        raise BadQuestion(f"no grain {named[:40]!r}; there are {', '.join(Grain)}") from error


def _after(asked: Parameters) -> int:
    text = questions.one(asked, "after", str(FIRST))
    digits = text.removeprefix("-")
    if not (digits.isdecimal() and len(digits) <= _DIGITS_MAX and -(2**63) <= int(text) < 2**63):
        raise BadQuestion(f"'after' is the `next` of the page before, not {text[:40]!r}")
    return int(text)


_DIGITS_MAX: Final = 19

_METRICS: Final = {
    **RANGE,
    "measures": f"With commas between: {', '.join(measures.EVENT_MEASURES)}.",
    "group_by": f"With commas between: {', '.join(grouped.DIMENSIONS)}.",
    "aggregation": f"The step: {', '.join(questions.AGGREGATIONS)}.",
    "tz": "IANA name of the time zone whose days the steps follow, and of times without one; UTC.",
    **ONLY,
    **LIMIT,
    **FORMAT,
}
_SERIES: Final = {
    "grain": f"Which series: {', '.join(Grain)}.",
    "after": "The `next` of the page before.",
    **ONLY,
    **LIMIT,
    **FORMAT,
}
_SESSIONS: Final = {
    **RANGE,
    **{name: f"Only sessions of this {name}." for name in sessions.FACETS},
    "search": "Text in the id, first prompt, project or user.",
    "sort": f"By what: {', '.join(sessions.SORTS)}; pages go by {sessions.ARRIVED} alone.",
    "after": "The `next` of the page before; the range is that of the first page.",
    **LIMIT,
    **FORMAT,
}
KNOWN: Final = {
    METRICS: frozenset(_METRICS),
    SERIES: frozenset(_SERIES),
    SESSIONS: frozenset(_SESSIONS),
}
"""The parameters of each path; another one is a mistake that is better said than overlooked."""
