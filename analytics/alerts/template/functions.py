"""What templates may call of Prometheus (`template/template.go`) and Alertmanager.

A function that cannot take what it is given raises `ValueError`, which the template turns into its
error text. Those that need more than their values (`query`, `tmpl`, `externalURL` …) are in
`template_running`.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import quote_plus, unquote_plus

from analytics import patterns
from analytics.alerts import durations
from analytics.alerts.template.builtins import BUILTINS, Function, escaped_html, text
from analytics.alerts.template.values import (
    Duration,
    Instant,
    Sample,
    Value,
    misfit,
    moment,
    odd,
    shown,
)

_LARGE: Final = ("k", "M", "G", "T", "P", "E", "Z", "Y")
_SMALL: Final = ("m", "u", "n", "p", "f", "a", "z", "y")
_BINARY: Final = ("ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi")
_PORT: Final = re.compile(r"(?:\[(?P<six>[^\]]*)\]|(?P<host>[^:]*)):(?P<port>[^:]*)")
_IP: Final = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}|[0-9a-fA-F:.]*:[0-9a-fA-F:.]*")
_LAYOUT: Final = (
    ("January", "%B"), ("Monday", "%A"), ("2006", "%Y"), ("Jan", "%b"), ("Mon", "%a"),
    ("MST", "%Z"), ("Z07:00", "Z"), ("-0700", "%z"), ("01", "%m"), ("02", "%d"), ("15", "%H"),
    ("03", "%I"), ("04", "%M"), ("05", "%S"), ("06", "%y"), ("PM", "%p"),
)  # fmt: skip
"""Parts of Go's reference time, and what stands for them here."""


def four(value: float) -> str:
    """Return a number with four digits, as `%.4g`."""
    return f"{value:.4g}" if math.isfinite(value) else odd(value)


def number(value: Value) -> float:
    """Return a number, or one that a text says; raise `ValueError`."""
    if isinstance(value, bool) or not isinstance(value, str | int | float | Duration):
        raise misfit("a number", value)
    if isinstance(value, Duration):
        return value.seconds
    try:
        return float(value)
    except (ValueError, OverflowError):
        raise ValueError(f"can't convert {shown(value)!r} to float") from None


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
    given = number(value)
    if given == 0 or not math.isfinite(given):
        return four(given)
    scaled, prefix = _prefixed(given)
    return four(scaled) + prefix


def humanize_1024(value: Value) -> str:
    """Return a number with a prefix of powers of 1024."""
    given = number(value)
    if abs(given) <= 1 or not math.isfinite(given):
        return four(given)
    prefix = ""
    for larger in _BINARY:
        if abs(given) < 1024:
            break
        prefix, given = larger, given / 1024
    return four(given) + prefix


def humanize_duration(value: Value) -> str:
    """Return seconds as days, hours, minutes and seconds."""
    given = number(value)
    if not math.isfinite(given):
        return four(given)
    if given == 0:
        return "0s"
    if abs(given) < 1:
        scaled, prefix = _prefixed(given)
        return f"{four(scaled)}{prefix}s"
    sign, given = ("-", -given) if given < 0 else ("", given)
    minutes, seconds = divmod(int(given), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{sign}{days}d {hours}h {minutes}m {seconds}s"
    if hours:
        return f"{sign}{hours}h {minutes}m {seconds}s"
    if minutes:
        return f"{sign}{minutes}m {seconds}s"
    return f"{sign}{four(given)}s"


def humanize_percentage(value: Value) -> str:
    """Return a share as a percentage."""
    return four(number(value) * 100) + "%"


def to_time(value: Value) -> Instant:
    """Return seconds since 1970 as a time."""
    found = Instant(number(value))
    moment(found)
    return found


def humanize_timestamp(value: Value) -> str:
    """Return seconds since 1970 as Go prints a time in UTC."""
    given = number(value)
    return shown(to_time(given)) if math.isfinite(given) else four(given)


def parse_duration(value: Value) -> float:
    """Return the seconds of a duration such as 1h30m."""
    return durations.milliseconds(text(value)) / 1_000


def title(value: Value) -> str:
    """Return a text with the first letter of each word in upper case."""
    return re.sub(r"(?<!\w)\w", lambda found: found[0].upper(), text(value))


def match(expression: Value, value: Value) -> bool:
    """Say whether an expression is found anywhere in a text."""
    return patterns.compiled(text(expression)).is_in(text(value))


def replace_all(expression: Value, replacement: Value, value: Value) -> str:
    """Replace what an expression finds; `$1` and `${name}` stand for groups."""
    return patterns.compiled(text(expression)).replaced(text(replacement), text(value))


def strip_port(value: Value) -> str:
    """Return a host without its port, or the text as it is."""
    found = _PORT.fullmatch(text(value))
    return (found["six"] or found["host"] or "") if found is not None else text(value)


def strip_domain(value: Value) -> str:
    """Return the first part of a host's name, with its port; addresses stay."""
    found = _PORT.fullmatch(text(value))
    host = strip_port(value)
    if _IP.fullmatch(host):
        return text(value)
    first = host.partition(".")[0]
    return first if found is None else f"{first}:{found['port']}"


def sample(value: Value) -> Sample:
    """Return a row of a query; raise `ValueError` for anything else."""
    if isinstance(value, Sample):
        return value
    raise misfit("*template.sample", value)


def rows(value: Value) -> list[Sample]:
    """Return what a query gave; raise `ValueError` for anything else."""
    if isinstance(value, list | tuple):
        return [sample(one) for one in value]
    raise misfit("template.queryResult", value)


def _first(value: Value) -> Sample:
    found = rows(value)
    if not found:
        raise ValueError("first() called on vector with no elements")
    return found[0]


def _sorted_by(label: Value, value: Value) -> list[Value]:
    name = text(label)
    return [*sorted(rows(value), key=lambda one: one.labels.get(name, ""))]


def _join(between: Value, values: Value) -> str:
    if isinstance(values, str) or not isinstance(values, Sequence):
        raise misfit("[]string", values)
    return text(between).join(map(text, values))


def _given(given: list[Value]) -> Value:
    return given


def _link(expression: Value, tab: int) -> str:
    query = quote_plus(text(expression).encode("utf-8", "replace"), safe="~")
    return f"/graph?g0.expr={query}&g0.tab={tab}"


def _json(value: Value) -> str:
    def plain(one: Value) -> object:
        if isinstance(one, Sample):
            return {"Labels": dict(one.labels), "Value": one.value}
        if isinstance(one, Instant | Duration):
            return shown(one)
        if isinstance(one, Mapping):
            return {name: plain(inner) for name, inner in one.items()}
        if isinstance(one, Sequence) and not isinstance(one, str):
            return [plain(inner) for inner in one]
        return one

    said = json.dumps(plain(value), ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return said.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _date(layout: Value, value: Value) -> str:
    if not isinstance(value, Instant):
        raise misfit("time.Time", value)
    return formatted(value, text(layout))


def formatted(value: Instant, layout: str) -> str:
    """Return a time in UTC by Go's reference layout."""
    pattern = layout.replace("%", "%%")
    for go, ours in _LAYOUT:
        pattern = pattern.replace(go, ours)
    return moment(value).strftime(pattern)


FUNCTIONS: Final[Mapping[str, tuple[Function, int, int]]] = {
    **BUILTINS,
    "humanize": (lambda given: humanize(*given), 1, 1),
    "humanize1024": (lambda given: humanize_1024(*given), 1, 1),
    "humanizeDuration": (lambda given: humanize_duration(*given), 1, 1),
    "humanizePercentage": (lambda given: humanize_percentage(*given), 1, 1),
    "humanizeTimestamp": (lambda given: humanize_timestamp(*given), 1, 1),
    "toTime": (lambda given: to_time(*given), 1, 1),
    "toDuration": (lambda given: Duration(number(*given)), 1, 1),
    "parseDuration": (lambda given: parse_duration(*given), 1, 1),
    "title": (lambda given: title(*given), 1, 1),
    "toUpper": (lambda given: text(*given).upper(), 1, 1),
    "toLower": (lambda given: text(*given).lower(), 1, 1),
    "trimSpace": (lambda given: text(*given).strip(), 1, 1),
    "match": (lambda given: match(*given), 2, 2),
    "reReplaceAll": (lambda given: replace_all(*given), 3, 3),
    "stripPort": (lambda given: strip_port(*given), 1, 1),
    "stripDomain": (lambda given: strip_domain(*given), 1, 1),
    "first": (lambda given: _first(*given), 1, 1),
    "value": (lambda given: sample(*given).value, 1, 1),
    "label": (lambda given: sample(given[1]).labels.get(text(given[0]), ""), 2, 2),
    "strvalue": (lambda given: sample(*given).labels.get("__value__", ""), 1, 1),
    "sortByLabel": (lambda given: _sorted_by(*given), 2, 2),
    "args": (lambda given: {f"arg{place}": one for place, one in enumerate(given)}, 0, -1),
    "safeHtml": (lambda given: text(*given), 1, 1),
    "safeUrl": (lambda given: text(*given), 1, 1),
    "graphLink": (lambda given: _link(given[0], 0), 1, 1),
    "tableLink": (lambda given: _link(given[0], 1), 1, 1),
    "join": (lambda given: _join(*given), 2, 2),
    "stringSlice": (lambda given: [text(one) for one in given], 0, -1),
    "list": (_given, 0, -1),
    "urlQueryEscape": (lambda given: quote_plus(text(*given).encode("utf-8", "replace")), 1, 1),
    "urlUnescape": (lambda given: unquote_plus(text(*given)), 1, 1),
    "toJson": (lambda given: _json(*given), 1, 1),
    "date": (lambda given: _date(*given), 2, 2),
    "html": (escaped_html, 0, -1),
}
"""Each function with how many values it takes at least and at most; -1 is any number."""
COSTLY: Final[Mapping[str, int]] = {"match": 500, "reReplaceAll": 500}
"""How many steps a function counts as, beside what it is given."""
