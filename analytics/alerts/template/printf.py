"""Go's `printf` (package `fmt`): verbs, flags, widths and what they say where values do not fit."""

import math
import re
from typing import Final

from analytics.alerts import labels
from analytics.alerts.template.values import Value, kind, odd, shortest, shown

WIDTH_MAX: Final = 999
_VERB: Final = re.compile(r"%(?P<flags>[-+# 0]*)(?P<width>\d{0,3})(?P<dot>\.\d{0,3})?(?P<verb>.)?")
_INTEGERS: Final = {"d": "d", "x": "x", "X": "X", "o": "o", "b": "b"}


def printf(form: str, values: list[Value]) -> str:
    """Return a text filled in by `%s %v %q %d %f %e %g %x %X %o %b %c %t %U %%` and flags."""
    left = list(values)
    filled = _VERB.sub(lambda found: _verb(found, left), form)
    if left:
        extra = ", ".join(f"{kind(value)}={shown(value)}" for value in left)
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
    body = _formatted(value, verb, found["flags"], found["dot"])
    if body is None:
        return f"%!{verb}({kind(value)}={shown(value)})"
    return _padded(body, found["flags"], found["width"], is_number=not isinstance(value, str))


def _formatted(value: Value, verb: str, flags: str, dot: str | None) -> str | None:
    precision = None if dot is None else int(dot[1:] or 0)
    if isinstance(value, str):
        return _text(value, verb, flags, precision)
    if isinstance(value, bool):
        return shown(value) if verb in "vt" else None
    if isinstance(value, float):
        return _float(value, verb, precision)
    if isinstance(value, int):
        return _integer(value, verb, flags)
    return shown(value) if verb in "vs" else None


def _text(value: str, verb: str, flags: str, precision: int | None) -> str | None:
    cut = value if precision is None else value[:precision]
    match verb:
        case "s" | "v":
            return cut
        case "q":
            return f"`{cut}`" if "#" in flags and "`" not in cut else labels.quoted(cut)
        case "x":
            return cut.encode("utf-8", "surrogatepass").hex()
        case "X":
            return cut.encode("utf-8", "surrogatepass").hex().upper()
        case _:
            return None


def _float(value: float, verb: str, precision: int | None) -> str | None:
    if verb not in "feEgGFv":
        return None
    if not math.isfinite(value):
        return odd(value)
    verb = verb.replace("v", "g").replace("F", "f")
    if verb in "gG" and precision is None:
        return shortest(value).upper() if verb == "G" else shortest(value)
    return f"{value:.{6 if precision is None else precision}{verb}}"


def _integer(value: int, verb: str, flags: str) -> str | None:
    if verb == "v":
        return str(value)
    if verb in {"c", "q"}:
        character = chr(value) if 0 <= value <= 0x10FFFF else "\ufffd"
        return character if verb == "c" else f"'{character}'"
    if verb == "U":
        return f"U+{value:04X}"
    if verb not in _INTEGERS:
        return None
    prefix = {"x": "0x", "X": "0X", "o": "0", "b": "0b"}.get(verb, "") if "#" in flags else ""
    sign = "-" if value < 0 else ""
    return f"{sign}{prefix}{abs(value):{_INTEGERS[verb]}}"


def _padded(body: str, flags: str, width: str, *, is_number: bool) -> str:
    if is_number and body[:1].isdigit():
        body = f"+{body}" if "+" in flags else f" {body}" if " " in flags else body
    if not width:
        return body
    if "-" in flags:
        return body.ljust(int(width))
    if "0" in flags:
        return body.zfill(int(width))
    return body.rjust(int(width))
