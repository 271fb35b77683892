"""The rollups of 5 minutes, an hour and a day, kept up with what commits mark.

One run takes marked periods, the newest first, and makes each of them anew as a whole: 5 minutes
from the 1-minute windows, an hour from its 5 minutes, a day from its hours, and the totals of each.
Reading the windows, writing the rollups and taking the marks away is one transaction of one
snapshot: a commit that the snapshot does not hold leaves its mark behind, so nothing is missed and
nothing is added twice. A wider period is made again at most once per narrower one (an hour every
5 minutes), for whoever reads takes what is marked from the narrower level (see `queries.cover`).

A period is made once a run: commits mark the newest again and again, and what they add waits for
the next run. Slices keep transactions short, and a run ends after `RUN_S`, so an import of months
is caught up with in many runs while what is new comes first. A 1-minute row that comes after its
period was dropped cannot be rolled up: it is moved, as a row apart, to the wider windows that still
keep it.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Final

from msgspec import Struct
from psycopg import Connection
from psycopg.rows import TupleRow
from psycopg.sql import SQL, Composable, Composed, Identifier, Literal

from analytics.measures.rows import MEASURES, ROLLED_MS
from streams.maintenance import continuous_aggregates
from streams.store import holdings, partitions, rollup_sums
from streams.store.dirty_periods import PERIOD_MS, SOURCE_MS
from streams.store.holdings import TableContract
from streams.store.levels import Level
from streams.store.rollup_sums import Range, RollupStep

Db = Connection[TupleRow]

RUN_S: Final = 20.0
"""After how long a run starts no further slice."""
SLICE_S: Final = 1.0
"""How long a slice should take; the next one is made smaller or larger to that end."""
SLICE_MAX: Final = 288
"""Periods of one slice at most."""

_NAMES: Final = dict(zip(ROLLED_MS, ("5m", "1h", "1d"), strict=True))


class Rung(Struct, frozen=True):
    """One width: how its rollups and totals are made, and which width they are marked for next."""

    width_ms: int
    rollup: RollupStep
    totals: tuple[RollupStep, ...]
    wider_ms: int | None
    wait_ms: int
    """How long a mark rests, so that a period which changes all the time is made less often."""


def _rung(width_ms: int, wider_ms: int | None, wait_ms: int) -> Rung:
    totals = [holdings.TOTALS[width_ms]]
    if width_ms == PERIOD_MS:
        totals.append(holdings.TOTALS[SOURCE_MS])
    steps = tuple(map(_step, totals))
    return Rung(width_ms, _step(holdings.ROLLUPS[width_ms]), steps, wider_ms, wait_ms)


def _step(made: TableContract) -> RollupStep:
    return RollupStep(made.table, made.width_ms, made.source, made.dimensions)


_FIVE_MINUTES, _HOUR, _DAY = ROLLED_MS
RUNGS: Final = (
    _rung(_FIVE_MINUTES, _HOUR, 0),
    _rung(_HOUR, _DAY, _FIVE_MINUTES),
    _rung(_DAY, None, _HOUR),
)

_PICK: Final = """
with recursive period (start_at, place) as (
    (select start_at, 1 from rollup_due
      where width_ms = %(width_ms)s and marked_at <= %(ripe)s and start_at <> all(%(made)s)
      order by start_at desc limit 1)
    union all
    select (select start_at from rollup_due
             where width_ms = %(width_ms)s and marked_at <= %(ripe)s
               and start_at < period.start_at and start_at <> all(%(made)s)
             order by start_at desc limit 1), place + 1
      from period where start_at is not null and place < %(limit)s
)
select (extract(epoch from start_at) * 1000)::bigint from period where start_at is not null
"""
_SINCE: Final = """
select coalesce(max((extract(epoch from since) * 1000)::bigint), 0) from kept where name = %s
"""
_DONE: Final = """
delete from rollup_due
 where width_ms = %s and start_at = any(
       select to_timestamp(at_ms / 1000.0) from unnest(%s::bigint[]) at_ms)
"""
_DONE_MARKS: Final = "delete from rollup_due where number = any(%s)"
_MARK: Final = """
insert into rollup_due (width_ms, start_at, marked_at)
select %(width_ms)s, to_timestamp(at_ms / 1000.0), %(now)s from unnest(%(starts)s::bigint[]) at_ms
 where not exists (select from rollup_due
                    where width_ms = %(width_ms)s and start_at = to_timestamp(at_ms / 1000.0))
"""
_LAG: Final = """
select count(*), coalesce(extract(epoch from clock_timestamp() - min(marked_at)), 0)::float8
  from (select marked_at from rollup_due where width_ms = %s order by marked_at limit 100000) due
"""


def run(
    db: Db, level: Level, *, now_ms: int, clock: Callable[[], float] = time.monotonic
) -> dict[str, object]:
    """Roll up what is marked, within the time of a run; return what was done and how far behind."""
    end = clock() + RUN_S
    done = {
        _NAMES[rung.width_ms]: _climb(db, level, rung, now_ms=now_ms, end=end, clock=clock)
        for rung in RUNGS
    }
    moved = _move_strays(db)
    waiting, lag_s = db.execute(_LAG, [PERIOD_MS]).fetchone() or (0, 0.0)
    return {"periods": done, "moved": moved, "waiting": waiting, "lag_s": round(lag_s, 1)}


def joined(starts: Iterable[int], width_ms: int) -> list[Range]:
    """Return periods as stretches, those that follow each other as one."""
    ranges: list[Range] = []
    for start in sorted(starts):
        if ranges and ranges[-1][1] == start:
            ranges[-1] = (ranges[-1][0], start + width_ms)
        else:
            ranges.append((start, start + width_ms))
    return ranges


def _climb(
    db: Db, level: Level, rung: Rung, *, now_ms: int, end: float, clock: Callable[[], float]
) -> int:
    """Make the periods of one width anew, slice by slice, each once; return how many."""
    made: list[datetime] = []
    size = SLICE_MAX // 12
    ripe = _at(now_ms - rung.wait_ms) if rung.wait_ms else datetime.max.replace(tzinfo=UTC)
    while clock() < end:
        bound = {"width_ms": rung.width_ms, "ripe": ripe, "limit": size, "made": made}
        starts = [row[0] for row in db.execute(_PICK, bound)]
        if not starts:
            break
        began = clock()
        _slice(db, level, rung, starts, now_ms=now_ms)
        made += map(_at, starts)
        took = clock() - began
        size = max(1, min(SLICE_MAX, int(size * min(max(SLICE_S / max(took, 0.01), 0.25), 4))))
    return len(made)


def _slice(db: Db, level: Level, rung: Rung, starts: Sequence[int], *, now_ms: int) -> None:
    """Make some periods anew and take their marks away, in one snapshot.

    Where the database makes rollups itself it does so before, in transactions of its own; then only
    the marks go that were there before.
    """
    for step in (rung.rollup, *rung.totals):
        times = [_at(start) for start in starts]
        partitions.ensure(db, level, partitions.NAMED[step.table], times)
    seen = None
    if level.has_policies:
        seen = continuous_aggregates.marks(db, rung.width_ms, starts)
        continuous_aggregates.refresh(
            db, rung.rollup.table, joined(_whole(db, rung, starts), rung.width_ms)
        )
    with _snapshot(db):
        whole = _whole(db, rung, starts)
        ranges = joined(whole, rung.width_ms)
        if ranges:
            if not level.has_policies:
                rollup_sums.rollup(db, rung.rollup, ranges)
            for step in rung.totals:
                rollup_sums.total(db, step, ranges)
        if seen is None:
            db.execute(_DONE, [rung.width_ms, list(starts)])
        else:
            db.execute(_DONE_MARKS, [seen])
        if rung.wider_ms is not None and whole:
            wider = {start // rung.wider_ms * rung.wider_ms for start in whole}
            marks = {"width_ms": rung.wider_ms, "starts": sorted(wider), "now": _at(now_ms)}
            db.execute(_MARK, marks)


def _whole(db: Db, rung: Rung, starts: Sequence[int]) -> list[int]:
    """Return the periods whose source has not been dropped."""
    since = _number(db, _SINCE, [rung.rollup.source])
    return [start for start in starts if start >= since]


def _move_strays(db: Db) -> int:
    """Move 1-minute rows from before the first whole period to wider windows."""
    row = db.execute(_MOVE).fetchone()
    return 0 if row is None else int(row[0])


@contextmanager
def _snapshot(db: Db) -> Iterator[None]:
    """Open a transaction that sees one moment throughout."""
    with db.transaction():
        db.execute("set transaction isolation level repeatable read")
        yield


def _number(db: Db, query: str, values: list[object]) -> int:
    row = db.execute(query.encode(), values).fetchone()
    return 0 if row is None else int(row[0])


def _at(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, tz=UTC)


_ADDED: Final = "{0} = nullif(coalesce(kept.{0}, 0) + coalesce(excluded.{0}, 0), 0)"
_KEY: Final = ("series_id", "log_id", "partition", "batch_offset")
_MOVED_TO: Final = """
, into_{name} as (
    insert into {table} as kept (start_at, {key}, {measures}, latency, closed)
    select w.at, {key}, {sums}, coalesce(string_agg(w.latency, ''::bytea), ''::bytea), true
      from (select {bin} as at, w.* from moved w) w
     where w.at >= (select since from kept where name = {rollup})
     group by w.at, {key}
    on conflict (start_at, {key}) do update
       set {changes}, latency = kept.latency || excluded.latency
)
"""


def _moving() -> Composed:
    """Return the statement that moves strays; each is added to what its row apart holds."""
    comma = SQL(", ")
    parts: list[Composable] = [
        SQL("""
with moved as (
    delete from window_1m where start_at < (select since from kept where name = 'window_1m')
    returning *
)""")
    ]
    for rung in RUNGS:
        name = _NAMES[rung.width_ms]
        parts.append(
            SQL(_MOVED_TO).format(
                name=SQL(name),
                table=Identifier(f"window_{name}"),
                rollup=Literal(rung.rollup.table),
                key=comma.join(map(Identifier, _KEY)),
                measures=comma.join(map(Identifier, MEASURES)),
                sums=rollup_sums.sums(),
                bin=rollup_sums.bin_of(rung.width_ms, Identifier("w", "start_at")),
                changes=comma.join(
                    SQL(
                        "{0} = nullif(coalesce(kept.{0}, 0) + coalesce(excluded.{0}, 0), 0)"
                    ).format(Identifier(measure))
                    for measure in MEASURES
                ),
            )
        )
    return Composed([*parts, SQL("select count(*) from moved")])


_MOVE: Final = _moving()
