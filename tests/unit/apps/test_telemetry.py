"""A log line is one record: its text, then its fields."""

import logging

import pytest

from apps.runtime.logging import FORMAT, VALUE_LENGTH_MAX, FieldsFormatter


def _line(**fields: object) -> str:
    record = logging.makeLogRecord({"msg": "breaker opened", "levelname": "WARNING", **fields})
    return FieldsFormatter("%(levelname)s %(message)s").format(record)


def test_fields_follow_the_text() -> None:
    assert _line(backend="a", failures=3) == "WARNING breaker opened backend=a failures=3"


def test_a_record_without_fields_is_its_text() -> None:
    assert _line() == "WARNING breaker opened"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("two words", '"two words"'),
        ("a\nWARNING forged", '"a\\nWARNING forged"'),
        ('say "x"', '"say \\"x\\""'),
        ("", '""'),
        (None, "None"),
    ],
)
def test_a_value_can_neither_break_nor_forge_a_line(value: object, shown: str) -> None:
    assert _line(reason=value) == f"WARNING breaker opened reason={shown}"


def test_a_value_has_a_limit() -> None:
    assert len(_line(reason="x" * 10_000)) < VALUE_LENGTH_MAX + 100


def test_the_format_says_when_how_grave_and_who() -> None:
    assert all(part in FORMAT for part in ("asctime", "levelname", "name"))
