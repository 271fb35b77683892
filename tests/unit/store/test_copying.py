"""Raw rows in COPY's binary form: read back field by field, they are what they were."""

import struct
from collections.abc import Iterator, Sequence
from typing import Final

import pytest

from analytics.measures.rows import RawRow
from streams.store import columns, copy
from streams.store.columns import instant
from tests.support.facts import T0_MS
from tests.support.outcomes import raw

SIGNATURE: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
NUMBERS: Final = {"timestamptz": ">q", "int8": ">q", "int2": ">h", "int4": ">i", "bool": ">?"}
KINDS: Final = dict(columns.EVENTS)


def _written(rows: Sequence[RawRow]) -> bytes:
    return b"".join(copy.events(rows, received_ms=T0_MS, log_id=3, partition=7))


def _read(data: bytes) -> Iterator[dict[str, object]]:
    """Read rows as PostgreSQL would."""
    assert data.startswith(SIGNATURE)
    at = len(SIGNATURE)
    while (count := struct.unpack_from(">h", data, at)[0]) != -1:
        at += 2
        assert count == len(copy.COLUMNS)
        row: dict[str, object] = {}
        for name in copy.COLUMNS:
            (length,) = struct.unpack_from(">i", data, at)
            at += 4
            field = None if length == -1 else data[at : at + length]
            at += max(length, 0)
            row[name] = None if field is None else _value(KINDS[name], field)
        yield row
    assert at + 2 == len(data)


def _value(kind: str, field: bytes) -> object:
    if kind == "text":
        return field.decode()
    if kind == "jsonb":
        return field
    (value,) = struct.unpack(NUMBERS[kind], field)
    return value


def test_every_column_of_a_raw_row_is_written_once() -> None:
    assert sorted(copy.COLUMNS) == sorted(KINDS)


def test_rows_read_back_are_what_they_were() -> None:
    rows = [
        raw(0, duration_ms=None, cost_nanousd=None),
        raw(1, duration_ms=7, cost_nanousd=2**62, failed=True, project="ä" * 300, tool="Bash"),
        raw(2, session="s2", payload=b'{"a":1}'),
    ]

    found = list(_read(_written(rows)))

    for row, said in zip(rows, found, strict=True):
        assert said == {
            **{name: getattr(row, name) for name in copy.TEXTS},
            "id": row.id,
            "received_at": instant(T0_MS),
            "at": instant(row.at_ms),
            "duration_ms": row.duration_ms,
            "cost_nanousd": row.cost_nanousd,
            "failed": row.failed,
            "log_id": 3,
            "partition": 7,
            "log_offset": row.offset,
            "payload": b"\x01" + row.payload,
        }


def test_rows_of_several_blocks_follow_each_other() -> None:
    rows = [raw(offset) for offset in range(2 * copy.BLOCK_ROWS + 1)]

    blocks = list(copy.events(rows, received_ms=T0_MS, log_id=3, partition=7))

    assert len(blocks) == 5
    assert [row["log_offset"] for row in _read(b"".join(blocks))] == list(range(len(rows)))


@pytest.mark.parametrize(
    ("row", "error"),
    [(raw(0, cost_nanousd=2**63), struct.error), (raw(0, project="\ud800"), UnicodeEncodeError)],
)
def test_a_value_that_no_column_holds_is_refused(row: RawRow, error: type[Exception]) -> None:
    with pytest.raises(error):
        _written([row])
