"""The short way to write a condition: fields that compile to an expression.

A rule has `expr`, or one of `threshold`, `anomaly` and `forecast` in its place. A threshold with
both `warn` and `critical` becomes two rules of one name that differ in the label `severity`. What
they compile to is shown by `mainstem alerts check`, and can be taken over as `expr` unchanged.
"""

from collections.abc import Callable, Mapping
from typing import Final

from analytics.alerts import durations, labels, matchers
from analytics.alerts.documents import Node, is_label_name

KINDS: Final = frozenset({"threshold", "anomaly", "forecast"})
"""The fields that may stand in the place of `expr`."""
SCORE_DEFAULT: Final = 0.99
"""From which score an anomaly is told of, where the rule does not say."""
_OPERATORS: Final = frozenset({">", "<", ">=", "<=", "==", "!="})
_RATES: Final = frozenset({"rate", "increase"})
_OVER_TIME: Final = frozenset({"sum", "avg", "min", "max", "count"})
_QUANTILES: Final = {"p50": "0.5", "p90": "0.9", "p95": "0.95", "p99": "0.99"}
_THRESHOLD: Final = frozenset(
    {"metric", "where", "aggregation", "window", "by", "operator", "warn", "critical"}
)
_ANOMALY: Final = frozenset({"series", "where", "by", "score"})
_FORECAST: Final = frozenset({"budget", "where", "by", "within"})

Compiled = tuple[tuple[str, Mapping[str, str]], ...]
"""Expressions, each with the labels that tell it from the others."""


def compiled(kind: str, node: Node) -> Compiled:
    """Return what a condition in short form stands for."""
    makers: dict[str, Callable[[Node], Compiled]] = {
        "threshold": _threshold,
        "anomaly": _anomaly,
        "forecast": _forecast,
    }
    return makers[kind](node)


def _threshold(node: Node) -> Compiled:
    fields = node.fields(_THRESHOLD)
    metric = _name(_needed(node, fields, "metric"))
    measured = _aggregated(metric + _where(fields), node, fields)
    operator = fields["operator"].text() if "operator" in fields else ">"
    if operator not in _OPERATORS:
        listed = " ".join(sorted(_OPERATORS))
        raise fields["operator"].refuse(f"{operator!r} is no comparison; known are {listed}")
    found = tuple(
        (f"{measured} {operator} {_plain(fields[bound].number())}", {"severity": severity})
        for bound, severity in (("warn", "warning"), ("critical", "critical"))
        if bound in fields
    )
    if not found:
        raise node.refuse("a threshold needs warn, critical or both")
    return found


def _aggregated(selector: str, node: Node, fields: Mapping[str, Node]) -> str:
    aggregation = fields["aggregation"].text() if "aggregation" in fields else "rate"
    if aggregation == "last":
        return f"{_over(fields, 'max')} ({selector})"
    window_node = _needed(node, fields, "window")
    if window_node.duration_ms() == 0:
        raise window_node.refuse("a window must be longer than 0")
    window = durations.written(window_node.duration_ms())
    if aggregation in _RATES:
        return f"{_over(fields, 'sum')} ({aggregation}({selector}[{window}]))"
    if aggregation in _OVER_TIME:
        outer = "sum" if aggregation == "count" else aggregation
        return f"{_over(fields, outer)} ({aggregation}_over_time({selector}[{window}]))"
    if aggregation in _QUANTILES:
        quantile = _QUANTILES[aggregation]
        return f"{_over(fields, 'max')} (quantile_over_time({quantile}, {selector}[{window}]))"
    known = ", ".join(sorted(_RATES | _OVER_TIME | _QUANTILES.keys() | {"last"}))
    raise fields["aggregation"].refuse(f"unknown aggregation {aggregation!r}; known are {known}")


def _anomaly(node: Node) -> Compiled:
    fields = node.fields(_ANOMALY)
    series = _name(_needed(node, fields, "series"))
    score = fields["score"].number() if "score" in fields else SCORE_DEFAULT
    if not 0 < score < 1:
        raise fields["score"].refuse("a score lies between 0 and 1")
    selector = f"anomaly_score{_where(fields, series=series)}"
    return ((f"{_over(fields, 'max')} ({selector}) > {_plain(score)}", {}),)


def _forecast(node: Node) -> Compiled:
    fields = node.fields(_FORECAST)
    budget = _needed(node, fields, "budget").text()
    within_ms = _needed(node, fields, "within").duration_ms()
    selector = f"forecast_exhaustion_seconds{_where(fields, budget=budget)}"
    return ((f"{_over(fields, 'min')} ({selector}) < {_plain(within_ms / 1_000)}", {}),)


def _needed(node: Node, fields: Mapping[str, Node], name: str) -> Node:
    if name not in fields or fields[name].is_null:
        raise node.refuse(f"field {name!r} is missing")
    return fields[name]


def _name(node: Node) -> str:
    name = node.text()
    if not is_label_name(name.replace(":", "_")):
        raise node.refuse(f"{name!r} is no name of a metric")
    return name


def _where(fields: Mapping[str, Node], **fixed: str) -> str:
    written = [f"{name}={labels.quoted(value)}" for name, value in fixed.items()]
    if "where" in fields:
        try:
            written += map(str, matchers.parse(fields["where"].text()))
        except ValueError as error:
            raise fields["where"].refuse(str(error)) from None
    return "{" + ",".join(written) + "}" if written else ""


def _over(fields: Mapping[str, Node], operator: str) -> str:
    """Return the aggregation over series, by the labels that the rule names."""
    if "by" not in fields:
        return operator
    names = []
    for node in fields["by"].items():
        if not is_label_name(node.text()):
            raise node.refuse(f"{node.text()!r} is no label name")
        names.append(node.text())
    return f"{operator} by ({', '.join(names)})"


def _plain(number: float) -> str:
    return str(int(number)) if number == int(number) else repr(number)
