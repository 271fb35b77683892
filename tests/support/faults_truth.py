"""What the store must hold after a run with faults, counted plainly, and every difference in words.

The sender's own notes are the truth: which events it made, and which were acknowledged. An event
that never was may be in the store or not, but once at most; so sums are those of the events whose
raw rows are there, and every acknowledged one has to be among them.
"""

import struct
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping
from math import ceil, log2
from typing import Final, TypeVar

import psycopg
from msgspec import Struct
from psycopg.rows import TupleRow

from tests.support.faults_events import Known

WIDTHS_MS: Final = {"window_10s": 10_000, "window_1m": 60_000}
"""The tables of the widths that the stream folds itself."""
MEASURED: Final = (
    "events", "prompts", "calls", "input_tokens", "output_tokens", "cost_nanousd",
    "latency_sum_ms", "latency_count", "tool_calls", "tool_errors", "lines_added",
)  # fmt: skip
SHOWN_MAX: Final = 20
_PAIR: Final = struct.Struct("<hI")

K = TypeVar("K", bound=Hashable)
Windows = Counter[tuple["Series", int, str | tuple[str, int]]]
"""Sums by series, start and measure; a sketch's by bucket."""
Db = psycopg.Connection[TupleRow]
Series = tuple[str, str, str, str, str, str, str, str, str]
"""tenant, grain, project, session, agent, model, tool, skill and query source."""


class Found(Struct, frozen=True, kw_only=True):
    """How a store compares with the truth; `wrong` is empty when it is as it must be."""

    sent: int
    acknowledged: int
    stored: int
    lost: int
    doubled: int
    windows: int
    """Windows (a series over one width and start) that were compared, all widths together."""
    windows_wrong: int
    sessions: int
    wrong: tuple[str, ...]


def compare(known: Mapping[str, Known], acknowledged: set[str], store_url: str) -> Found:
    """Compare what was sent with what the store holds."""
    with psycopg.connect(store_url, autocommit=True) as db:
        return compared(known, acknowledged, db)


def compared(known: Mapping[str, Known], acknowledged: set[str], db: Db) -> Found:
    """Compare what was sent with what the store of this connection holds."""
    rows = Counter(str(name) for (name,) in db.execute(_ROWS))
    lost = acknowledged - rows.keys()
    doubled = {name: count for name, count in rows.items() if count > 1}
    present = {name: known[name] for name in rows if name in known}
    wrong = [
        *(f"event {name!r} was acknowledged and is not stored" for name in sorted(lost)),
        *(f"event {name!r} is stored {count} times" for name, count in sorted(doubled.items())),
        *(f"event {name!r} was never sent" for name in rows if name not in known),
    ]
    windows, unequal = 0, 0
    for table, width_ms in WIDTHS_MS.items():
        truth, found = windows_of(present, width_ms), stored(db, table)
        windows += len({key[:2] for key in truth})
        unequal += len({key[:2] for key in different(truth, found)})
        wrong += differences(table, truth, found)
    sessions = _sessions(present)
    wrong += differences("session", sessions, _stored_sessions(db))
    return Found(
        sent=len(known),
        acknowledged=len(acknowledged),
        stored=sum(rows.values()),
        lost=len(lost),
        doubled=len(doubled),
        windows=windows,
        windows_wrong=unequal,
        sessions=len({key[0] for key in sessions}),
        wrong=tuple(wrong[:SHOWN_MAX]),
    )


def there(known: Mapping[str, Known], store_url: str) -> dict[str, Known]:
    """Return those of the events that are in the store."""
    with psycopg.connect(store_url, autocommit=True) as db:
        return {name: known[name] for (name,) in db.execute(_ROWS) if name in known}


_ROWS: Final = """
select id from events
 where type in ('prompt.submitted', 'request.finished', 'tool.finished')
"""
_DIMENSIONS: Final = "tenant, grain, project, session_id, agent, model, tool, skill, query_source"
_SUMS: Final = ", ".join(f"coalesce(sum({name}), 0)::int8" for name in MEASURED)


def windows_of(known: Mapping[str, Known], width_ms: int) -> Windows:
    """Return the sums of one width."""
    counts: Windows = Counter()
    for one in known.values():
        if not one.counts_at(width_ms):
            continue
        start_ms = one.at_ms - one.at_ms % width_ms
        for series in _series(one):
            for name, amount in one.adds.items():
                counts[series, start_ms, name] += amount
            if one.adds.get("latency_count"):
                bucket = ceil(log2(one.adds["latency_sum_ms"]) * 32) - 1
                counts[series, start_ms, ("latency", bucket)] += 1
    return counts


def _series(one: Known) -> tuple[Series, Series]:
    fleet = (
        one.tenant, "fleet", one.project, "", one.agent, one.model, one.tool, one.skill,
        one.query_source,
    )  # fmt: skip
    own = (
        one.tenant, "session", one.project, one.session_id, one.agent, one.model, "", "", "",
    )  # fmt: skip
    return fleet, own


def stored(db: Db, table: str) -> Windows:
    """Return the sums of a table's rows, whichever partition they are of and when they came."""
    counts: Windows = Counter()
    query = (
        f"select {_DIMENSIONS}, (extract(epoch from start_at) * 1000)::int8, {_SUMS},"
        f" array_agg(latency) from {table} join series using (series_id)"
        f" where grain in ('fleet', 'session') group by {_DIMENSIONS}, start_at"
    )
    for row in db.execute(query.encode()):
        series: Series = tuple(map(str, row[:9]))  # type: ignore[assignment]  # nine columns
        start_ms, *sums, sketches = row[9:]
        for name, amount in zip(MEASURED, sums, strict=True):
            counts[series, start_ms, name] += amount
        for sketch in sketches:
            for bucket, count in _PAIR.iter_unpack(sketch):
                counts[series, start_ms, ("latency", bucket)] += count
    return counts


def _sessions(known: Mapping[str, Known]) -> Counter[tuple[tuple[str, str], str]]:
    counts: Counter[tuple[tuple[str, str], str]] = Counter()
    for one in known.values():
        for name, amount in one.adds.items():
            counts[(one.tenant, one.session_id), name] += amount
    return counts


def _stored_sessions(db: Db) -> Counter[tuple[tuple[str, str], str]]:
    counts: Counter[tuple[tuple[str, str], str]] = Counter()
    sums = ", ".join(MEASURED)
    for tenant, session_id, *amounts in db.execute(
        f"select tenant, session_id, {sums} from sessions where events > 0".encode()
    ):
        for name, amount in zip(MEASURED, amounts, strict=True):
            counts[(tenant, session_id), name] += amount
    return counts


def differences(what: str, expected: Counter[K], found: Counter[K]) -> Iterator[str]:
    """Say what differs, in words."""
    for key in different(expected, found):
        yield f"{what} {key}: expected {expected[key]}, found {found[key]}"


def different(expected: Counter[K], found: Counter[K]) -> list[K]:
    """Return the keys whose counts differ."""
    return [key for key in expected.keys() | found.keys() if expected[key] != found[key]]
