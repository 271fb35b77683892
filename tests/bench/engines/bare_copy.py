"""The limit with a store: the plain loop, and the raw rows of each poll in one binary COPY."""

import asyncio
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import psycopg
from psycopg.sql import SQL, Identifier

from streams.store import columns
from tests.bench.engines.bare import Got, Windows, consume
from tests.bench.engines.task import Meter, Task, Window, decode

ABOUT: Final = "the bare loop, and a binary COPY of raw rows a poll"
DURABILITY: Final = "keeps raw rows, a transaction a poll"

_COPY: Final = SQL("copy events ({}) from stdin (format binary)").format(
    SQL(", ").join(Identifier(name) for name, _ in columns.EVENTS)
)
_WIRE: Final = {"timestamptz": "int8", "jsonb": "bytea"}
"""What times and JSON are handed over as, so that no value is converted twice."""
_TYPES: Final = [_WIRE.get(kind, kind) for _, kind in columns.EVENTS]


def run(task: Task, meter: Meter) -> Iterable[Window]:
    """Count in a loop, and copy."""
    windows = Windows()
    with psycopg.connect(task.store_url) as db:

        def take(got: Got) -> None:
            for partition, records in got.items():
                windows.add(partition.partition, records)
            with db.cursor() as cursor, cursor.copy(_COPY) as copy:
                copy.set_types(_TYPES)
                for partition, records in got.items():
                    for row in _rows(partition.partition, records):
                        copy.write_row(row)
            db.commit()

        asyncio.run(consume(task, meter, take))
    return windows.closed


def _rows(partition: int, records: Sequence[Any]) -> Iterator[tuple[object, ...]]:
    received = columns.instant(time.time_ns() // 1_000_000)
    for record in records:
        event = decode(record.value)
        yield (
            received, columns.instant(event.at_ms), event.tenant, event.connection_id, event.id,
            "connection.closed", event.source, "", "", "", "", "", event.duration_ms, None, False,
            1, partition, record.offset, b"\x01" + record.value,
        )  # fmt: skip
