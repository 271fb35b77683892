"""Rows in PostgreSQL's binary form, read back by a reader of that form."""

import struct
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.contracts.cloudevents import Record
from analytics.measures.rows import MEASURES, Measures
from streams.store import columns, composite, wire
from streams.store.columns import Columns
from streams.store.wire import RowTypes
from tests.support.facts import T0_MS
from tests.support.outcomes import cell, seen, session

TYPES = RowTypes(
    window_row_v2=101,
    session_row_v2=102,
    series_row=103,
    seen_row=104,
    outbox_row=105,
    identity_row=106,
)
BOUND = 2**63 - 1
Field = tuple[int, bytes | None]

sums = st.lists(
    st.one_of(st.just(0), st.integers(-BOUND, BOUND)),
    min_size=len(MEASURES),
    max_size=len(MEASURES),
)


def _read(data: bytes, type_number: int) -> list[list[Field]]:
    """Return the fields of each row, as `array_recv` and `record_recv` would take them."""
    dimensions, nulls, element, count, lower = struct.unpack_from(">iiIii", data)
    assert (dimensions, nulls, element, lower) == (1, 0, type_number, 1)
    at, rows = 20, []
    for _ in range(count):
        (length,) = struct.unpack_from(">i", data, at)
        rows.append(_fields(data[at + 4 : at + 4 + length]))
        at += 4 + length
    assert at == len(data)
    return rows


def _fields(data: bytes) -> list[Field]:
    (count,) = struct.unpack_from(">i", data)
    at, found = 4, list[Field]()
    for _ in range(count):
        kind, length = struct.unpack_from(">Ii", data, at)
        at += 8
        found.append((kind, None if length < 0 else data[at : at + length]))
        at += max(length, 0)
    assert at == len(data)
    return found


def _kinds(listed: Columns) -> list[int]:
    return [composite.OIDS[kind] for _, kind in listed]


def _number(value: bytes | None) -> int:
    return 0 if value is None else int.from_bytes(value, "big", signed=True)


@given(rows=st.lists(st.tuples(sums, st.binary(max_size=20), st.booleans()), max_size=4))
def test_a_cell_is_read_back_as_it_was_and_its_zeros_are_nulls(
    rows: Sequence[tuple[list[int], bytes, bool]],
) -> None:
    cells = [
        cell(measures=Measures(*values), latency=latency, closed=closed, start_ms=T0_MS)
        for values, latency, closed in rows
    ]

    found = _read(wire.cells(TYPES, cells, {one.key: -7 for one in cells}).data, 101)

    for fields, (values, latency, closed) in zip(found, rows, strict=True):
        assert [kind for kind, _ in fields] == _kinds(wire.CELLS)
        told = [value for _, value in fields]
        assert [_number(value) for value in told[:3]] == [columns.instant(T0_MS), -7, -1]
        assert [None if value is None else _number(value) for value in told[3:-2]] == [
            value or None for value in values
        ]
        assert told[-2:] == [latency, bytes([closed])]


def test_rows_of_every_kind_have_the_types_of_their_columns() -> None:
    key = cell().key
    record = Record(topic="t", key=b"k", value=b"v", headers=(("h", b"\xff"),))

    sent = [
        (wire.sessions(TYPES, [session(), session("s2")]), 102, wire.SESSIONS),
        (wire.series(TYPES, [(key, 5)]), 103, wire.SERIES),
        (wire.seen(TYPES, [seen(b""), seen(b"\x00")]), 104, wire.SEEN),
        (wire.outbox(TYPES, [record]), 105, wire.OUTBOX),
    ]

    for rows, number, listed in sent:
        for fields in _read(rows.data, number):
            assert [kind for kind, _ in fields] == _kinds(listed)


def test_an_array_may_be_empty() -> None:
    assert _read(wire.cells(TYPES, [], {}).data, 101) == []


@pytest.mark.parametrize("calls", [2**63, -(2**63) - 1])
def test_a_sum_beyond_64_bits_is_refused(calls: int) -> None:
    one = cell(calls)

    with pytest.raises(struct.error):
        wire.cells(TYPES, [one], {one.key: 1})


def test_a_lone_surrogate_is_refused() -> None:
    with pytest.raises(UnicodeEncodeError):
        wire.sessions(TYPES, [session(first_prompt="\ud800")])
