"""Rows made fit for PostgreSQL."""

import json

from hypothesis import given
from hypothesis import strategies as st

from streams.store import storable

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(values)
def test_what_postgresql_can_hold_stays_as_it_was(value: object) -> None:
    payload = json.dumps(value)
    if "\\u0000" in payload or "\\ud" in payload or "Infinity" in payload:
        return

    assert json.loads(storable.payload(payload.encode())) == value


@given(values)
def test_nothing_that_comes_out_holds_what_postgresql_refuses(value: object) -> None:
    fit = storable.payload(json.dumps(value).encode())

    assert b"\\u0000" not in fit.replace(b"\\\\", b"")
    assert b"Infinity" not in fit or b'"' in fit
    assert json.loads(fit) is not Ellipsis


@given(st.text(st.characters(codec=None)))
def test_a_text_loses_only_what_cannot_be_stored(value: str) -> None:
    fit = storable.text(value)

    assert len(fit) == len(value)
    assert "\x00" not in fit
    assert fit.encode().decode() == fit


def test_a_payload_that_is_no_json_becomes_an_object_with_its_text() -> None:
    assert json.loads(storable.payload(b"\xff{")) == {"unreadable": "\ufffd{"}


def test_a_number_beyond_every_range_becomes_text() -> None:
    digits = b"9" * 400

    assert json.loads(storable.payload(b"[1e999999," + digits + b"]")) == [
        "1e999999",
        digits.decode(),
    ]
