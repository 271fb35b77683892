"""What the dashboard's queries take on a store as it is after months.

Every query that a page asks is called as the page calls it, on the dashboard's own kind of
connection, and timed until its answer is made; the spans are those that a person can choose, all of
which end now. The first call of each is to warm up and is not counted.
"""

import time
from collections.abc import Callable, Mapping
from contextlib import closing
from functools import partial
from statistics import median
from typing import Final

from msgspec import Struct, structs

from apps.bench.report import Figure, percentile
from streams.clients.reader import Reader
from streams.queries import rankings, session_events, sessions, system, trends
from streams.queries.session_events import Stretch
from streams.series import cover, span
from streams.series.measures import Db
from streams.series.span import Span
from tests.bench.store_filling import LARGE, TENANT, Filled

READ_GOAL_MS: Final = 100.0
CALLS: Final = 20
MINUTE_MS: Final = 60_000
HOUR_MS: Final = 60 * MINUTE_MS
DAY_MS: Final = 24 * HOUR_MS
SPANS_MS: Final = {
    "15 min": 15 * MINUTE_MS,
    "1 h": HOUR_MS,
    "6 h": 6 * HOUR_MS,
    "24 h": DAY_MS,
    "7 d": 7 * DAY_MS,
    "30 d": 30 * DAY_MS,
    "90 d": 90 * DAY_MS,
}
QUANTILES: Final = (0.5, 0.95, 0.99)


class Ask(Struct, frozen=True):
    """What a page asks about."""

    now_ms: int
    over: Span

    @property
    def sessions(self) -> sessions.Filter:
        """The same stretch as a filter of sessions."""
        return sessions.Filter(from_ms=self.over.from_ms, until_ms=self.over.until_ms)


Query = Callable[[Db], object]
SpanQuery = Callable[[Db, Ask], object]


def _listed(db: Db, ask: Ask, *, sort: str) -> object:
    return sessions.listed(db, TENANT, ask.sessions, sort=sort)


BY_SPAN: Final[Mapping[str, SpanQuery]] = {
    "what is settled": lambda db, ask: cover.since(db),
    "trend": lambda db, ask: trends.measures(db, TENANT, ask.over),
    "latency": lambda db, ask: trends.latency(db, TENANT, ask.over, wanted=QUANTILES),
    "rankings": lambda db, ask: rankings.top(db, TENANT, ask.over),
    "states": lambda db, ask: sessions.states(db, TENANT, ask.sessions),
    "number of sessions": lambda db, ask: sessions.count(db, TENANT, ask.sessions),
    "facets of sessions": lambda db, ask: sessions.facets(db, TENANT, ask.sessions),
    **{f"sessions by {sort}": partial(_listed, sort=sort) for sort in sessions.SORTS},
    "sessions found by text": lambda db, ask: sessions.listed(
        db, TENANT, structs.replace(ask.sessions, search="issue 77"), sort="recent"
    ),
}
"""The queries whose cost may depend on the span."""


def figures(url: str, filled: Filled, *, of: str) -> tuple[Figure, ...]:
    """Measure every query; one figure each, for the span in which it is slowest."""
    with closing(Reader(url, size_max=1)) as reader:
        with reader.connection() as db:
            asks = {name: _ask(db, filled.now_ms, long_ms) for name, long_ms in SPANS_MS.items()}
        by_span = {
            name: {long: _times(reader, partial(_call, query, ask)) for long, ask in asks.items()}
            for name, query in BY_SPAN.items()
        }
        others = {name: _times(reader, query) for name, query in _others(filled).items()}
    return (
        *(_slowest(f"{of}: {name}", spans) for name, spans in by_span.items()),
        *(
            _figure(f"{of}: {name}", times, goal=LARGE not in name)
            for name, times in others.items()
        ),
    )


def _ask(db: Db, now_ms: int, long_ms: int) -> Ask:
    over = span.over(now_ms - long_ms, now_ms, now_ms=now_ms, since=cover.since(db))
    return Ask(now_ms, over)


def _call(query: SpanQuery, ask: Ask, db: Db) -> object:
    return query(db, ask)


def _others(filled: Filled) -> dict[str, Query]:
    """Return the queries that are about one session, or about the store as it is."""
    now_ms = filled.now_ms
    found: dict[str, Query] = {
        "sessions that need attention": lambda db: sessions.needing_attention(
            db, TENANT, since_ms=now_ms - DAY_MS
        ),
        "newest event": lambda db: sessions.newest_ms(db, TENANT),
        "whether there is a demonstration": lambda db: sessions.demo(
            db, TENANT, since_ms=now_ms - DAY_MS
        ),
        "progress": system.progress,
        "open windows": lambda db: system.windows(db, TENANT, since_ms=now_ms - HOUR_MS),
        "reasons of dead_letters": lambda db: system.reasons(
            db, TENANT, since_ms=now_ms - 7 * DAY_MS
        ),
        "dead_letters": lambda db: system.dead_letters(db, TENANT, since_ms=now_ms - 7 * DAY_MS),
    }
    for kind, session_id in (("a session", filled.typical), (f"a {LARGE} session", LARGE)):
        part = Stretch(session_id=session_id, from_ms=now_ms - DAY_MS, until_ms=now_ms)
        found |= {f"{kind}: {name}": query for name, query in _of_session(part).items()}
    return found


def _of_session(part: Stretch) -> dict[str, Query]:
    return {
        "itself": lambda db: sessions.one(db, TENANT, part.session_id),
        "lanes": lambda db: session_events.lanes(db, TENANT, part),
        "marks": lambda db: session_events.marks(db, TENANT, part),
        "prompts": lambda db: session_events.prompts(db, TENANT, part),
        "failures": lambda db: session_events.failures(db, TENANT, part),
        "waits": lambda db: session_events.waited_ms(db, TENANT, part),
        "number of events": lambda db: session_events.count(db, TENANT, part),
        "first page": lambda db: session_events.page(db, TENANT, part),
    }


def _times(reader: Reader, query: Query) -> list[float]:
    """Return how long each call took, in milliseconds, a transaction each."""
    times: list[float] = []
    for _ in range(CALLS + 1):
        began = time.perf_counter()
        with reader.connection() as db:
            query(db)
        times.append((time.perf_counter() - began) * 1_000)
    return times[1:]


def _slowest(name: str, spans: Mapping[str, list[float]]) -> Figure:
    p95s = {long: percentile(times, 0.95) for long, times in spans.items()}
    worst = max(p95s, key=lambda long: p95s[long])
    told = ", ".join(f"{long} {ms:.0f}" for long, ms in p95s.items())
    return _figure(name, spans[worst], f"p95 by span: {told}", goal=True)


def _figure(name: str, times: list[float], note: str = "", *, goal: bool) -> Figure:
    about = f"p50 {median(times):.1f}, max {max(times):.1f} ms"
    return Figure(
        name=f"{name}, p95",
        value=percentile(times, 0.95),
        unit="ms",
        goal=READ_GOAL_MS if goal else None,
        note="; ".join(filter(None, (about, note))),
    )
