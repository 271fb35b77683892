"""Tests of rules in promtool's format, so that other people's tests run as they are.

`read` takes a test file, `run` plays its tests: each loads its series into a world of its own,
evaluates every group at every `evaluation_interval` in event time, and compares. Expected alerts
are the firing ones of all rules of a name together. Additions of ours are optional keys only:
`exp_pending` lists pending alerts in the same way. Source: `cmd/promtool/unittest.go`.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final, Protocol, TypeVar

from msgspec import Struct

from analytics.alerts import documents
from analytics.alerts.dispatch.engine import SeriesStore
from analytics.alerts.documents import BadFile, Node, Position
from analytics.alerts.labels import Frozen
from analytics.alerts.rules import series_notation
from analytics.alerts.rules.series_notation import Value

T = TypeVar("T")

INTERVAL_MS: Final = 60_000
"""How often rules are evaluated, and how far values lie apart, where a file does not say."""
EVALUATIONS_MAX: Final = 1_000_000
"""How many evaluations a test may ask for."""
_FILE: Final = frozenset(
    {"rule_files", "evaluation_interval", "group_eval_order", "fuzzy_compare", "tests"}
)
_TEST: Final = frozenset(
    {
        "name", "interval", "start_timestamp", "external_labels", "external_url", "input_series",
        "alert_rule_test", "promql_expr_test",
    }
)  # fmt: skip
_ALERT: Final = frozenset({"eval_time", "alertname", "exp_alerts", "exp_pending"})
_EXPR: Final = frozenset({"expr", "eval_time", "exp_samples"})


class TestSeries(SeriesStore, Protocol):
    """Series of one test."""

    def load(self, labels: Mapping[str, str], values: Sequence[Value], step_ms: int) -> None:
        """Take the values of a series, from the test's start on."""
        ...


class Expected(Struct, frozen=True):
    """An alert as a test expects it: labels without `alertname`, and annotations."""

    labels: Frozen
    annotations: Frozen


class AlertTest(Struct, frozen=True, kw_only=True):
    """Which alerts of a name fire, or are pending, at a time."""

    place: Position
    at_ms: int
    alertname: str
    firing: tuple[Expected, ...] | None
    pending: tuple[Expected, ...] | None


class ExprTest(Struct, frozen=True, kw_only=True):
    """What an expression gives at a time."""

    place: Position
    at_ms: int
    expr: str
    samples: tuple[tuple[Frozen, float], ...]


class Case(Struct, frozen=True, kw_only=True):
    """One test of a file."""

    name: str
    place: Position
    interval_ms: int
    start_ms: int
    series: tuple[tuple[Frozen, tuple[Value, ...]], ...]
    alerts: tuple[AlertTest, ...]
    exprs: tuple[ExprTest, ...]
    external_labels: Mapping[str, str]
    external_url: str


class CaseFile(Struct, frozen=True, kw_only=True):
    """A whole test file."""

    path: str
    rule_files: tuple[str, ...]
    interval_ms: int
    group_order: tuple[str, ...]
    is_fuzzy: bool
    tests: tuple[Case, ...]


def read(path: str, text: str) -> CaseFile:
    """Return the tests in a file; raise `BadFile` with the place of what is wrong."""
    root, _ = documents.read(path, text)
    if root is None:
        raise BadFile(Position(path), "empty; a test file needs tests")
    fields = root.fields(_FILE)
    interval_ms = _duration(fields, "evaluation_interval", INTERVAL_MS) or INTERVAL_MS
    return CaseFile(
        path=path,
        rule_files=tuple(node.text() for node in _entries(fields, "rule_files")),
        interval_ms=interval_ms,
        group_order=tuple(node.text() for node in _entries(fields, "group_eval_order")),
        is_fuzzy="fuzzy_compare" in fields and fields["fuzzy_compare"].flag(),
        tests=tuple(_test(node, interval_ms) for node in _entries(fields, "tests")),
    )


def _test(node: Node, evaluation_ms: int) -> Case:
    fields = node.fields(_TEST)
    alerts = tuple(map(_alert_test, _entries(fields, "alert_rule_test")))
    exprs = tuple(map(_expr_test, _entries(fields, "promql_expr_test")))
    last_ms = max([0, *(one.at_ms for one in alerts), *(one.at_ms for one in exprs)])
    if last_ms // evaluation_ms > EVALUATIONS_MAX:
        raise node.refuse(f"more than {EVALUATIONS_MAX} evaluations; widen evaluation_interval")
    start = fields.get("start_timestamp")
    external = fields.get("external_labels")
    return Case(
        name=fields["name"].text() if "name" in fields else "",
        place=node.place,
        interval_ms=_duration(fields, "interval", evaluation_ms) or evaluation_ms,
        start_ms=_start(start) if start else 0,
        series=tuple(map(_series, _entries(fields, "input_series"))),
        alerts=alerts,
        exprs=exprs,
        external_labels=external.texts() if external else {},
        external_url=fields["external_url"].text() if "external_url" in fields else "",
    )


def _start(node: Node) -> int:
    text = node.text()
    try:
        return round(float(text) * 1_000)
    except (ValueError, OverflowError):
        pass
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise node.refuse(f"{text!r} is no time: write seconds or 2026-01-31T12:00:00Z") from None
    return round((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1_000)


def _series(node: Node) -> tuple[Frozen, tuple[Value, ...]]:
    fields = node.fields(frozenset({"series", "values"}))
    name, values = _needed(node, fields, "series"), _needed(node, fields, "values")
    return _noted(series_notation.series, name), tuple(_noted(series_notation.values, values))


def _alert_test(node: Node) -> AlertTest:
    fields = node.fields(_ALERT)
    name = _needed(node, fields, "alertname").text()
    if not name:
        raise node.refuse("alertname is empty")
    pending = tuple(map(_expected, _entries(fields, "exp_pending")))
    is_about_firing = "exp_alerts" in fields or "exp_pending" not in fields
    return AlertTest(
        place=node.place,
        at_ms=_duration(fields, "eval_time", 0),
        alertname=name,
        firing=tuple(map(_expected, _entries(fields, "exp_alerts"))) if is_about_firing else None,
        pending=pending if "exp_pending" in fields else None,
    )


def _expected(node: Node) -> Expected:
    fields = node.fields(frozenset({"exp_labels", "exp_annotations"}))
    labels = fields["exp_labels"].texts() if "exp_labels" in fields else {}
    annotations = fields["exp_annotations"].texts() if "exp_annotations" in fields else {}
    return Expected(tuple(sorted(labels.items())), tuple(sorted(annotations.items())))


def _expr_test(node: Node) -> ExprTest:
    fields = node.fields(_EXPR)
    samples = []
    for entry in _entries(fields, "exp_samples"):
        own = entry.fields(frozenset({"labels", "value", "histogram"}))
        if "histogram" in own:
            raise own["histogram"].refuse("histogram samples are not supported")
        text = own["labels"].text() if "labels" in own else ""
        labels = _noted(series_notation.series, own["labels"]) if text.strip(" {}") else ()
        samples.append((labels, own["value"].number() if "value" in own else 0.0))
    return ExprTest(
        place=node.place,
        at_ms=_duration(fields, "eval_time", 0),
        expr=_needed(node, fields, "expr").text(),
        samples=tuple(samples),
    )


def _noted(reader: Callable[[str], T], node: Node) -> T:
    try:
        return reader(node.text())
    except ValueError as error:
        raise node.refuse(str(error)) from None


def _needed(node: Node, fields: Mapping[str, Node], name: str) -> Node:
    if name not in fields:
        raise node.refuse(f"field {name!r} is missing")
    return fields[name]


def _entries(fields: Mapping[str, Node], name: str) -> list[Node]:
    return fields[name].items() if name in fields else []


def _duration(fields: Mapping[str, Node], name: str, default_ms: int) -> int:
    return fields[name].duration_ms() if name in fields else default_ms
