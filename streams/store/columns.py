"""The store's wide tables as columns, and our rows as the values of binary statements.

A time is handed over as PostgreSQL has it in binary form, microseconds since 2000, and JSON as the
bytes it already is behind jsonb's version byte, so that no value is converted twice.
"""

from collections.abc import Sequence
from typing import Final

from msgspec import structs
from psycopg.sql import SQL, Composed, Identifier

from analytics.contracts.ids import SessionId, TenantId
from analytics.measures.rows import MEASURES, Measures, SessionRow, SessionState

Value = str | int | bytes | bool | None
Columns = tuple[tuple[str, str], ...]

YEAR_2000_MS: Final = 946_684_800_000
JSONB_VERSION: Final = b"\x01"

EVENTS: Final[Columns] = (
    ("received_at", "timestamptz"),
    ("at", "timestamptz"),
    ("tenant", "text"),
    ("session_id", "text"),
    ("id", "text"),
    ("type", "text"),
    ("source", "text"),
    ("project", "text"),
    ("agent", "text"),
    ("agent_id", "text"),
    ("model", "text"),
    ("tool", "text"),
    ("duration_ms", "int8"),
    ("cost_nanousd", "int8"),
    ("failed", "bool"),
    ("log_id", "int2"),
    ("partition", "int4"),
    ("log_offset", "int8"),
    ("payload", "jsonb"),
)
SUMS: Final[Columns] = tuple((name, "int8") for name in MEASURES)
CELL_KEY: Final[Columns] = (
    ("start_at", "timestamptz"),
    ("series_id", "int8"),
    ("log_id", "int2"),
    ("partition", "int4"),
    ("batch_offset", "int8"),
)
CELL_REST: Final[Columns] = (("latency", "bytea"), ("closed", "bool"))
"""The sketch, which may be empty, and whether the window is closed."""
CELLS: Final[Columns] = (*CELL_KEY, *SUMS, *CELL_REST)
SESSION_FACTS: Final[Columns] = (
    ("tenant", "text"),
    ("session_id", "text"),
    ("project", "text"),
    ("agent", "text"),
    ("version", "text"),
    ("user_name", "text"),
    ("team", "text"),
    ("model", "text"),
    ("state", "text"),
    ("state_since", "timestamptz"),
    ("attention", "text"),
    ("started_at", "timestamptz"),
    ("last_at", "timestamptz"),
    ("ended_at", "timestamptz"),
    ("first_prompt", "text"),
)
SESSION_REST: Final[Columns] = (("latency", "bytea"),)
SESSIONS: Final[Columns] = (*SESSION_FACTS, *SUMS, *SESSION_REST)


def sums_of(measures: Measures) -> tuple[int, ...]:
    """Return all sums of some measures, in the order of their columns."""
    return structs.astuple(measures)


def read(listed: Columns, *, of: str) -> Composed:
    """Return the columns of one table for a select list, with times as milliseconds."""
    return SQL(", ").join(
        SQL("(extract(epoch from {}) * 1000)::int8" if kind == "timestamptz" else "{}").format(
            Identifier(of, name)
        )
        for name, kind in listed
    )


def instant(at_ms: int) -> int:
    """Return a time as PostgreSQL's binary form has it."""
    return (at_ms - YEAR_2000_MS) * 1_000


def session_of(values: Sequence[object]) -> SessionRow:
    """Return the session that a row of `read(SESSIONS)` holds."""
    fields = dict(zip((name for name, _ in SESSIONS), values, strict=True))
    text = {name: str(fields[name]) for name, kind in SESSIONS if kind == "text"}
    times = {name: _count(fields[name]) for name, kind in SESSIONS if kind == "timestamptz"}
    return SessionRow(
        tenant=TenantId(text["tenant"]),
        session_id=SessionId(text["session_id"]),
        project=text["project"],
        agent=text["agent"],
        version=text["version"],
        user=text["user_name"],
        team=text["team"],
        model=text["model"],
        state=SessionState(text["state"]),
        state_since_ms=times["state_since"] or 0,
        attention=text["attention"],
        started_ms=times["started_at"] or 0,
        last_ms=times["last_at"] or 0,
        ended_ms=times["ended_at"],
        first_prompt=text["first_prompt"],
        totals=measures_of([fields[name] for name in MEASURES]),
        latency=_bytes(fields["latency"]),
    )


def measures_of(values: Sequence[object]) -> Measures:
    """Return measures from their columns' values."""
    return Measures(*(_count(value) or 0 for value in values))


def _count(value: object) -> int | None:
    assert value is None or isinstance(value, int), value
    return value


def _bytes(value: object) -> bytes:
    assert isinstance(value, bytes), value
    return value
