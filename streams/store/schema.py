"""Numbered SQL migrations: what is due, applied once, in order, by one runner at a time.

A file is `NNNN_name.sql` (every level) or `NNNN_name.VARIANT.sql` (only where the level has it, see
`levels`). A database that gained a level gets the variants it now allows at the next start. Each
file is one transaction with the row that records it; a file that begins with `-- no-transaction`
holds one statement that is safe to repeat. A file that changed after it was applied is an error.
A database that is ahead of this program is left alone: schemas only ever expand. One whose server
lost an edition that its tables were made for is refused.
"""

import hashlib
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import resources
from typing import Final

import psycopg
from msgspec import Struct
from psycopg import Connection, errors
from psycopg.rows import TupleRow
from psycopg.sql import SQL

from analytics.contracts.errors import Refused, StoreAway
from streams.clients.errors import checked_url, first_line, mapped
from streams.store import levels, partitions
from streams.store.levels import Level

LOCK_KEY: Final = 0x4D41494E
"""The advisory lock of the runner ("MAIN")."""
RUNNER_WAIT_S: Final = 120
LOCK_TIMEOUT_S: Final = 5
ATTEMPTS: Final = 5
CONNECT_TIMEOUT_S: Final = 10
_NO_TRANSACTION: Final = "-- no-transaction"
CHECKPOINT: Final = """
create table if not exists schema_migrations (
    version int not null,
    level text not null,
    name text not null,
    checksum text not null,
    applied_at timestamptz not null default now(),
    primary key (version, level)
)
"""
RECORD: Final = """
insert into schema_migrations (version, level, name, checksum) values (%s, %s, %s, %s)
"""


class ChangedMigration(Refused):
    """A migration's file is not what it was when the store applied it."""

    code = "changed-migration"


class Migration(Struct, frozen=True, kw_only=True):
    """One file: its number, name, the variant it is for (empty: every level) and its text."""

    version: int
    name: str
    variant: str
    sql: str

    @property
    def label(self) -> str:
        """The file's name without its ending."""
        return f"{self.version:04d}_{self.name}" + (f".{self.variant}" if self.variant else "")

    @property
    def checksum(self) -> str:
        """The digest of the file's text, whatever its line ends."""
        return hashlib.sha256(self.sql.replace("\r\n", "\n").encode()).hexdigest()


class State(Struct, frozen=True, kw_only=True):
    """Where a store stands: its level, its version, and what was applied or is due."""

    level: Level
    version: int
    applied: tuple[str, ...] = ()
    due: tuple[str, ...] = ()


def shipped() -> tuple[Migration, ...]:
    """Return the migrations that come with this program, in order."""
    folder = resources.files("streams.store").joinpath("migrations")
    return read((entry.name, entry.read_text("utf-8")) for entry in folder.iterdir())


def read(files: Iterator[tuple[str, str]]) -> tuple[Migration, ...]:
    """Return migrations from their file names and texts, in the order they apply."""
    found = []
    for file, text in files:
        if not file.endswith(".sql"):
            continue
        number, _, rest = file.removesuffix(".sql").partition("_")
        name, _, variant = rest.partition(".")
        found.append(Migration(version=int(number), name=name, variant=variant, sql=text))
    return tuple(sorted(found, key=lambda one: (one.version, one.variant)))


def migrate(url: str, *, migrations: Sequence[Migration] | None = None) -> State:
    """Bring the store up to date and return what was done; safe to call at every start."""
    known = shipped() if migrations is None else migrations
    with mapped("migration"), _connected(url) as db, _alone(db):
        db.execute(CHECKPOINT)
        if not _applied(db):
            levels.offer_timescaledb(db)
        level = levels.detect(db)
        levels.check_kept(level, {variant for _, variant in _applied(db)})
        due = _due(db, known, level)
        for migration in due:
            _apply(db, migration)
        if migrations is None:
            partitions.care(db, level, now_ms=time.time_ns() // 1_000_000)
        version = max((number for number, _ in _applied(db)), default=0)
        return State(level=level, version=version, applied=tuple(one.label for one in due))


def check(url: str) -> State:
    """Return what is due, and change nothing."""
    with mapped("a look at its migrations"), _connected(url) as db:
        level = levels.detect(db)
        due = _due(db, shipped(), level)
        version = max((number for number, _ in _applied(db)), default=0)
        return State(level=level, version=version, due=tuple(one.label for one in due))


@contextmanager
def _connected(url: str) -> Iterator[Connection[TupleRow]]:
    db = psycopg.connect(
        checked_url(url),
        autocommit=True,
        connect_timeout=CONNECT_TIMEOUT_S,
        application_name="mainstem migrate",
    )
    with db:
        yield db


@contextmanager
def _alone(db: Connection[TupleRow]) -> Iterator[None]:
    """Hold the runners' lock; whoever comes second waits and then finds nothing left to do."""
    db.execute(SQL("set lock_timeout = '{}s'").format(RUNNER_WAIT_S))
    try:
        db.execute("select pg_advisory_lock(%s)", [LOCK_KEY])
    except errors.LockNotAvailable as error:
        raise StoreAway(
            f"another migration has been running for {RUNNER_WAIT_S} s: wait for it or end it"
        ) from error
    db.execute(SQL("set lock_timeout = '{}s'").format(LOCK_TIMEOUT_S))
    try:
        yield
    finally:
        if not db.broken:
            db.execute("select pg_advisory_unlock(%s)", [LOCK_KEY])


def _applied(db: Connection[TupleRow]) -> dict[tuple[int, str], str]:
    """Return the checksum of every migration that the store has."""
    row = db.execute("select to_regclass('schema_migrations')").fetchone()
    if row is None or row[0] is None:
        return {}
    rows = db.execute("select version, level, checksum from schema_migrations").fetchall()
    return {(version, level): checksum for version, level, checksum in rows}


def _due(
    db: Connection[TupleRow], known: Sequence[Migration], level: Level
) -> tuple[Migration, ...]:
    applied = _applied(db)
    for one in known:
        checksum = applied.get((one.version, one.variant))
        if checksum is not None and checksum != one.checksum:
            raise ChangedMigration(
                f"migration {one.label!r} changed after it was applied to this store: "
                "put the file back as it was, and make the change in a new one"
            )
    wanted = {"", *level.variants}
    return tuple(
        one for one in known if one.variant in wanted and (one.version, one.variant) not in applied
    )


def _apply(db: Connection[TupleRow], migration: Migration) -> None:
    """Run one migration, giving way to others' locks and coming back a bounded number of times."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            _run(db, migration)
        except (errors.LockNotAvailable, errors.DeadlockDetected) as error:
            if attempt == ATTEMPTS:
                raise StoreAway(
                    f"migration {migration.label!r} found its tables locked {ATTEMPTS} times: "
                    "end long transactions and try again"
                ) from error
            time.sleep(2 ** (attempt - 1) * 0.25)
        except psycopg.OperationalError:
            raise
        except psycopg.Error as error:
            raise Refused(f"migration {migration.label!r} failed: {first_line(error)}") from error
        else:
            return


def _run(db: Connection[TupleRow], migration: Migration) -> None:
    record = (migration.version, migration.variant, migration.name, migration.checksum)
    if migration.sql.startswith(_NO_TRANSACTION):
        db.execute(migration.sql.encode())
        db.execute(RECORD, record)
        return
    with db.transaction():
        db.execute(migration.sql.encode())
        db.execute(RECORD, record)
