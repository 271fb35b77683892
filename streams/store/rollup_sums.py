"""Windows added up to wider ones, whole periods at a time: sums in SQL, sketches in numpy.

A rollup's row is what the rows of one series amount to over one period; a total is what the rows of
a tenant's fleet amount to, once over everything (dimension '') and once by each dimension
that its holding declares.
Rows replace what was there, and only where something changed. Sketches are merged into their
canonical form, so that the same windows give the same bytes whatever the order they came in.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from msgspec import Struct
from psycopg import Connection
from psycopg.rows import TupleRow
from psycopg.sql import SQL, Composable, Composed, Identifier, Literal

from analytics.measures import sketch
from analytics.measures.rows import MEASURES

Db = Connection[TupleRow]
Range = tuple[int, int]
"""A stretch of time, from and until, in epoch milliseconds."""

EPOCH: Final = SQL("timestamptz '1970-01-01 00:00:00+00'")
SUM_MAX: Final = 2**63 - 1
"""The largest sum that is kept, either sign."""
_PAIR: Final = np.dtype([("bucket", "<i2"), ("count", "<u4")])
_BUCKET_BITS: Final = 16


class RollupStep(Struct, frozen=True):
    """One table made from another, in periods of a width."""

    table: str
    width_ms: int
    source: str
    dimensions: tuple[str, ...] = ()
    """What a total is kept apart by, beside the total of all."""


def rollup(db: Db, step: RollupStep, ranges: Sequence[Range]) -> int:
    """Make the rollups of these whole periods anew; return how many rows changed."""
    return _make(db, step, ranges, keys={"series_id": "bigint"}, query=_ROLLUP)


def total(db: Db, step: RollupStep, ranges: Sequence[Range]) -> int:
    """Make the totals of these whole periods anew; return how many rows changed."""
    keys = {"tenant": "text", "dimension": "text", "name": "text"}
    return _make(db, step, ranges, keys=keys, query=_TOTAL)


def merged(sketches: Sequence[bytes]) -> list[bytes]:
    """Return each of these concatenations of sketches as one canonical sketch."""
    sizes = np.fromiter((len(data) for data in sketches), dtype=np.int64, count=len(sketches))
    pairs = np.frombuffer(b"".join(sketches), dtype=_PAIR)
    if not len(pairs):
        return [b""] * len(sketches)
    owner = np.repeat(np.arange(len(sketches), dtype=np.int64), sizes // _PAIR.itemsize)
    place = (owner << _BUCKET_BITS) + (pairs["bucket"].astype(np.int64) - sketch.ZERO_BUCKET)
    order = np.argsort(place, kind="stable")
    place = place[order]
    firsts = np.flatnonzero(np.diff(place, prepend=-1))
    counts = np.add.reduceat(pairs["count"][order].astype(np.int64), firsts)
    whole = np.empty(len(firsts), dtype=_PAIR)
    whole["bucket"] = (place[firsts] & ((1 << _BUCKET_BITS) - 1)) + sketch.ZERO_BUCKET
    whole["count"] = np.minimum(counts, sketch.COUNT_MAX)
    ends = np.searchsorted(place[firsts] >> _BUCKET_BITS, np.arange(len(sketches)), side="right")
    data, edges = whole.tobytes(), [0, *(ends * _PAIR.itemsize).tolist()]
    return [data[edges[n] : edges[n + 1]] for n in range(len(sketches))]


def sums(of: str = "w") -> Composed:
    """Return the sums of all measures within their bounds, as a rollup has them: zero is null."""
    return SQL(", ").join(
        SQL(
            "case when sum({0}) <> 0 then least(greatest(sum({0}), -{1}), {1})::bigint end as {2}"
        ).format(Identifier(of, name), Literal(SUM_MAX), Identifier(name))
        for name in MEASURES
    )


def bin_of(width_ms: int, column: Composable) -> Composed:
    """Return the start of the period of a width that a time is in."""
    return SQL("date_bin({0} * interval '1 millisecond', {1}, {2})").format(
        Literal(width_ms), column, EPOCH
    )


_ROWS: Final = """
(select {bin} as at, w.*
   from unnest(%(froms)s::bigint[], %(untils)s::bigint[]) as r (from_ms, until_ms)
   join {source} w on w.start_at >= to_timestamp(r.from_ms / 1000.0)
                  and w.start_at < to_timestamp(r.until_ms / 1000.0)
  where {wanted})
"""
_ROLLUP: Final = "select w.at as start_at, w.series_id, {measured} from {rows} w group by 1, 2"
_TOTAL: Final = """
select * from (
  select w.at as start_at, s.tenant, {dimension} as dimension, {name} as name, {measured}
    from {rows} w
    join series s on s.series_id = w.series_id
   where s.grain = 'fleet'
   group by grouping sets ({sets})
) counted
 where dimension = '' or name <> ''
"""
_SKETCHES: Final = """
select (extract(epoch from start_at) * 1000)::bigint, {keys}, latency from ({made}) made
"""
_PUT: Final = """
insert into {table} as kept (start_at, {keys}, {measures}, latency)
select made.start_at, {made_keys}, {measures}, coalesce(known.latency, ''::bytea)
  from ({made}) made
  left join unnest(%(ats)b::bigint[], {arrays}, %(latencies)b::bytea[])
            as known (at_ms, {keys}, latency)
    on to_timestamp(known.at_ms / 1000.0) = made.start_at and {same}
on conflict (start_at, {keys}) do update set {changes}
 where ({kept}) is distinct from ({excluded})
"""


def _make(
    db: Db, step: RollupStep, ranges: Sequence[Range], *, keys: dict[str, str], query: str
) -> int:
    bound: dict[str, object] = {
        "froms": [start for start, _ in ranges],
        "untils": [end for _, end in ranges],
    }
    listed = SQL(", ").join(map(Identifier, keys))
    asked = SQL(_SKETCHES).format(keys=listed, made=_made(step, query, sketches=True))
    with db.cursor(binary=True) as cursor:
        found = cursor.execute(asked, bound).fetchall()
    bound |= {
        "ats": [row[0] for row in found],
        "latencies": merged([row[-1] for row in found]),
        **{name: [row[1 + n] for row in found] for n, name in enumerate(keys)},
    }
    return db.execute(_put(step, keys, _made(step, query, sketches=False)), bound).rowcount


def _made(step: RollupStep, query: str, *, sketches: bool) -> Composed:
    """Return the query for the rows of a step, with sums or with sketches end to end."""
    rows = SQL(_ROWS).format(
        bin=bin_of(step.width_ms, Identifier("w", "start_at")),
        source=Identifier(step.source),
        wanted=SQL("w.latency <> ''::bytea") if sketches else SQL("true"),
    )
    by = [Identifier("s", name) for name in step.dimensions]
    return SQL(query).format(
        rows=rows,
        measured=SQL("string_agg(w.latency, ''::bytea) as latency") if sketches else sums(),
        dimension=_choice([
            SQL("when grouping({0}) = 0 then {1}").format(column, Literal(name))
            for column, name in zip(by, step.dimensions, strict=True)
        ]),
        name=_choice([SQL("when grouping({0}) = 0 then {0}").format(column) for column in by]),
        sets=SQL(", ").join([
            SQL("(w.at, s.tenant)"),
            *(SQL("(w.at, s.tenant, {})").format(column) for column in by),
        ]),
    )  # fmt: skip


def _choice(cases: Sequence[Composable]) -> Composable:
    if not cases:
        return SQL("''::text")
    return SQL("case {} else '' end").format(SQL(" ").join(cases))


def _put(step: RollupStep, keys: dict[str, str], made: Composed) -> Composed:
    comma, measures = SQL(", "), [Identifier(name) for name in MEASURES]
    changing = [*MEASURES, "latency"]
    return SQL(_PUT).format(
        table=Identifier(step.table),
        keys=comma.join(map(Identifier, keys)),
        made_keys=comma.join(Identifier("made", name) for name in keys),
        measures=comma.join(measures),
        made=made,
        arrays=comma.join(
            SQL("%({})b::{}[]").format(SQL(name), SQL(kind)) for name, kind in keys.items()
        ),
        same=SQL(" and ").join(
            SQL("{} = {}").format(Identifier("known", name), Identifier("made", name))
            for name in keys
        ),
        changes=comma.join(SQL("{0} = excluded.{0}").format(Identifier(n)) for n in changing),
        kept=comma.join(Identifier("kept", name) for name in changing),
        excluded=comma.join(Identifier("excluded", name) for name in changing),
    )
