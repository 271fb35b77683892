"""What templates may call: the formatting functions of Prometheus' `template.go`, and `printf`.

Values are texts, numbers, truths or label sets. A function that cannot take what it is given raises
`ValueError`, which the template turns into its error text.
"""

import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final

from analytics.alerts import labels, matchers

Value = str | float | int | bool | Mapping[str, str]

_LARGE: Final = ("k", "M", "G", "T", "P", "E", "Z", "Y")
_SMALL: Final = ("m", "u", "n", "p", "f", "a", "z", "y")
_VERB: Final = re.compile(r"%(?P<flags>[-+# 0]*)(?P<width>\d{0,3})(?P<dot>\.\d{0,3})?(?P<verb>.)?")
_REFERENCE: Final = re.compile(r"\$(?:(\$)|\{(\w+)\}|(\w+))")
_EXPONENT_FROM: Final = 6
"""From which exponent on Go writes `%v` of a number with one."""
_SECONDS_MAX: Final = 253_402_300_799


def shown(value: Value) -> str:
    """Return how Go prints a value with `%v`."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return _shortest(value)
    if isinstance(value, Mapping):
        return "map[" + " ".join(f"{name}:{value[name]}" for name in sorted(value)) + "]"
    return str(value)


def _shortest(value: float) -> str:
    if not math.isfinite(value):
        return _odd(value)
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


def _odd(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    return "+Inf" if value > 0 else "-Inf"


def _four(value: float) -> str:
    return f"{value:.4g}" if math.isfinite(value) else _odd(value)


def _number(value: Value) -> float:
    try:
        return float(shown(value))
    except ValueError:
        raise ValueError(f"can't convert {shown(value)!r} to float") from None


def _text(value: Value) -> str:
    if isinstance(value, str):
        return value
    raise ValueError(f"expected a text, found {shown(value)}")


def _prefixed(value: float) -> tuple[float, str]:
    prefix = ""
    if abs(value) >= 1:
        for larger in _LARGE:
            if abs(value) < 1000:
                break
            prefix, value = larger, value / 1000
        return value, prefix
    for smaller in _SMALL:
        if abs(value) >= 1:
            break
        prefix, value = smaller, value * 1000
    return value, prefix


def humanize(value: Value) -> str:
    """Return a number with a metric prefix."""
    number = _number(value)
    if number == 0 or not math.isfinite(number):
        return _four(number)
    scaled, prefix = _prefixed(number)
    return _four(scaled) + prefix


def humanize_duration(value: Value) -> str:
    """Return seconds as days, hours, minutes and seconds."""
    number = _number(value)
    if not math.isfinite(number):
        return _four(number)
    if number == 0:
        return "0s"
    if abs(number) < 1:
        scaled, prefix = _prefixed(number)
        return f"{_four(scaled)}{prefix}s"
    sign, number = ("-", -number) if number < 0 else ("", number)
    minutes, seconds = divmod(int(number), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{sign}{days}d {hours}h {minutes}m {seconds}s"
    if hours:
        return f"{sign}{hours}h {minutes}m {seconds}s"
    if minutes:
        return f"{sign}{minutes}m {seconds}s"
    return f"{sign}{_four(number)}s"


def humanize_percentage(value: Value) -> str:
    """Return a share as a percentage."""
    return _four(_number(value) * 100) + "%"


def humanize_timestamp(value: Value) -> str:
    """Return seconds since 1970 as Go prints a time in UTC."""
    number = _number(value)
    if not math.isfinite(number):
        return _four(number)
    if not 0 <= number <= _SECONDS_MAX:
        raise ValueError(f"{shown(number)} is no time between 1970 and 9999")
    whole_ms = int(number * 1_000)
    at = datetime.fromtimestamp(whole_ms // 1_000, UTC)
    fraction = f".{whole_ms % 1_000:03d}".rstrip("0") if whole_ms % 1_000 else ""
    return f"{at:%Y-%m-%d %H:%M:%S}{fraction} +0000 UTC"


def title(value: Value) -> str:
    """Return a text with the first letter of each word in upper case."""
    return re.sub(r"(?<!\w)\w", lambda found: found[0].upper(), _text(value))


def to_upper(value: Value) -> str:
    """Return a text in upper case."""
    return _text(value).upper()


def to_lower(value: Value) -> str:
    """Return a text in lower case."""
    return _text(value).lower()


def match(expression: Value, text: Value) -> bool:
    """Say whether an expression is found anywhere in a text."""
    return matchers.pattern(_text(expression)).search(_text(text)) is not None


def replace_all(expression: Value, replacement: Value, text: Value) -> str:
    """Replace what an expression finds; `$1` and `${name}` stand for groups."""
    compiled = matchers.pattern(_text(expression))
    template = _text(replacement)

    def filled(found: re.Match[str]) -> str:
        return _REFERENCE.sub(lambda reference: _group(found, reference), template)

    return compiled.sub(filled, _text(text))


def _group(found: re.Match[str], reference: re.Match[str]) -> str:
    if reference[1]:
        return "$"
    name = reference[2] or reference[3]
    try:
        return found[int(name) if name.isdigit() else name] or ""
    except IndexError:
        return ""


def printf(form: Value, *values: Value) -> str:
    """Return a text filled in by Go's verbs `%s %v %q %d %f %e %g %x %t %%`."""
    left = list(values)
    filled = _VERB.sub(lambda found: _verb(found, left), _text(form))
    if left:
        extra = ", ".join(f"{_kind(value)}={shown(value)}" for value in left)
        filled += f"%!(EXTRA {extra})"
    return filled


def _verb(found: re.Match[str], left: list[Value]) -> str:
    verb = found["verb"]
    if verb is None:
        return "%!(NOVERB)"
    if verb == "%":
        return "%"
    if not left:
        return f"%!{verb}(MISSING)"
    value = left.pop(0)
    body = _formatted(value, verb, found["dot"])
    if body is None:
        return f"%!{verb}({_kind(value)}={shown(value)})"
    return _padded(body, found["flags"], found["width"])


def _formatted(value: Value, verb: str, dot: str | None) -> str | None:
    precision = None if dot is None else int(dot[1:] or 0)
    if verb == "v" and dot is None:
        return shown(value)
    if isinstance(value, str):
        cut = value if precision is None else value[:precision]
        return {"s": cut, "v": cut, "q": labels.quoted(cut), "x": value.encode().hex()}.get(verb)
    if isinstance(value, bool):
        return shown(value) if verb in "vt" else None
    if isinstance(value, float):
        return _float_formatted(value, verb, precision)
    if isinstance(value, int):
        return {"d": str(value), "v": str(value), "x": f"{value:x}"}.get(verb)
    return None


def _float_formatted(value: float, verb: str, precision: int | None) -> str | None:
    if verb not in "feEgGFv":
        return None
    if not math.isfinite(value):
        return _odd(value)
    verb = verb.replace("v", "g")
    if verb in "gG" and precision is None:
        return _shortest(value)
    return f"{value:.{6 if precision is None else precision}{verb}}"


def _padded(body: str, flags: str, width: str) -> str:
    if "+" in flags and body[:1].isdigit():
        body = f"+{body}"
    if not width:
        return body
    if "-" in flags:
        return body.ljust(int(width))
    if "0" in flags:
        return body.zfill(int(width))
    return body.rjust(int(width))


def _kind(value: Value) -> str:
    if isinstance(value, bool):
        return "bool"
    return {str: "string", float: "float64", int: "int"}.get(type(value), "map[string]string")


ONE: Final[dict[str, Callable[[Value], str]]] = {
    "humanize": humanize,
    "humanizeDuration": humanize_duration,
    "humanizePercentage": humanize_percentage,
    "humanizeTimestamp": humanize_timestamp,
    "title": title,
    "toUpper": to_upper,
    "toLower": to_lower,
}
"""Functions of one value."""
COUNTS: Final = dict.fromkeys(ONE, 1) | {"match": 2, "reReplaceAll": 3, "printf": -1}
"""Every function with how many values it takes; -1 is one or more."""


def call(name: str, values: list[Value]) -> Value:
    """Call the function `name`, which `COUNTS` has."""
    if name in ONE:
        return ONE[name](values[0])
    if name == "match":
        return match(values[0], values[1])
    if name == "reReplaceAll":
        return replace_all(values[0], values[1], values[2])
    assert name == "printf", name
    return printf(values[0], *values[1:])
