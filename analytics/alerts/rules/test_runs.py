"""Play the tests of a rule file and say what came otherwise.

A group is evaluated at every `evaluation_interval` from the test's start, in the order of the
files or of `group_eval_order`. An alert test looks at the last evaluation at or before its time.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from msgspec import Struct

from analytics.alerts import labels as label_sets
from analytics.alerts.dispatch.engine import Evaluation, Setup, named_groups
from analytics.alerts.dispatch.routes import Route, Routing
from analytics.alerts.documents import Position
from analytics.alerts.durations import written
from analytics.alerts.labels import Frozen
from analytics.alerts.rules.evaluation import RuleState
from analytics.alerts.rules.expressions import Unreadable
from analytics.alerts.rules.rules import Group, RuleFile
from analytics.alerts.rules.states import Alert, AlertState
from analytics.alerts.rules.tests import AlertTest, Case, CaseFile, Expected, ExprTest, TestSeries

FUZZ: Final = 1e-9
"""How far two numbers may lie apart, as a share, where a file asks for `fuzzy_compare`."""
_NOWHERE: Final = Position("")
_SILENT: Final = Routing(
    path="", root=Route(id="0", key="{}", receiver="", place=_NOWHERE), receivers={}
)


class Failure(Struct, frozen=True, kw_only=True):
    """A case that came otherwise than expected."""

    test: str
    place: Position
    what: str
    expected: tuple[str, ...]
    got: tuple[str, ...]

    def lines(self) -> list[str]:
        """Return what to show: what was expected and missing, what came and was not expected."""
        expected, got = list(self.expected), list(self.got)
        return [
            f"{self.place}: {self.what}",
            *(f"    - {line}" for line in expected if line not in got),
            *(f"    + {line}" for line in got if line not in expected),
        ]


def run(
    file: CaseFile, rules: Sequence[RuleFile], world: Callable[[int], TestSeries]
) -> list[Failure]:
    """Return what failed; `world` makes series that begin at a time."""
    groups = _ordered(named_groups(rules), file.group_order)
    failures: list[Failure] = []
    for position, test in enumerate(file.tests):
        name = test.name or f"test {position + 1}"
        failures += _Run(file, test, name, groups).failures(world(test.start_ms))
    return failures


def _ordered(groups: list[tuple[str, Group]], order: Sequence[str]) -> list[tuple[str, Group]]:
    places = {name: place for place, name in enumerate(order)}
    return sorted(groups, key=lambda one: places.get(one[1].name, len(places)))


class _Run:
    def __init__(
        self, file: CaseFile, test: Case, name: str, groups: list[tuple[str, Group]]
    ) -> None:
        self._file = file
        self._test = test
        self._name = name
        setup = Setup(
            files=(),
            routing=_SILENT,
            external_labels=test.external_labels,
            external_url=test.external_url,
        )
        self._setup = setup
        self._groups = groups

    def failures(self, world: TestSeries) -> list[Failure]:
        """Play the test; return its failures."""
        test, step_ms = self._test, self._file.interval_ms
        for labels, values in test.series:
            world.load(dict(labels), values, test.interval_ms)
        last_ms = max([0, *(one.at_ms for one in test.alerts), *(one.at_ms for one in test.exprs)])
        waiting = sorted(test.alerts, key=lambda one: one.at_ms)
        states: dict[str, RuleState] = {}
        found: list[Failure] = []
        evaluations = [Evaluation(self._setup, name, group, world) for name, group in self._groups]
        for at_ms in range(0, last_ms + 1, step_ms):
            for evaluation in evaluations:
                evaluation.run(states, test.start_ms + at_ms)
            while waiting and waiting[0].at_ms < at_ms + step_ms:
                found += self._alerts(waiting.pop(0), states.values())
        return found + [one for case in test.exprs for one in self._expr(case, world)]

    def _alerts(self, case: AlertTest, states: Iterable[RuleState]) -> list[Failure]:
        alerts = [alert for state in states for alert in _all(state)]
        named = [one for one in alerts if one.labels.get("alertname") == case.alertname]
        found = []
        for state, expected in (
            (AlertState.FIRING, case.firing),
            (AlertState.PENDING, case.pending),
        ):
            if expected is None:
                continue
            got = sorted(
                _shown(case.alertname, _as_expected(one)) for one in named if one.state is state
            )
            wanted = sorted(_shown(case.alertname, one) for one in expected)
            if got != wanted:
                what = f"{self._name}: {state.value} {case.alertname} at {written(case.at_ms)}"
                found.append(self._failure(case.place, what, wanted, got))
        return found

    def _expr(self, case: ExprTest, world: TestSeries) -> list[Failure]:
        what = f"{self._name}: {case.expr!r} at {written(case.at_ms)}"
        try:
            rows = world.rows(case.expr, self._test.start_ms + case.at_ms)
        except Unreadable as error:
            return [self._failure(case.place, what, ["a result"], [error.reason])]
        got = sorted(((label_sets.frozen(row.labels), row.value) for row in rows), key=_order)
        wanted = sorted(case.samples, key=_order)
        if len(got) == len(wanted) and all(map(self._is_alike, wanted, got)):
            return []
        return [self._failure(case.place, what, map(_sample, wanted), map(_sample, got))]

    def _is_alike(self, wanted: tuple[Frozen, float], got: tuple[Frozen, float]) -> bool:
        if wanted[0] != got[0]:
            return False
        one, two = wanted[1], got[1]
        if math.isnan(one) and math.isnan(two):
            return True
        return one == two or (self._file.is_fuzzy and math.isclose(one, two, rel_tol=FUZZ))

    def _failure(
        self, place: Position, what: str, wanted: Iterable[str], got: Iterable[str]
    ) -> Failure:
        return Failure(
            test=self._name, place=place, what=what, expected=tuple(wanted), got=tuple(got)
        )


def _all(state: RuleState) -> list[Alert]:
    return [*state.alerts.values(), *state.health.values()]


def _order(sample: tuple[Frozen, float]) -> tuple[Frozen, str]:
    return sample[0], repr(sample[1])


def _as_expected(alert: Alert) -> Expected:
    labels: Mapping[str, str] = alert.labels
    bare = {name: value for name, value in labels.items() if name != "alertname"}
    return Expected(tuple(sorted(bare.items())), tuple(sorted(alert.annotations.items())))


def _shown(name: str, one: Expected) -> str:
    labels = label_sets.written({"alertname": name, **dict(one.labels)})
    return f"{labels} {label_sets.written(dict(one.annotations))}"


def _sample(sample: tuple[Frozen, float]) -> str:
    return f"{label_sets.written(dict(sample[0]))} {sample[1]!r}"
