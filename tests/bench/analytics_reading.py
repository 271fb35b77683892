"""What dashboards ask of a large store: measures by dimension, PromQL and what watching found.

Each question is asked as Explore and the query API ask it.
"""

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Final

from analytics import promql
from analytics.contracts.ids import TenantId
from apps.bench.report import Figure, percentile
from apps.local import database
from streams.clients.reader import Reader
from streams.queries import grouped, monitoring
from streams.queries.grouped import GroupedQuery
from streams.queries.monitoring import AnomalyFilter
from streams.series import cover, span
from streams.series.measures import Db
from streams.series.store_series import EverySeries
from streams.store import schema
from tests.bench.store_filling import TENANT, Filled, fill
from tests.support.database import fresh

EVENTS: Final = 10_000_000
CALLS: Final = 20
DAY_MS: Final = 86_400_000
GOALS_MS: Final = {1: 200.0, 90: 500.0}
"""By days that are asked about."""
POINTS: Final = 96
Query = Callable[[Db, int, int], object]
TEXTS: Final[Mapping[str, str]] = {
    "PromQL, cost by model": "sum by (model) (increase(cost_usd_total[{step}]))",
    "PromQL, share of errors": "sum(increase(tool_errors_total[{step}]))"
    " / sum(increase(tool_calls_total[{step}]))",
}


def figures() -> Iterator[Figure]:
    """Fill a store, and time every question."""
    with tempfile.TemporaryDirectory(prefix="mainstem-bench-") as folder:
        home = Path(folder)
        home.chmod(0o755)
        server = database.start(home / "store", durable=False)
        try:
            for url in fresh(server.url):
                schema.migrate(url)
                filled = fill(url, events=EVENTS, now_ms=time.time_ns() // 1_000_000)
                yield from _asked(url, filled)
        finally:
            database.stop(home / "store")


def _asked(url: str, filled: Filled) -> Iterator[Figure]:
    with closing(Reader(url, size_max=1)) as reader:
        for name, (query, spans) in _queries().items():
            for days in spans:
                goal_ms = GOALS_MS[days]
                times = [
                    _timed(reader, query, filled.now_ms - days * DAY_MS, filled.now_ms)
                    for _ in range(CALLS + 1)
                ][1:]
                yield Figure(
                    name=f"{name}, {days} d, p95", value=round(percentile(times, 0.95), 1),
                    unit="ms", goal=goal_ms, note=f"p50 {percentile(times, 0.5):.1f} ms",
                )  # fmt: skip


def _timed(reader: Reader, query: Query, from_ms: int, until_ms: int) -> float:
    begun_s = time.perf_counter()
    with reader.connection() as db:
        query(db, from_ms, until_ms)
    return (time.perf_counter() - begun_s) * 1_000


def _queries() -> dict[str, tuple[Query, tuple[int, ...]]]:
    """Return the questions, and over how many days each is asked.

    PromQL reads one-minute windows, so its ranges are those of a day.
    """
    return {
        "measures by model": (_measures, (1, 90)),
        **{name: (_promql(text), (1,)) for name, text in TEXTS.items()},
        "anomalies": (_anomalies, (1, 90)),
    }


def _anomalies(db: Db, from_ms: int, until_ms: int) -> object:
    which = AnomalyFilter(from_ms=from_ms, until_ms=until_ms)
    return monitoring.anomalies(db, TenantId(TENANT), which)


def _measures(db: Db, from_ms: int, until_ms: int) -> object:
    over = span.over(from_ms, until_ms, now_ms=until_ms, since=cover.since(db))
    wanted = GroupedQuery(span=over, measures=("cost_nanousd", "calls"), group_by=("model",))
    return grouped.query(db, TENANT, wanted)


def _promql(text: str) -> Query:
    def asked(db: Db, from_ms: int, until_ms: int) -> object:
        step_ms = (until_ms - from_ms) // POINTS // 60_000 * 60_000
        expression = promql.parse(text.format(step=f"{step_ms // 1_000}s"))
        storage = EverySeries(db, TENANT, until_ms=until_ms)
        return promql.ranged(expression, storage, from_ms, until_ms, step_ms=step_ms)

    return asked
