"""A connection for what a person asks of the store by a command, with time to work."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import psycopg
from psycopg import Connection
from psycopg.rows import TupleRow

from streams.clients.errors import checked_url, mapped

CONNECT_TIMEOUT_S: Final = 10
STATEMENT_TIMEOUT_S: Final = 600

Db = Connection[TupleRow]


@contextmanager
def connected(url: str, doing: str) -> Iterator[Db]:
    """Give a connection without a transaction; raise `StoreAway`."""
    with (
        mapped(doing),
        psycopg.connect(
            checked_url(url),
            autocommit=True,
            connect_timeout=CONNECT_TIMEOUT_S,
            options=f"-c statement_timeout={STATEMENT_TIMEOUT_S * 1000} -c timezone=UTC",
            application_name="mainstem command",
        ) as db,
    ):
        yield db
