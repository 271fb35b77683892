"""Connections for the worker: a bounded pool that reconnects by itself.

Every connection has time limits of its own, for a statement, a lock and a transaction left idle,
and notices within `SILENCE_S` that the other side is gone.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from psycopg import AsyncConnection, generators
from psycopg.rows import TupleRow
from psycopg_pool import AsyncConnectionPool

from streams.clients.errors import checked_url
from streams.store.composite import EncodedRows, RowsDumper

Db = AsyncConnection[TupleRow]
Pool = AsyncConnectionPool[Db]

CONNECT_TIMEOUT_S: Final = 5
SILENCE_S: Final = 10
WAITING_MAX: Final = 1_000
"""Callers that may wait for a connection at once."""


@asynccontextmanager
async def opened(
    url: str,
    *,
    size_max: int = 4,
    statement_timeout_ms: int = 30_000,
    wait_s: float = 10.0,
) -> AsyncIterator[Pool]:
    """Open a pool, whether or not the store answers yet, and close it in the end."""
    pool: Pool = AsyncConnectionPool(
        checked_url(url),
        connection_class=AsyncConnection[TupleRow],
        kwargs=_settings(statement_timeout_ms),
        configure=_configure,
        min_size=1,
        max_size=size_max,
        max_waiting=WAITING_MAX,
        timeout=wait_s,
        open=False,
        name="store",
    )
    await pool.open(wait=False)
    try:
        yield pool
    finally:
        await pool.close(timeout=CONNECT_TIMEOUT_S)


@asynccontextmanager
async def pipelined(db: Db, *, commit: bool = False) -> AsyncIterator[None]:
    """Send what is asked within without waiting for answers; have them in the end.

    psycopg 3.3 stops writing once it has handed its last statement to libpq, and then only reads:
    what the kernel had no room for would never leave, and both sides would wait for ever. So all is
    handed to the kernel first.
    """
    async with db.pipeline():
        yield
        await db.wait(generators.send(db.pgconn))
        if commit:
            await db.commit()


async def _configure(db: Db) -> None:
    db.adapters.register_dumper(EncodedRows, RowsDumper)


def _settings(statement_timeout_ms: int) -> dict[str, str | int]:
    limits = {
        "statement_timeout": statement_timeout_ms,
        "lock_timeout": statement_timeout_ms // 3,
        "idle_in_transaction_session_timeout": statement_timeout_ms * 2,
        "client_min_messages": "warning",
        "timezone": "UTC",
    }
    return {
        "options": " ".join(f"-c {name}={value}" for name, value in limits.items()),
        "application_name": "mainstem worker",
        "connect_timeout": CONNECT_TIMEOUT_S,
        "keepalives_idle": SILENCE_S,
        "keepalives_interval": 2,
        "keepalives_count": 3,
        "tcp_user_timeout": SILENCE_S * 1_000,
    }
