"""What templates compute with, and how Go prints, compares and looks into it.

Texts, numbers, truths, lists, mappings, rows of a query and times. What Go would not take raises
`ValueError`.
"""

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from msgspec import Struct

from analytics.alerts.labels import Labels

_EXPONENT_FROM: Final = 6
"""From which exponent on Go writes `%v` of a number with one."""
ROOTS: Final[Mapping[str, str]] = {
    "Labels": "labels", "ExternalLabels": "external_labels", "ExternalURL": "external_url",
    "Value": "value",
}  # fmt: skip
"""The fields of what a template begins at, and what they are called here."""
SECONDS_MAX: Final = 2**63 / 1e9
"""How far from 1970 a time of Go's may be, in nanoseconds of 64 bits."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Sample(Struct, frozen=True):
    """One row that a query gave."""

    labels: Labels
    value: float


class Root(Struct, frozen=True, kw_only=True):
    """What a template begins at: one alert."""

    labels: Labels
    external_labels: Labels
    external_url: str
    value: float


class Instant(Struct, frozen=True):
    """A time, in seconds since 1970."""

    seconds: float


class Duration(Struct, frozen=True):
    """A length of time."""

    seconds: float


Value = (
    None
    | str
    | bool
    | int
    | float
    | Mapping[str, "Value"]
    | Sequence["Value"]
    | Sample
    | Root
    | Instant
    | Duration
)


_KINDS: Final[tuple[tuple[type, str], ...]] = (
    (bool, "bool"), (str, "string"), (int, "int"), (float, "float64"),
    (Sample, "*template.sample"), (Root, "template.alertTemplateData"), (Instant, "*time.Time"),
    (Duration, "time.Duration"), (Mapping, "map[string]string"),
)  # fmt: skip


def kind(value: Value) -> str:
    """Return Go's name of a value's type."""
    if value is None:
        return "nil"
    named = (name for known, name in _KINDS if isinstance(value, known))
    return next(named, "slice")


def misfit(wanted: str, value: Value) -> ValueError:
    """Return the error that a value is of another type than a function takes."""
    return ValueError(f"wrong type for value; expected {wanted}; got {kind(value)}")


def truth(value: Value) -> bool:
    """Say whether `if` takes a value for true."""
    if isinstance(value, float | int):
        return value != 0
    if isinstance(value, Sample | Root | Instant):
        return True
    if isinstance(value, Duration):
        return value.seconds != 0
    return value is not None and len(value) > 0


def shown(value: Value) -> str:
    """Return how Go prints a value with `%v`."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    if value is None:
        return "<no value>"
    if isinstance(value, int | float):
        return shortest(value) if isinstance(value, float) else str(value)
    return _shown_whole(value)


def shortest(value: float) -> str:
    """Return the shortest text of a number that reads back as it, as Go's `%v`."""
    if not math.isfinite(value):
        return odd(value)
    mantissa, exponent_text = f"{value:e}".split("e")
    digits, sign = repr(abs(value)), "-" if math.copysign(1, value) < 0 else ""
    whole = digits.split("e")[0].replace(".", "").strip("0") or "0"
    exponent = int(exponent_text) if float(mantissa) else 0
    if not -4 <= exponent < _EXPONENT_FROM:
        fraction = f".{whole[1:]}" if len(whole) > 1 else ""
        return f"{sign}{whole[0]}{fraction}e{exponent:+03d}"
    if exponent < 0:
        return f"{sign}0.{'0' * (-exponent - 1)}{whole}"
    if len(whole) <= exponent + 1:
        return f"{sign}{whole}{'0' * (exponent + 1 - len(whole))}"
    return f"{sign}{whole[: exponent + 1]}.{whole[exponent + 1 :]}"


def odd(value: float) -> str:
    """Return how Go writes what is no number, or no finite one."""
    if math.isnan(value):
        return "NaN"
    return "+Inf" if value > 0 else "-Inf"


def size(value: Value) -> int:
    """Return roughly how many characters a value holds, for whoever counts what work costs."""
    match value:
        case str():
            return len(value)
        case Sample():
            return sum(len(name) + len(text) for name, text in value.labels.items())
        case Mapping():
            return len(value) + sum(len(one) for one in value.values() if isinstance(one, str))
        case list() | tuple():
            return len(value)
        case _:
            return 1


def field(value: Value, name: str) -> Value:
    """Return a field of a value, as `.name` does; raise `ValueError`."""
    match value:
        case Sample():
            if name in {"Labels", "Value"}:
                return value.labels if name == "Labels" else value.value
        case Root():
            if name in ROOTS:
                found: Value = getattr(value, ROOTS[name])
                return found
        case Mapping():
            return value.get(name, "")
        case None:
            raise ValueError(f"nil data; no entry for key {name!r}")
        case _:
            pass
    raise ValueError(f"can't evaluate field {name} in type {kind(value)}")


def _shown_whole(value: Value) -> str:
    match value:
        case Sample():
            return f"&{{{shown(value.labels)} {shortest(value.value)}}}"
        case Root():
            return f"{{{shown(value.labels)} {shortest(value.value)}}}"
        case Instant():
            return _time(value.seconds)
        case Duration():
            return f"{shortest(value.seconds)}s"
        case Mapping():
            pairs = (f"{name}:{shown(value[name])}" for name in sorted(value))
            return f"map[{' '.join(pairs)}]"
        case list() | tuple():
            return f"[{' '.join(map(shown, value))}]"
        case _:
            return str(value)


def _time(seconds: float) -> str:
    at = moment(Instant(seconds))
    fraction = f".{at.microsecond:06d}".rstrip("0") if at.microsecond else ""
    return f"{at:%Y-%m-%d %H:%M:%S}{fraction} +0000 UTC"


def moment(value: Instant) -> datetime:
    """Return a time in UTC, to the millisecond as it is kept; raise `ValueError`."""
    if not abs(value.seconds) < SECONDS_MAX:
        raise ValueError(f"{shortest(value.seconds)} is no time between 1677 and 2262")
    return _EPOCH + timedelta(milliseconds=int(value.seconds * 1_000))
