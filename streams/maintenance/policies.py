"""What TimescaleDB Community is told to do by itself: refresh rollups, convert and drop old chunks.

A policy follows the settings: `care` compares what the database has with what is wanted and changes
only the difference, so it may run as often as one likes. A table is dropped by a policy where age
alone decides; 1-minute windows also have to be rolled up before, which no policy waits for, so
they stay with the retention job, and so do totals, which the rollup job makes. No refresh reaches
back to where the chunks of its source may be gone: it would find nothing there and empty the
rollup, which is kept for longer.
"""

from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from msgspec import Struct
from psycopg import Connection
from psycopg.rows import TupleRow

from streams.maintenance.retention import BY_POLICY, Retention
from streams.store.levels import Level

Db = Connection[TupleRow]

SLACK: Final = timedelta(days=1)
"""How long after its term a policy drops a chunk, so that `kept` says so before it is gone."""
REFRESH_END: Final = timedelta(hours=1)
"""How far behind now a policy's refresh stays: above any lateness."""
REFRESH_PERIODS_MIN: Final = 2
"""What TimescaleDB demands of a refresh."""
COLUMNSTORE_AFTER: Final = timedelta(days=1)
COLUMNAR: Final = ("events", "window_10s", "window_1m")
_DAY: Final = timedelta(days=1)
CONTINUOUS: Final = {
    "rollup_5m": ("window_1m", timedelta(minutes=5)),
    "rollup_1h": ("rollup_5m", timedelta(hours=1)),
    "rollup_1d": ("rollup_1h", _DAY),
}
"""Each continuous aggregate: what it is made of, and how wide its periods are."""

_ADD_RETENTION: Final = """
select add_retention_policy(%(table)s, drop_after => %(after)s, if_not_exists => true)
"""
_REMOVE_RETENTION: Final = "select remove_retention_policy(%(table)s, if_exists => true)"
_ADD_COLUMNSTORE: Final = """
call add_columnstore_policy(%(table)s, after => %(after)s, if_not_exists => true)
"""
_REMOVE_COLUMNSTORE: Final = "call remove_columnstore_policy(%(table)s, if_exists => true)"
_ADD_REFRESH: Final = """
select add_continuous_aggregate_policy(
    %(table)s, start_offset => %(after)s, end_offset => %(end)s, schedule_interval => %(every)s,
    if_not_exists => true)
"""
_REMOVE_REFRESH: Final = "select remove_continuous_aggregate_policy(%(table)s, if_exists => true)"
_PRESENT: Final = """
select proc_name, hypertable_name,
       coalesce(config ->> 'drop_after', config ->> 'compress_after', config ->> 'start_offset')
           ::interval
  from timescaledb_information.jobs
 where hypertable_name is not null
"""


class Policy(Struct, frozen=True, kw_only=True):
    """What is done to one table, and after which age of its rows."""

    procedure: str
    """As TimescaleDB names it in its list of jobs."""
    table: str
    after: timedelta
    add: str
    remove: str
    every: timedelta = timedelta(hours=1)


def wanted(kept: Retention) -> Iterator[Policy]:
    """Return the policies that the terms call for."""
    terms = {table.name: term for table, term in kept.terms()}
    for name in BY_POLICY:
        yield Policy(
            procedure="policy_retention", table=name, after=terms[name] + SLACK,
            add=_ADD_RETENTION, remove=_REMOVE_RETENTION,
        )  # fmt: skip
    for name in COLUMNAR:
        yield Policy(
            procedure="policy_compression", table=name, after=COLUMNSTORE_AFTER,
            add=_ADD_COLUMNSTORE, remove=_REMOVE_COLUMNSTORE,
        )  # fmt: skip
    for name, (source, period) in CONTINUOUS.items():
        back = min(terms["window_1m"], terms[source] - _DAY)
        if back - REFRESH_END >= REFRESH_PERIODS_MIN * period:
            yield Policy(
                procedure="policy_refresh_continuous_aggregate", table=name, after=back,
                add=_ADD_REFRESH, remove=_REMOVE_REFRESH,
            )  # fmt: skip


def care(db: Db, level: Level, kept: Retention) -> list[str]:
    """Set the policies that are missing or follow other terms; return what was set."""
    if not level.has_policies:
        return []
    present = {(name, table): after for name, table, after in db.execute(_PRESENT)}
    changed = []
    for policy in wanted(kept):
        if present.get((policy.procedure, policy.table)) == policy.after:
            continue
        bound = {
            "table": policy.table, "after": policy.after, "end": REFRESH_END, "every": policy.every,
        }  # fmt: skip
        with db.transaction():
            db.execute(policy.remove.encode(), bound)
            db.execute(policy.add.encode(), bound)
        changed.append(f"{policy.procedure} {policy.table}")
    return changed
