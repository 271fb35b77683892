"""Connections for whoever only reads: the dashboard, `doctor`, `tail`.

A query is refused the right to write and is cut off after `STATEMENT_TIMEOUT_MS`, so that no page
can harm the stream. All queries of one transaction see the same moment. The pool is bounded and
safe to share between threads; a caller waits for a connection a few seconds at most and then learns
that the store is away.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from psycopg import Connection
from psycopg.rows import TupleRow
from psycopg_pool import ConnectionPool

from streams.clients.errors import checked_url, mapped

STATEMENT_TIMEOUT_MS: Final = 5_000
CONNECT_TIMEOUT_S: Final = 3
SILENCE_S: Final = 10
SORT_MEMORY_MB: Final = 16
"""What one sort or grouping may hold before it goes to disk; compiling queries costs more than it
gains on ones as short as these."""
WAITING_MAX: Final = 200
"""Callers that may wait for a connection at once."""

Db = Connection[TupleRow]


class Reader:
    """A bounded pool of read-only connections, opened on first use."""

    def __init__(
        self,
        url: str,
        *,
        size_max: int = 4,
        wait_s: float = 5.0,
        statement_timeout_ms: int = STATEMENT_TIMEOUT_MS,
    ) -> None:
        limits = {
            "default_transaction_read_only": "on",
            "default_transaction_isolation": r"repeatable\ read",
            "statement_timeout": statement_timeout_ms,
            "idle_in_transaction_session_timeout": statement_timeout_ms * 2,
            "timezone": "UTC",
            "work_mem": f"{SORT_MEMORY_MB}MB",
            "jit": "off",
        }
        self._pool: ConnectionPool[Db] = ConnectionPool(
            checked_url(url),
            connection_class=Connection[TupleRow],
            kwargs={
                "options": " ".join(f"-c {name}={value}" for name, value in limits.items()),
                "application_name": "mainstem reader",
                "connect_timeout": CONNECT_TIMEOUT_S,
                "keepalives_idle": SILENCE_S,
                "tcp_user_timeout": SILENCE_S * 1_000,
            },
            check=ConnectionPool.check_connection,
            min_size=0,
            max_size=size_max,
            max_waiting=WAITING_MAX,
            timeout=wait_s,
            open=False,
            name="store-reader",
        )

    @contextmanager
    def connection(self, doing: str = "a query") -> Iterator[Db]:
        """Give a connection in a read-only transaction; raise `StoreAway`."""
        with mapped(doing):
            self._pool.open()
            with self._pool.connection() as db:
                yield db

    def close(self) -> None:
        """Close all connections; the reader cannot be used again."""
        self._pool.close()
