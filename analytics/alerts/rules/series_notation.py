"""Series as promtool's tests write them: `up{job="a"}` and `0+1x4 _ stale`.

`a+bxn` is n+1 values, `axn` n+1 times `a`, `_` one that is missing, `_xn` n of them, `stale` the
end of a series. Source: the series descriptions of Prometheus' `promql/parser`. Histograms are
refused: we evaluate none.
"""

import re
from enum import Enum
from typing import Final

from analytics.alerts import labels as label_sets
from analytics.alerts import matchers
from analytics.alerts.documents import is_label_name
from analytics.alerts.labels import Frozen
from analytics.alerts.matchers import LabelOperator


class Mark(Enum):
    """What is no number in a list of values."""

    MISSING = "_"
    STALE = "stale"


Value = float | Mark
VALUES_MAX: Final = 1_000_000
"""How many values one series may have."""
_NUMBER: Final = r"(?:[0-9]+\.?[0-9]*(?:e[+-]?[0-9]+)?|\.[0-9]+(?:e[+-]?[0-9]+)?|inf|nan)"
_ITEM: Final = re.compile(
    rf"(?P<first>[+-]?{_NUMBER})(?:(?P<sign>[+-])(?P<by>[+-]?{_NUMBER}))?(?:x(?P<times>[0-9]+))?",
    re.IGNORECASE,
)
_GAP: Final = re.compile(r"_(?:x(?P<times>[0-9]+))?")
_SERIES: Final = re.compile(
    r"\s*(?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)?\s*(?P<labels>\{.*\})?\s*", re.DOTALL
)


def series(text: str) -> Frozen:
    """Return the labels of a series; raise `ValueError` that says what is wrong."""
    found = _SERIES.fullmatch(text)
    if found is None or not text.strip():
        raise ValueError(f'{text!r} is no series: write it like up{{job="a"}}')
    named = {"__name__": found["name"]} if found["name"] else {}
    for matcher in matchers.parse(found["labels"] or ""):
        if matcher.sign is not LabelOperator.EQUAL:
            raise ValueError(f"{text!r} is no series: its labels are set with =")
        if not is_label_name(matcher.name) or matcher.name in named:
            raise ValueError(f"{text!r} has the label {matcher.name!r} twice, or it is no name")
        named[matcher.name] = matcher.value
    return label_sets.frozen(named)


def values(text: str) -> list[Value]:
    """Return the values of a series, one an interval; raise `ValueError`."""
    if "{{" in text:
        raise ValueError("histogram samples are not supported; write series with the label le")
    found: list[Value] = []
    for item in text.split():
        found += _expanded(item)
        if len(found) > VALUES_MAX:
            raise ValueError(f"more than {VALUES_MAX} values in a series")
    return found


def _expanded(item: str) -> list[Value]:
    if item == Mark.STALE.value:
        return [Mark.STALE]
    gap = _GAP.fullmatch(item)
    if gap is not None:
        return [Mark.MISSING] * _times(gap["times"] or "1")
    number = _ITEM.fullmatch(item)
    if number is None or (number["sign"] and not number["times"]):
        raise ValueError(f"{item!r} is no value: write 5, 1+2x3, 4x3, _, _x3 or stale")
    first = float(number["first"])
    if number["times"] is None:
        return [first]
    step = float(number["by"] or 0) * (-1 if number["sign"] == "-" else 1)
    found: list[Value] = [first]
    value = first
    for _ in range(_times(number["times"])):
        value += step
        found.append(value)
    return found


def _times(text: str) -> int:
    if len(text) > 7 or int(text) > VALUES_MAX:
        raise ValueError(f"more than {VALUES_MAX} values in a series")
    return int(text)
