"""The last hours of a tenant's one-minute windows in memory, for rules that look every minute.

A worker adds each minute once it is whole, so a rule over thousands of series costs no query. What
is answered is what `exposing` reads from the store, as it was when the minute was whole: what comes
later for one of these minutes is seen by who begins to watch after it, and by everybody once the
hours are over. Memory is the rows of `KEPT_MS`, and one sum of all before for each series.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from psycopg import sql

from analytics.alerts.rules.exposed import EXPOSED, FLEET, SESSION
from analytics.measures.rows import ON_TIME
from analytics.measures.sketch import from_bytes
from streams.series.measures import Db

MINUTE_MS: Final = 60_000
KEPT_MS: Final = 130 * MINUTE_MS
"""An hour that a rule looks back, another in which a series is told of, and some more."""
LATENCY: Final = "latency"
COLUMNS: Final = tuple(dict.fromkeys(one.measure for one in EXPOSED if one.measure))
LABELS: Final = {"fleet": FLEET, "session": SESSION}

_NAMED: Final = frozenset({*FLEET, *SESSION})
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Objects = NDArray[np.object_]

_ROWS: Final = (
    sql.SQL("""
select (extract(epoch from w.start_at) * 1000)::bigint + {minute}, w.series_id, {sums},
       string_agg(w.latency, ''::bytea), bool_or(w.batch_offset = {on_time})
  from window_1m w join series s on s.series_id = w.series_id
 where s.tenant = %(tenant)s and s.grain = any(%(grains)s)
   and w.start_at >= %(from)s and w.start_at < %(until)s
 group by w.start_at, w.series_id order by 1, 2
""")
    .format(
        minute=sql.Literal(MINUTE_MS),
        on_time=sql.Literal(ON_TIME),
        sums=sql.SQL(", ").join(
            sql.SQL("coalesce(sum({}), 0)::float8").format(sql.Identifier("w", name))
            for name in COLUMNS
        ),
    )
    .as_bytes()
)
_NAMES: Final = """
select s.series_id, s.grain, s.project, s.agent, s.model, s.tool, s.skill, s.query_source,
       s.session_id, coalesce(u.user_name, ''), coalesce(u.team, '')
  from series s left join sessions u on u.tenant = s.tenant and u.session_id = s.session_id
       and s.session_id <> ''
 where s.series_id = any(%s)
"""
_FIELDS: Final = (
    "project", "agent", "model", "tool", "skill", "query_source", "session_id", "user", "team",
)  # fmt: skip


class MinuteWindows(Struct, frozen=True):
    """The windows of one minute."""

    end_ms: int
    live: frozenset[int]
    """The series of which something came as it happened: not all was imported, or late."""
    ids: Ints
    sums: Floats
    """A row a series, a column a measure."""
    latency: Objects
    """A sketch a row, or None."""


class WindowRows(Struct, frozen=True):
    """Windows of several series, by series and then by end."""

    ids: Ints
    ends: Ints
    sums: Floats
    latency: Objects
    """A sketch a row, or None."""


class Recent:
    """See the module."""

    def __init__(self, tenant: str) -> None:
        self._tenant = tenant
        self._blocks: list[MinuteWindows] = []
        self._grains: dict[int, str] = {}
        self._labels: dict[int, tuple[str, ...]] = {}
        self._base: dict[int, Floats] = {}
        self._since_ms = self._until_ms = 0
        self._whole: dict[str, WindowRows] = {}
        self._told: list[dict[str, str]] | None = None

    def covers(self, from_ms: int, until_ms: int) -> bool:
        """Say whether all windows that end between two times are here, the first not included."""
        return bool(self._until_ms) and self._since_ms <= from_ms and until_ms <= self._until_ms

    def follow(self, db: Db, until_ms: int) -> list[int]:
        """Take what ended by `until_ms`, and let go what is too old.

        Returns the series of which the sum of all before is not known: give it by `found`.
        """
        until_ms = until_ms // MINUTE_MS * MINUTE_MS
        if until_ms <= self._until_ms:
            return []
        if until_ms - self._until_ms > KEPT_MS or not self._until_ms:
            self.__init__(self._tenant)  # type: ignore[misc] # all of it is too old
            self._since_ms = self._until_ms = until_ms - KEPT_MS
        blocks = self._read(db, self._until_ms, until_ms)
        self._until_ms = until_ms
        self._blocks += blocks
        fresh = sorted({one for block in blocks for one in block.ids.tolist()} - self._base.keys())
        self._name(db, {one for block in blocks for one in block.ids.tolist()})
        self._let_go(until_ms - KEPT_MS)
        self._whole.clear()
        self._told = None
        return fresh

    @property
    def since_ms(self) -> int:
        """From when on windows are here."""
        return self._since_ms

    def found(self, series_id: int, before: Mapping[str, float]) -> None:
        """Take the sums of a series over all windows that ended before those here."""
        self._base[series_id] = np.array([before.get(name, 0) for name in COLUMNS], np.float64)

    def rows(self, grain: str, from_ms: int, until_ms: int) -> WindowRows:
        """Return the windows that end between two times, the first not included."""
        whole = self._all(grain)
        mask = (whole.ends > from_ms) & (whole.ends <= until_ms)
        if mask.all():
            return whole
        return WindowRows(whole.ids[mask], whole.ends[mask], whole.sums[mask], whole.latency[mask])

    def labels(self, series_id: int) -> tuple[str, ...]:
        """Return the labels of a series, in the order of its grain."""
        return self._labels[series_id]

    def is_live(self, labels: Mapping[str, str]) -> bool:
        """Say whether something with these labels was told as it happened, in the hours at hand.

        What is imported was never live, so that nobody misses it. Labels that series of windows do
        not have say nothing of that; without any, it is asked whether anything was.
        """
        if not self._blocks or (labels and not labels.keys() & _NAMED):
            return True
        return any(
            all(labels.get(name, value) == value for name, value in one.items())
            for one in self._live()
        )

    def _live(self) -> list[dict[str, str]]:
        """Return the labels of what was told as it happened, once."""
        if self._told is None:
            ids = {one for block in self._blocks for one in block.live}
            named = {(self._grains[one], self._labels[one]) for one in ids if one in self._labels}
            self._told = [
                dict(zip(LABELS[grain], values, strict=True)) for grain, values in sorted(named)
            ]
        return self._told

    def before(
        self, grain: str, until_ms: int, ids: Sequence[int], names: Sequence[str]
    ) -> dict[tuple[int, str], float]:
        """Return what series had counted in all windows that ended by then."""
        early = self.rows(grain, 0, until_ms)
        known, places = np.unique(early.ids, return_inverse=True)
        sums = np.zeros((len(known), len(COLUMNS)))
        np.add.at(sums, places, early.sums)
        rest = dict(zip(known.tolist(), sums, strict=True))
        columns = [COLUMNS.index(name) for name in names]
        found = {}
        for one in ids:
            total = self._base[one] + rest[one] if one in rest else self._base[one]
            for name, column in zip(names, columns, strict=True):
                found[one, name] = float(total[column])
        return found

    def _read(self, db: Db, from_ms: int, until_ms: int) -> list[MinuteWindows]:
        bound = {
            "tenant": self._tenant, "grains": list(LABELS), "from": _instant(from_ms),
            "until": _instant(until_ms),
        }  # fmt: skip
        with db.cursor(binary=True) as cursor:
            rows = cursor.execute(_ROWS, bound).fetchall()
        by_end: dict[int, list[tuple[object, ...]]] = {}
        for row in rows:
            by_end.setdefault(row[0], []).append(row)
        return [_block(end_ms, some) for end_ms, some in by_end.items()]

    def _name(self, db: Db, ids: Iterable[int]) -> None:
        for series_id, grain, *values in db.execute(_NAMES, [list(ids)]):
            named = dict(zip(_FIELDS, values, strict=True))
            self._grains[series_id] = grain
            self._labels[series_id] = tuple(named[name] for name in LABELS[grain])

    def _let_go(self, since_ms: int) -> None:
        while self._blocks and self._blocks[0].end_ms <= since_ms:
            gone = self._blocks.pop(0)
            for series_id, sums in zip(gone.ids.tolist(), gone.sums, strict=True):
                if series_id in self._base:
                    self._base[series_id] = self._base[series_id] + sums
        self._since_ms = max(self._since_ms, since_ms)
        here = {one for block in self._blocks for one in block.ids.tolist()}
        for known in (self._base, self._grains, self._labels):
            for one in known.keys() - here:
                del known[one]

    def _all(self, grain: str) -> WindowRows:
        if grain not in self._whole:
            self._whole[grain] = self._joined(grain)
        return self._whole[grain]

    def _joined(self, grain: str) -> WindowRows:
        blocks = self._blocks
        if not blocks:
            none = np.zeros(0, np.int64)
            return WindowRows(none, none, np.zeros((0, len(COLUMNS))), np.zeros(0, np.object_))
        ids = np.concatenate([one.ids for one in blocks])
        ends = np.repeat([one.end_ms for one in blocks], [len(one.ids) for one in blocks])
        latency = np.concatenate([one.latency for one in blocks])
        of_grain = np.array([one for one, name in self._grains.items() if name == grain], np.int64)
        mask = np.isin(ids, of_grain)
        order = np.flatnonzero(mask)[np.lexsort((ends[mask], ids[mask]))]
        sums = np.concatenate([one.sums for one in blocks])[order]
        return WindowRows(ids[order], ends[order], sums, latency[order])


def _block(end_ms: int, rows: Sequence[Sequence[object]]) -> MinuteWindows:
    latency = np.empty(len(rows), np.object_)
    for place, row in enumerate(rows):
        if isinstance(row[-2], bytes) and row[-2]:
            latency[place] = from_bytes(row[-2])
    return MinuteWindows(
        end_ms,
        frozenset(int(str(row[1])) for row in rows if row[-1]),
        np.array([row[1] for row in rows], dtype=np.int64),
        np.array([row[2:-2] for row in rows], dtype=np.float64),
        latency,
    )


def _instant(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1_000, tz=UTC)
