"""What senders write, coerced once at the edge: numbers as text, flags as words, times, sizes.

Senders of one fact disagree about types from release to release, so nothing here raises: a value
that cannot be what is asked for is `None`, or empty text. Every text that leaves here fits the
field it is for; what was cut ends in an ellipsis.
"""

import base64
import hashlib
import math
import re
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Final

import msgspec

from analytics.contracts.ids import ID_LENGTH_MAX, SessionId, derived

Value = str | int | float | bool | bytes | None | list["Value"] | dict[str, "Value"]

NAME_LENGTH_MAX: Final = 512
"""Characters a name may have."""
ERROR_LENGTH_MAX: Final = 2_000
"""Characters of an error that are kept."""
COUNT_MAX: Final = 2**62
AT_MS_MAX: Final = 253_402_300_799_999
CUT_MARK: Final = "…"

_NANO: Final = Decimal(1_000_000_000)
_YES: Final = frozenset({"true", "1", "yes", "ok", "success"})
_NO: Final = frozenset({"false", "0", "no", "error", "failure"})
_ENCODER: Final = msgspec.json.Encoder(order="sorted")
_PATH_PARTS: Final = re.compile(r"[\\/]+")


def cut(text: str, length: int) -> str:
    """Return `text`, or its beginning and a mark where it is longer than `length`."""
    return text if len(text) <= length else text[: length - 1] + CUT_MARK


def units(text: str) -> int:
    """Return how long a text is in UTF-16 units, as programs in JavaScript count it."""
    return len(text) + sum(character > "\uffff" for character in text)


def written(value: Value) -> str:
    """Return any value as text: texts as they are, the rest as JSON; nothing is empty text."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    return json_of(value)


def name(value: Value) -> str:
    """Return any value as text that fits a name."""
    text = value if isinstance(value, str) else written(value)
    return text if len(text) <= NAME_LENGTH_MAX else cut(text, NAME_LENGTH_MAX)


def error_text(value: Value, *, whole: bool) -> str:
    """Return an error's text; only its first line unless the sender's contents are kept `whole`."""
    text = written(value)
    if whole:
        return cut(text, ERROR_LENGTH_MAX)
    return cut(text.strip().partition("\n")[0], NAME_LENGTH_MAX // 2)


def count(value: Value) -> int | None:
    """Return a number of things, or `None` where there is none to be read."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int):
        return min(max(value, 0), COUNT_MAX)
    number = real(value)
    return None if number is None else int(min(max(number, 0.0), float(COUNT_MAX)))


def real(value: Value) -> float | None:
    """Return a finite number, or `None` where there is none to be read."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def flag(value: Value) -> bool | None:
    """Return a truth value, written in whatever way, or `None`."""
    if isinstance(value, bool):
        return value
    word = written(value).strip().lower()
    if word in _YES:
        return True
    return False if word in _NO else None


def nanousd(value: Value) -> int | None:
    """Return an amount in USD as 10⁻⁹ USD, exactly as its decimal digits say."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        amount = Decimal(str(value).strip()) * _NANO
    except (InvalidOperation, ValueError):
        return None
    if not amount.is_finite() or amount < 0 or amount > COUNT_MAX:
        return None
    return int(amount.to_integral_value())


def epoch_ms(nanos: int) -> int:
    """Return nanoseconds since 1970 as milliseconds that an event can hold."""
    return min(max(nanos // 1_000_000, 0), AT_MS_MAX)


def moment_ms(value: Value) -> int | None:
    """Return the instant that an ISO 8601 text names, or `None`; no zone means UTC."""
    if not isinstance(value, str) or len(value) < len("2025-01-01"):
        return None
    try:
        at = datetime.fromisoformat(value)
    except ValueError:
        return None
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    millis = round(at.timestamp() * 1000)
    return millis if 0 <= millis <= AT_MS_MAX else None


def session_id(value: Value) -> SessionId | None:
    """Return a session's id, or `None`; one that is too long is told by its digest."""
    text = written(value)
    if not text:
        return None
    return SessionId(text if len(text) <= ID_LENGTH_MAX else derived("session", text))


def project_of(path: Value) -> str:
    """Return the project that a working folder stands for: the last part of its path."""
    if not isinstance(path, str):
        return ""
    parts = [part for part in _PATH_PARTS.split(path) if part and part != "~"]
    return name(parts[-1]) if parts else ""


def json_of(value: object) -> str:
    """Return a value as JSON with sorted keys, the same text for the same value."""
    return _ENCODER.encode(_plain(value) if _is_odd(value) else value).decode()


def digest_of(value: object) -> str:
    """Return 16 hex digits that stand for a value whatever the order of its keys."""
    return hashlib.blake2b(json_of(value).encode(), digest_size=8).hexdigest()


def size_of(value: object) -> int:
    """Return how many bytes a value has as JSON; nothing has none."""
    return 0 if value is None else len(json_of(value).encode())


def _is_odd(value: object) -> bool:
    """Say whether JSON would hide something of this value: bytes, or a number that is none."""
    return isinstance(value, bytes | list | dict) or (
        isinstance(value, float) and not math.isfinite(value)
    )


def _plain(value: object) -> object:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, list):
        return [_plain(part) for part in value]
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    return value
