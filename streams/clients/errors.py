"""What a database error means to the rest of Mainstem.

A store that cannot be reached, refuses for want of resources, cancels a statement or loses the
connection is `StoreAway`: the same work may succeed later. A schema that is not there yet says to
migrate. No message holds a password: PostgreSQL's own texts name host, port and role only.
"""

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import psycopg
from psycopg import errors
from psycopg_pool import PoolClosed, PoolTimeout, TooManyRequests

from analytics.contracts.errors import BadSetting, Refused, StoreAway


class Unstorable(Refused):
    """A value that PostgreSQL cannot hold, such as a NUL character in a text."""

    code = "unstorable"


_AWAY: Final = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    errors.ReadOnlySqlTransaction,
    errors.IdleInTransactionSessionTimeout,  # this process was stopped for a while
    errors.TransactionTimeout,
    errors.CheckViolation,  # a partition was made of what a default one held, while it was waited
    PoolTimeout,
    PoolClosed,
    TooManyRequests,
    TimeoutError,
)
_UNMIGRATED: Final = (
    errors.UndefinedTable,
    errors.UndefinedColumn,
    errors.UndefinedFunction,
    errors.UndefinedObject,
)


@contextmanager
def mapped(doing: str) -> Iterator[None]:
    """Raise our own error for a database's, saying what was being done."""
    try:
        yield
    except _UNMIGRATED as error:
        raise StoreAway(
            f"the store is not ready for {doing} ({first_line(error)}): run `mainstem migrate`"
        ) from error
    except errors.InsufficientPrivilege as error:
        raise StoreAway(
            f"the store does not let this role do {doing}: give a URL of one that may write"
        ) from error
    except _AWAY as error:
        raise StoreAway(f"the store did not do {doing}: {first_line(error)}") from error
    except (psycopg.DataError, UnicodeEncodeError, OverflowError, struct.error) as error:
        raise Unstorable(f"the store refused a value in {doing}: {first_line(error)}") from error


def checked_url(url: str) -> str:
    """Return `url` if it can be one of PostgreSQL's; raise `BadSetting` without quoting it."""
    try:
        psycopg.conninfo.conninfo_to_dict(url)
    except psycopg.ProgrammingError as error:
        raise BadSetting(
            "the store's URL cannot be read: write postgresql://USER:PASSWORD@HOST:PORT/DATABASE"
        ) from error
    return url


def first_line(error: BaseException) -> str:
    """Return the first line of what an error says, or its kind where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
