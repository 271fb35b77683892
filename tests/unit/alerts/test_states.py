"""The life of an alert over every state and signal, its clocks, missing data and failures."""

from typing import Final

import msgspec
import pytest

from analytics.alerts.rules import files, states
from analytics.alerts.rules.evaluation import (
    NO_DATA,
    RULE_ERROR,
    Failed,
    Outcome,
    Returned,
    Row,
    RuleState,
    Surroundings,
    tick,
)  # fmt: skip
from analytics.alerts.rules.rules import AlertRule
from analytics.alerts.rules.states import AlertSignal, AlertState

MINUTE: Final = 60_000
LIFE: Final = {
    AlertState.INACTIVE: ("pending", "firing", "inactive", "inactive", "inactive", "inactive"),
    AlertState.PENDING: ("pending", "firing", "inactive", "pending", "pending", "inactive"),
    AlertState.FIRING: ("firing", "firing", "resolved", "firing", "firing", "resolved"),
    AlertState.RESOLVED: ("pending", "firing", "resolved", "resolved", "resolved", "inactive"),
}
"""What each signal does to a state, in the order of `AlertSignal`."""


def _rule(**fields: str) -> AlertRule:
    written = "".join(f"    {name}: {text}\n" for name, text in fields.items())
    body = f"groups:\n- name: g\n  rules:\n  - alert: A\n    expr: v > 1\n{written}"
    rule = files.load("r.yml", body).groups[0].rules[0]
    assert isinstance(rule, AlertRule)
    return rule


def _returned(*series: str, present: tuple[str, ...] | None = None) -> Returned:
    rows = [Row({"__name__": "v", "s": one}, 2.0) for one in series]
    there = series if present is None else present
    return Returned(rows, [{"__name__": "v", "s": one} for one in there])


class _Life:
    """A rule over time."""

    def __init__(self, rule: AlertRule, around: Surroundings | None = None) -> None:
        self._rule = rule
        self._around = around or Surroundings()
        self.state = RuleState()
        self.now_ms = 0
        self.said: list[tuple[str, str, str, str]] = []

    def take(self, outcome: Outcome, after_ms: int = MINUTE) -> dict[str, str]:
        self.now_ms += after_ms
        self.state, changed = tick(self._rule, self.state, outcome, self.now_ms, self._around)
        for one in changed:
            name = one.alert.labels.get("s") or one.alert.labels["alertname"]
            self.said.append((name, one.was.value, one.state.value, one.alert.reason))
        return self.now()

    def now(self) -> dict[str, str]:
        every = (*self.state.alerts.values(), *self.state.health.values())
        return {one.labels.get("s") or one.labels["alertname"]: one.state.value for one in every}


@pytest.mark.requirement("alert-states")
@pytest.mark.parametrize("state", AlertState)
@pytest.mark.parametrize("signal", AlertSignal)
def test_every_state_has_its_answer_to_every_signal(state: AlertState, signal: AlertSignal) -> None:
    expected = LIFE[state][list(AlertSignal).index(signal)]

    assert states.TRANSITIONS[state][signal].value == expected


def test_an_alert_waits_for_its_time_and_then_fires_once() -> None:
    life = _Life(_rule(**{"for": "2m"}))

    seen = [life.take(_returned("a"))["a"] for _ in range(5)]

    assert seen == ["pending", "pending", "firing", "firing", "firing"]
    assert life.said == [("a", "inactive", "pending", ""), ("a", "pending", "firing", "")]
    alert = next(iter(life.state.alerts.values()))
    assert (alert.active_at_ms, alert.starts_at_ms) == (MINUTE, 3 * MINUTE)


def test_a_pending_alert_that_is_not_returned_is_forgotten_without_a_word_to_anybody() -> None:
    life = _Life(_rule(**{"for": "2m"}))
    life.take(_returned("a"))

    assert life.take(_returned(present=("a",))) == {}


def test_an_alert_keeps_firing_as_long_as_it_is_told_to() -> None:
    life = _Life(_rule(keep_firing_for="2m"))
    life.take(_returned("a"))

    gone = [life.take(_returned(present=("a",)))["a"] for _ in range(3)]

    assert gone == ["firing", "firing", "resolved"]


def test_the_clock_of_keeping_stops_when_the_series_is_back() -> None:
    life = _Life(_rule(keep_firing_for="2m"))
    for series in (("a",), (), ("a",), (), ()):
        life.take(_returned(*series, present=("a",)))

    assert life.now() == {"a": "firing"}


def test_a_resolved_alert_begins_anew_or_is_forgotten_after_a_quarter_of_an_hour() -> None:
    life = _Life(_rule(**{"for": "1m"}))
    for series in (("a",), ("a",), (), ("a",), ("a",)):
        life.take(_returned(*series, present=("a",)))
    again = next(iter(life.state.alerts.values()))
    life.take(_returned(present=("a",)))
    kept = [life.take(_returned(present=("a",))) for _ in range(15)]

    assert (again.state, again.starts_at_ms) == (AlertState.FIRING, 5 * MINUTE)
    assert kept[13] == {"a": "resolved"}
    assert kept[14] == {}


@pytest.mark.requirement("alert-no-data")
def test_without_a_mode_missing_data_resolves_as_a_condition_that_does_not_hold() -> None:
    life = _Life(_rule(no_data="ok"))
    life.take(_returned("a"))

    assert life.take(_returned()) == {"a": "resolved"}


@pytest.mark.requirement("alert-no-data")
def test_kept_alerts_stay_stale_without_data_and_then_resolve_with_the_reason() -> None:
    life = _Life(_rule(no_data="keep", no_data_for="3m"))
    life.take(_returned("a"))

    kept = [life.take(_returned())["a"] for _ in range(2)]
    stale = next(iter(life.state.alerts.values())).is_stale
    life.take(_returned())

    assert (kept, stale) == (["firing", "firing"], True)
    assert life.said[-1] == ("a", "firing", "resolved", "stale")
    assert NO_DATA not in life.now()


@pytest.mark.requirement("alert-no-data")
def test_a_kept_alert_resolves_at_once_when_there_is_data_that_says_so() -> None:
    life = _Life(_rule(no_data="keep", no_data_for="3m"))
    life.take(_returned("a"))

    assert life.take(_returned(present=("a",))) == {"a": "resolved"}


@pytest.mark.requirement("alert-no-data")
def test_missing_series_make_one_alert_a_rule_that_lists_ten_and_counts_the_others() -> None:
    life = _Life(_rule(no_data="alert", no_data_for="3m", labels="{team: x}"))
    names = tuple(f"s{number:02}" for number in range(13))
    life.take(_returned("s00", present=names))
    for _ in range(3):
        life.take(_returned())

    health = life.state.health[NO_DATA]
    assert health.labels == {"alertname": "NoData", "rule": "A", "team": "x"}
    assert "from 13 series" in health.annotations["summary"]
    assert "and 3 more" in health.annotations["summary"]
    assert life.now() == {"s00": "resolved", NO_DATA: "firing"}
    assert life.take(_returned(present=names))[NO_DATA] == "resolved"


@pytest.mark.requirement("alert-no-data")
def test_without_a_time_of_its_own_a_rule_waits_three_usual_intervals_and_five_minutes() -> None:
    quick, slow = _Life(_rule(no_data="alert")), _Life(_rule(no_data="alert"))
    for _ in range(3):
        quick.take(_returned(present=("a",)), MINUTE)
        slow.take(_returned(present=("a",)), 10 * MINUTE)

    quick_said = [NO_DATA in quick.take(_returned()) for _ in range(5)]
    slow_said = [NO_DATA in slow.take(_returned(), 10 * MINUTE) for _ in range(3)]

    assert quick_said == [False] * 4 + [True]
    assert slow_said == [False, False, True]


def test_no_data_ever_is_a_state_and_no_alert() -> None:
    life = _Life(_rule(no_data="alert", no_data_for="1m"))
    for _ in range(5):
        life.take(_returned())

    assert (life.now(), life.state.has_seen) == ({}, False)


@pytest.mark.requirement("alert-no-data")
def test_a_rule_that_fails_keeps_its_alerts_and_tells_once_after_its_time() -> None:
    life = _Life(_rule(no_data_for="2m"))
    life.take(_returned("a", "b"))

    seen = [life.take(Failed("the store is away")) for _ in range(3)]

    assert seen[1] == {"a": "firing", "b": "firing"}
    assert seen[2] == {"a": "firing", "b": "firing", RULE_ERROR: "firing"}
    assert "the store is away" in life.state.health[RULE_ERROR].annotations["summary"]
    assert life.take(_returned("a", "b"))[RULE_ERROR] == "resolved"


@pytest.mark.requirement("alert-no-data")
def test_over_its_limit_a_rule_loses_its_alerts_loudly() -> None:
    life = _Life(_rule(), Surroundings(limit=2))
    life.take(_returned("a", "b"))

    life.take(_returned("a", "b", "c"))

    assert life.now() == {"a": "resolved", "b": "resolved", RULE_ERROR: "firing"}
    assert {one[3] for one in life.said if one[2] == "resolved"} == {"limit"}
    assert life.state.error == "exceeded limit of 2 with 3 alerts"


def test_two_series_that_become_one_alert_are_a_failure_of_the_rule() -> None:
    life = _Life(_rule(labels="{s: same}", no_data_for="0"))

    life.take(_returned("a", "b"))

    assert "two series have the same labels" in life.state.error
    assert list(life.state.alerts) == []


@pytest.mark.requirement("alert-replay")
def test_a_tick_that_was_taken_changes_nothing_when_it_comes_again() -> None:
    life = _Life(_rule())
    life.take(_returned("a"))

    state, changed = tick(_rule(), life.state, _returned("a", "b"), life.now_ms)

    assert (state, changed) == (life.state, ())


@pytest.mark.requirement("alert-replay")
def test_a_state_that_was_kept_and_read_again_is_the_same() -> None:
    life = _Life(_rule(no_data="alert", keep_firing_for="5m"))
    life.take(_returned("a", present=("a", "b")))
    life.take(_returned(present=("b",)))

    kept = msgspec.msgpack.decode(msgspec.msgpack.encode(life.state), type=RuleState)

    assert kept == life.state


def test_an_alert_of_a_series_that_is_not_followed_is_not_kept_for_ever() -> None:
    life = _Life(_rule(no_data="keep"))
    life.take(_returned("a", present=("other",)))

    life.take(_returned(present=("other",)))

    assert life.said[-1] == ("a", "firing", "resolved", "stale")
