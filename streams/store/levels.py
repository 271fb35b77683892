"""What the store at hand can do: plain PostgreSQL, or TimescaleDB in one of its two editions.

The level is read from the database at every start, never assumed; the same tables hold the same
answers at all of them.
"""

from collections.abc import Set
from enum import StrEnum
from typing import Final

import psycopg
from psycopg import Connection, errors
from psycopg.rows import TupleRow

from analytics.contracts.errors import Refused


class LevelLost(Refused):
    """The server no longer has what the tables of this store need."""

    code = "level-lost"


class Level(StrEnum):
    """What the store can do."""

    POSTGRESQL = "postgresql"
    TIMESCALEDB_APACHE = "timescaledb-apache"
    TIMESCALEDB_COMMUNITY = "timescaledb-community"

    @property
    def variants(self) -> tuple[str, ...]:
        """The migration variants that apply here, beside those for every level."""
        return _VARIANTS[self]

    @property
    def has_hypertables(self) -> bool:
        """Whether time tables are hypertables, else native partitions."""
        return self is not Level.POSTGRESQL

    @property
    def has_policies(self) -> bool:
        """Whether the database refreshes rollups, and converts and drops chunks, by itself."""
        return self is Level.TIMESCALEDB_COMMUNITY


_VARIANTS: Final = {
    Level.POSTGRESQL: ("postgresql",),
    Level.TIMESCALEDB_APACHE: ("timescaledb",),
    Level.TIMESCALEDB_COMMUNITY: ("timescaledb", "timescaledb-community"),
}


def detect(db: Connection[TupleRow]) -> Level:
    """Return the level of the database that `db` is connected to."""
    if timescaledb_version(db) is None:
        return Level.POSTGRESQL
    row = db.execute("select current_setting('timescaledb.license', true)").fetchone()
    if row is not None and row[0] == "timescale":
        return Level.TIMESCALEDB_COMMUNITY
    return Level.TIMESCALEDB_APACHE


def check_kept(level: Level, variants: Set[str]) -> None:
    """Raise `LevelLost` where tables were made for an edition that the server no longer has."""
    lost = variants - {"", *level.variants, *Level.POSTGRESQL.variants}
    if lost:
        raise LevelLost(
            f"this store was set up for {max(lost)!r} and the server is {str(level)!r} now: "
            "give it that edition back (timescaledb.license = 'timescale' for Community), or move "
            "to an empty store"
        )


def timescaledb_version(db: Connection[TupleRow]) -> str | None:
    """Return the version of the TimescaleDB extension in this database, if it is there."""
    row = db.execute("select extversion from pg_extension where extname = 'timescaledb'").fetchone()
    return None if row is None else str(row[0])


def offer_timescaledb(db: Connection[TupleRow]) -> bool:
    """Create the extension in an empty database where the server has loaded it and we may."""
    row = db.execute(
        "select current_setting('timescaledb.max_background_workers', true) is not null"
        " and exists (select from pg_available_extensions where name = 'timescaledb')"
    ).fetchone()
    if row is None or not row[0]:
        return False
    try:
        db.execute("create extension if not exists timescaledb")
    except (errors.InsufficientPrivilege, psycopg.NotSupportedError):
        return False
    return True
