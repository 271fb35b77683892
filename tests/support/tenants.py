"""The windows of two tenants in one store, and the job that removes what one of them keeps less."""

import time
from collections.abc import Mapping
from typing import Final

import psycopg
from psycopg.sql import SQL, Identifier

from streams.maintenance import retention_tenants, rollups
from streams.maintenance.retention import Retention
from streams.store import levels
from tests.support import minutes

DAY_MS: Final = 86_400_000
NOW_MS: Final = time.time_ns() // 1_000_000
TODAY_MS: Final = NOW_MS // DAY_MS * DAY_MS
OURS: Final = "acme"
"""The tenant of series 1; the others are of another."""
ROLLED: Final = (
    "rollup_5m", "rollup_1h", "rollup_1d", "total_5m", "total_1h", "total_1d",
)  # fmt: skip
EVERY: Final = ("window_1m", *ROLLED, "total_1m")
Rows = dict[str, list[tuple[object, ...]]]


def put(url: str, days: int, *, seed: int, batch_offset: int = -1) -> None:
    """Put some minutes of so many days ago."""
    day_ms = TODAY_MS - days * DAY_MS
    with psycopg.connect(url, autocommit=True) as db:
        starts = [day_ms + n * 60_000 for n in (0, 1, 3, 9, 64, 800)]
        minutes.put(db, starts, seed=seed, batch_offset=batch_offset)
        db.execute("update series set tenant = %s where series_id = 1", [OURS])


def roll_up(url: str) -> None:
    """Run the rollup job thrice, late enough for each width."""
    with psycopg.connect(url, autocommit=True, options="-c timezone=UTC") as db:
        for later_ms in (0, 600_000, 3 * 3_600_000):
            rollups.run(db, levels.detect(db), now_ms=NOW_MS + later_ms)


def sweep(url: str, terms: Mapping[str, int], kept: Retention) -> dict[str, int]:
    """Let our tenant have these terms, and remove what is older."""
    with psycopg.connect(url, autocommit=True, options="-c timezone=UTC") as db:
        db.execute("delete from retention_settings")
        for kind, days in terms.items():
            db.execute(
                "insert into retention_settings (tenant, kind, days) values (%s, %s, %s)",
                [OURS, kind, days],
            )
        return retention_tenants.sweep(db, levels.detect(db), kept, now_ms=NOW_MS)


def rows(url: str, *, ours: bool | None = None) -> Rows:
    """Return the rows of every table, of our tenant, of the other, or of both."""
    with psycopg.connect(url, options="-c timezone=UTC") as db:
        found = {table: _rows(db, table) for table in EVERY}
    if ours is None:
        return found
    return {
        table: [row for row in listed if (row[1] in {1, OURS}) is ours]
        for table, listed in found.items()
    }


def _rows(db: psycopg.Connection[tuple[object, ...]], table: str) -> list[tuple[object, ...]]:
    first = "tenant" if table.startswith("total") else "series_id"
    columns = db.execute(
        "select attname from pg_attribute where attrelid = %s::regclass and attnum > 0"
        " and attname not in ('start_at', %s) order by attname",
        [table, first],
    ).fetchall()
    query = SQL("select {} from {} order by start_at").format(
        SQL(", ").join(Identifier(str(n)) for n in ("start_at", first, *(c for (c,) in columns))),
        Identifier(table),
    )
    return sorted(db.execute(query).fetchall(), key=str)
