"""The functions that Go's `text/template` has by itself, but for `and`, `or` and `call`.

Comparing is as strict as there: a whole number is never equal to one with a fraction, and not
comparable with it.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final
from urllib.parse import quote_plus

from analytics.alerts.template.printf import printf
from analytics.alerts.template.values import Value, kind, misfit, shown, truth

Function = Callable[[list[Value]], Value]

_JS: Final = str.maketrans(
    {
        "\\": "\\\\", "'": "\\'", '"': '\\"', "<": "\\u003C", ">": "\\u003E", "&": "\\u0026",
        "=": "\\u003D", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\u000B", "\f": "\\u000C",
    }
)  # fmt: skip
_HTML: Final = str.maketrans(
    {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&#34;", "'": "&#39;", "\0": "\ufffd"}
)


def text(value: Value) -> str:
    """Return a text; raise `ValueError` for anything else, as Go does when it calls."""
    if isinstance(value, str):
        return value
    raise misfit("string", value)


def _print(values: list[Value]) -> str:
    out = ""
    for place, value in enumerate(values):
        between = place and not isinstance(value, str) and not isinstance(values[place - 1], str)
        out += f"{' ' if between else ''}{shown(value)}"
    return out


def _println(values: list[Value]) -> str:
    return " ".join(map(shown, values)) + "\n"


def _printf(values: list[Value]) -> str:
    return printf(text(values[0]), values[1:])


def _len(values: list[Value]) -> int:
    [value] = values
    if isinstance(value, str):
        return len(value.encode("utf-8", "surrogatepass"))
    if isinstance(value, Mapping | Sequence):
        return len(value)
    raise misfit("a text, list or map", value)


def _index(values: list[Value]) -> Value:
    found = values[0]
    for key in values[1:]:
        found = _indexed(found, key)
    return found


def _indexed(value: Value, key: Value) -> Value:
    if isinstance(value, Mapping):
        return value.get(text(key), "")
    place = _place(key)
    if isinstance(value, str):
        data = value.encode("utf-8", "surrogatepass")
        if 0 <= place < len(data):
            return data[place]
    elif isinstance(value, Sequence):
        if 0 <= place < len(value):
            return value[place]
    else:
        raise misfit("a text, list or map", value)
    raise ValueError(f"index out of range: {place}")


def _slice(values: list[Value]) -> Value:
    value, places = values[0], [_place(one) for one in values[1:]]
    data: str | bytes | Sequence[Value]
    if isinstance(value, str):
        data = value.encode("utf-8", "surrogatepass")
    elif isinstance(value, Sequence):
        data = value
    else:
        raise misfit("a text or list", value)
    begin, end = places[0] if places else 0, places[1] if len(places) > 1 else len(data)
    if not 0 <= begin <= end <= len(data):
        raise ValueError(f"index out of range: {begin}:{end}")
    cut = data[begin:end]
    return cut.decode("utf-8", "replace") if isinstance(cut, bytes) else cut


def _place(value: Value) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise misfit("int", value)
    return value


def _family(value: Value) -> str:
    """Return which values a value may be compared with."""
    named = kind(value)
    return named if named in {"bool", "string", "int", "float64", "nil"} else "none"


def _equal(one: Value, other: Value) -> bool:
    family, against = _family(one), _family(other)
    if "nil" in {family, against}:
        return one is None and other is None
    if "none" in {family, against}:
        raise ValueError("incompatible types for comparison: non-comparable type")
    if family != against:
        raise ValueError("incompatible types for comparison")
    return one == other


def _less(one: Value, other: Value) -> bool:
    if isinstance(one, str) and isinstance(other, str):
        return one < other
    is_truth = isinstance(one, bool) or isinstance(other, bool)
    if not is_truth and isinstance(one, int | float) and type(one) is type(other):
        assert isinstance(other, int | float)
        return one < other
    raise ValueError("incompatible types for comparison")


def _eq(values: list[Value]) -> bool:
    if len(values) < 2:
        raise ValueError("missing argument for comparison")
    return any(_equal(values[0], one) for one in values[1:])


def _le(values: list[Value]) -> bool:
    return _less(*values) or _equal(*values)


def _gt(values: list[Value]) -> bool:
    return not _le(values)


def _ge(values: list[Value]) -> bool:
    return not _less(*values)


def escaped_html(values: list[Value]) -> str:
    """Return values as they may stand in HTML."""
    return _print(values).translate(_HTML)


def escaped_js(values: list[Value]) -> str:
    """Return values as they may stand in a text of JavaScript."""
    return _print(values).translate(_JS)


def escaped_query(values: list[Value]) -> str:
    """Return values as they may stand in a query of a URL."""
    return quote_plus(_print(values).encode("utf-8", "replace"), safe="~")


BUILTINS: Final[Mapping[str, tuple[Function, int, int]]] = {
    "print": (_print, 0, -1),
    "println": (_println, 0, -1),
    "printf": (_printf, 1, -1),
    "len": (_len, 1, 1),
    "index": (_index, 1, -1),
    "slice": (_slice, 1, 3),
    "not": (lambda values: not truth(values[0]), 1, 1),
    "eq": (_eq, 1, -1),
    "ne": (lambda values: not _equal(*values), 2, 2),
    "lt": (lambda values: _less(*values), 2, 2),
    "le": (_le, 2, 2),
    "gt": (_gt, 2, 2),
    "ge": (_ge, 2, 2),
    "html": (escaped_html, 0, -1),
    "js": (escaped_js, 0, -1),
    "urlquery": (escaped_query, 0, -1),
}
"""Each function with how many values it takes at least and at most; -1 is any number."""
