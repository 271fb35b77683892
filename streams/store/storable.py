"""Rows made fit for PostgreSQL, which refuses some texts and JSON that are valid elsewhere.

Its text holds no NUL character, its jsonb no NUL or lone surrogate either, and no number beyond its
range; its integers have 64 bits. Such a value is rare, so rows are tried as they are; only a batch
that was refused goes through here, where what cannot be held is replaced (U+FFFD for a character,
text for a number in JSON, the nearest bound for a sum) and everything else stays as it was. Thus no
event can make a partition stick.
"""

import json
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from analytics.contracts import clean
from analytics.contracts.cloudevents import Record
from analytics.measures.rows import BatchOutcome
from streams.store.checkpoint import DeadLetter

INTEGER_MAX: Final = 2**63 - 1
DIGITS_MAX: Final = 300
"""Digits of a number that is kept as one; a longer one becomes text."""


def text(value: str) -> str:
    """Return `value` without what PostgreSQL's text cannot hold."""
    return clean.text(value)


def payload(value: bytes) -> bytes:
    """Return JSON that jsonb takes; what is no JSON at all becomes a text in an object."""
    try:
        read = json.loads(value, parse_float=_real, parse_int=_whole, parse_constant=str)
        return json.dumps(_clean(read), ensure_ascii=False, separators=(",", ":")).encode()
    except (ValueError, RecursionError):
        return json.dumps({"unreadable": text(value.decode("utf-8", "replace"))}).encode()


def outcome(value: BatchOutcome) -> BatchOutcome:
    """Return the outcome with every text and payload made fit."""
    return msgspec.structs.replace(
        value,
        raw=tuple(
            msgspec.structs.replace(_fit(row), payload=payload(row.payload)) for row in value.raw
        ),
        cells=tuple(
            msgspec.structs.replace(row, key=_fit(row.key), measures=_fit(row.measures))
            for row in value.cells
        ),
        sessions=tuple(
            msgspec.structs.replace(_fit(row), totals=_fit(row.totals)) for row in value.sessions
        ),
        seen=tuple(_fit(row) for row in value.seen),
        apart=tuple(_fit(row) for row in value.apart),
        limited=tuple(_fit(row) for row in value.limited),
    )


def dead_letters(values: Sequence[DeadLetter]) -> list[DeadLetter]:
    """Return dead letters with every text made fit; the payload is bytes and stays."""
    return [_fit(dead_letter) for dead_letter in values]


def records(values: Sequence[Record]) -> list[Record]:
    """Return records with their topic made fit; key, value and headers are bytes and stay."""
    return [_fit(record) for record in values]


def _fit(row: Any) -> Any:  # noqa: ANN401  (any of our structs in, the same kind out)
    changed: dict[str, str | int] = {}
    for field in row.__struct_fields__:
        value = getattr(row, field)
        if type(value) is str and (fit := text(value)) != value:
            changed[field] = fit
        elif type(value) is int and abs(value) > INTEGER_MAX:
            changed[field] = INTEGER_MAX if value > 0 else -INTEGER_MAX
    return msgspec.structs.replace(row, **changed) if changed else row


def _clean(value: object) -> object:
    if isinstance(value, str):
        return text(value)
    if isinstance(value, list):
        return [_clean(item) for item in value]
    if isinstance(value, dict):
        return {text(name): _clean(item) for name, item in value.items()}
    return value


def _real(digits: str) -> float | str:
    value = float(digits)
    return value if abs(value) != float("inf") else digits


def _whole(digits: str) -> int | str:
    return int(digits) if len(digits) <= DIGITS_MAX else digits
