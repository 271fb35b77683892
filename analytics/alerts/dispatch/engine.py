"""Everything at one moment: all rules that are due, then one pass that decides what to tell.

`step` is the whole of alerting as one pure function: what is known and the series in, what is known
and the notices out. Ticks lie on the grid of each group's interval in event time, so a late step
evaluates at the same moments as a timely one; ticks that were passed over are counted. What it
returns is to be kept in one transaction with the notices, which are sent after it.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Protocol

from msgspec import Struct

from analytics.alerts.dispatch import dispatcher as dispatch
from analytics.alerts.dispatch.dispatcher import Arrivals
from analytics.alerts.dispatch.groups import Acknowledgement, Dispatch, Notice, SentAlert
from analytics.alerts.dispatch.routes import Routing
from analytics.alerts.notify import links
from analytics.alerts.rules import expressions
from analytics.alerts.rules.evaluation import (
    Failed,
    Outcome,
    Returned,
    Row,
    RuleState,
    Surroundings,
    tick,
)
from analytics.alerts.rules.expressions import Unreadable
from analytics.alerts.rules.rules import AlertRule, Group, NoData, RecordRule, RuleFile
from analytics.alerts.rules.states import Alert, AlertState, Transition
from analytics.alerts.silence.silences import Silence
from analytics.alerts.template.execution import Ask, Work
from analytics.alerts.template.values import Sample

QUERIES_MAX: Final = 100
"""How many different queries the templates of a group may ask at one time."""
INTERVAL_MS: Final = 60_000
"""How often a group is evaluated that does not say."""


class SeriesStore(Protocol):
    """The series that rules read and write."""

    def rows(self, expr: str, at_ms: int) -> Sequence[Row]:
        """Return what `expr` gives at a time; raise `Unreadable` if it cannot be evaluated."""
        ...

    def write(self, writer: str, rows: Sequence[Row], at_ms: int) -> None:
        """Keep a rule's results; series that it wrote before and did not now are over."""
        ...

    def is_live(self, labels: Mapping[str, str]) -> bool:
        """Say whether what has these labels is told of as it happens, so that it may be missed."""
        ...


class Situation(Struct, frozen=True, kw_only=True):
    """All that alerting knows; encode it, keep it, and go on from it."""

    rules: dict[str, RuleState] = {}
    ticks: dict[str, int] = {}
    """The last tick of each group."""
    skipped: dict[str, int] = {}
    """How many ticks of each group were passed over."""
    dispatch: Dispatch = Dispatch()


class Setup(Struct, frozen=True, kw_only=True):
    """What people configured."""

    files: tuple[RuleFile, ...]
    routing: Routing
    interval_ms: int = INTERVAL_MS
    external_labels: Mapping[str, str] = {}
    external_url: str = ""


class Events(Struct, frozen=True, kw_only=True):
    """What people did."""

    silences: Sequence[Silence] = ()
    acknowledgements: Sequence[Acknowledgement] = ()


QUIET: Final = Events()
"""Nobody did anything."""


class Evaluated(Struct, frozen=True, kw_only=True):
    """What came of one moment."""

    situation: Situation
    transitions: tuple[Transition, ...]
    notices: tuple[Notice, ...]


def step(
    setup: Setup, was: Situation, series: SeriesStore, now_ms: int, events: Events = QUIET
) -> Evaluated:
    """Evaluate what is due and decide what to tell."""
    rules, ticks, skipped = dict(was.rules), dict(was.ticks), dict(was.skipped)
    changed: list[Transition] = []
    live: set[str] = set()
    for name, group in named_groups(setup.files):
        interval_ms = group.interval_ms or setup.interval_ms
        at_ms = now_ms - now_ms % interval_ms
        live |= {rule_id(name, position) for position in range(len(group.rules))}
        if name in ticks and at_ms <= ticks[name]:
            continue
        skipped[name] = skipped.get(name, 0) + _passed(ticks.get(name), at_ms, interval_ms)
        ticks[name] = at_ms
        evaluation = Evaluation(setup, name, group, series)
        changed += evaluation.run(rules, at_ms)
    rules = {name: state for name, state in rules.items() if name in live}
    arrivals = Arrivals(
        alerts=tuple(told(rules.values(), setup.external_url)),
        silences=events.silences,
        acknowledgements=events.acknowledgements,
    )
    groups, notices = dispatch.dispatch(setup.routing, was.dispatch, arrivals, now_ms)
    situation = Situation(rules=rules, ticks=ticks, skipped=skipped, dispatch=groups)
    return Evaluated(situation=situation, transitions=tuple(changed), notices=notices)


def named_groups(files: Iterable[RuleFile]) -> list[tuple[str, Group]]:
    """Return every group with its name across files."""
    return [(f"{one.path};{group.name}", group) for one in files for group in one.groups]


def rule_id(group: str, position: int) -> str:
    """Return what a rule's state is kept under."""
    return f"{group};{position}"


def told(states: Iterable[RuleState], external_url: str) -> list[SentAlert]:
    """Return the alerts that receivers may be told of, with their links."""
    return [
        _told(alert, external_url)
        for state in states
        for alert in (*state.alerts.values(), *state.health.values())
        if alert.state in {AlertState.FIRING, AlertState.RESOLVED}
    ]


class Evaluation:
    """One group at one time."""

    def __init__(self, setup: Setup, name: str, group: Group, series: SeriesStore) -> None:
        self._name = name
        self._group = group
        self._series = series
        self._setup = setup

    def run(self, rules: dict[str, RuleState], at_ms: int) -> list[Transition]:
        """Evaluate every rule in order, put its state into `rules`, and return what changed."""
        changed: list[Transition] = []
        asked_ms = at_ms - self._group.query_offset_ms
        around = Surroundings(
            limit=self._group.limit,
            external_labels=self._setup.external_labels,
            external_url=self._setup.external_url,
            ask=self._answers(asked_ms),
            work=Work(),
        )
        for position, rule in enumerate(self._group.rules):
            name = rule_id(self._name, position)
            if isinstance(rule, RecordRule):
                self._record(name, rule, asked_ms)
                continue
            before = rules.get(name, RuleState())
            outcome = self._outcome(rule, before, asked_ms)
            rules[name], transitions = tick(rule, before, outcome, at_ms, around)
            changed += transitions
            self._series.write(name, alert_rows(rules[name]), asked_ms)
        return changed

    def _answers(self, asked_ms: int) -> Ask:
        """Return what answers the queries of templates, each once, `QUERIES_MAX` at one time."""
        known: dict[str, list[Sample] | ValueError] = {}

        def ask(expr: str) -> list[Sample]:
            if expr not in known:
                if len(known) >= QUERIES_MAX:
                    raise ValueError(f"the templates of a group may ask {QUERIES_MAX} queries")
                known[expr] = self._answer(expr, asked_ms)
            found = known[expr]
            if isinstance(found, ValueError):
                raise found
            return found

        return ask

    def _answer(self, expr: str, asked_ms: int) -> list[Sample] | ValueError:
        try:
            rows = self._series.rows(expr, asked_ms)
        except Unreadable as error:
            return ValueError(error.reason)
        return [Sample(dict(row.labels), float(row.value)) for row in rows]

    def _record(self, name: str, rule: RecordRule, asked_ms: int) -> None:
        try:
            rows = self._series.rows(rule.expr, asked_ms)
        except Unreadable:
            rows = ()
        recorded = [
            Row({**row.labels, **rule.labels, "__name__": rule.name}, row.value) for row in rows
        ]
        limit = self._group.limit
        self._series.write(name, [] if limit and len(recorded) > limit else recorded, asked_ms)

    def _outcome(self, rule: AlertRule, before: RuleState, asked_ms: int) -> Outcome:
        try:
            rows = self._series.rows(rule.expr, asked_ms)
            present = self._present(rule, before, asked_ms)
        except Unreadable as error:
            return Failed(error.reason)
        return Returned(rows, present)

    def _present(
        self, rule: AlertRule, before: RuleState, asked_ms: int
    ) -> list[Mapping[str, str]] | None:
        """Return of what there is data; not asked where no answer would change anything."""
        subject = expressions.shape(rule.expr).subject
        if subject is None or (rule.no_data is NoData.OK and before.has_seen):
            return None
        rows = self._series.rows(subject, asked_ms)
        return [row.labels for row in rows if self._series.is_live(row.labels)]


def alert_rows(state: RuleState) -> list[Row]:
    """Return the series `ALERTS` and `ALERTS_FOR_STATE` of a rule."""
    rows = []
    for alert in state.alerts.values():
        if alert.state not in {AlertState.PENDING, AlertState.FIRING}:
            continue
        labels = {**alert.labels, "__name__": "ALERTS", "alertstate": alert.state.value}
        rows.append(Row(labels, 1.0))
        labels = {**alert.labels, "__name__": "ALERTS_FOR_STATE"}
        rows.append(Row(labels, alert.active_at_ms // 1_000))
    return rows


def _passed(last_ms: int | None, at_ms: int, interval_ms: int) -> int:
    return 0 if last_ms is None else max(0, (at_ms - last_ms) // interval_ms - 1)


def _told(alert: Alert, external_url: str) -> SentAlert:
    added = links.annotations(external_url, alert.labels, alert.annotations)
    if alert.reason:
        added["reason"] = alert.reason
    return SentAlert(
        labels=alert.labels,
        annotations={**added, **alert.annotations},
        starts_at_ms=alert.starts_at_ms,
        ends_at_ms=alert.ends_at_ms if alert.state is AlertState.RESOLVED else None,
        generator_url=links.view(external_url, alert),
    )
