"""Watching goes on after a restart as if there had been none, whenever that happens."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.monitoring.catalogue import STEP_MS, Key, watch_id
from analytics.monitoring.monitor import Minute, MonitoredSeries, SeriesMonitor, WatchRules

KEYS = (
    Key("cost_usd"), Key("cost_usd", "model", "m"), Key("request_p95_ms"), Key("tool_errors"),
)  # fmt: skip
RULES = WatchRules(snapshot_minutes=5)
READINGS = st.lists(
    st.dictionaries(
        st.sampled_from(KEYS),
        st.one_of(st.just(0.0), st.floats(0.001, 1_000), st.floats(1e6, 1e9)),
    ),
    min_size=2,
    max_size=40,
)


class _Store:
    """What a store keeps: snapshots with their time, and the readings that were told of."""

    def __init__(self) -> None:
        self.series: dict[int, tuple[Key, int, int, int, bytes]] = {}
        self.told: dict[int, dict[int, float]] = {}

    def put(self, minute: Minute) -> None:
        for one in minute.snapshots:
            self.series[one.id] = (
                one.key, one.since_ms, one.active_ms, minute.at_ms, one.snapshot(),
            )  # fmt: skip
        for gone in minute.gone:
            del self.series[gone.id]
        for score in minute.scores:
            self.told.setdefault(score.watch_id, {})[minute.at_ms] = score.value

    def taken_up(self, at_ms: int) -> SeriesMonitor:
        series = []
        for key, since_ms, active_ms, snapshot_ms, snapshot in self.series.values():
            watched = MonitoredSeries("local", key, since_ms)
            watched.active_ms = active_ms
            watched.restore(snapshot, snapshot_ms)
            watched.resume(self.told.get(watched.id, {}), until_ms=at_ms)
            series.append(watched)
        return SeriesMonitor("local", RULES, series)


@pytest.mark.requirement("watching-resumes")
@given(readings=READINGS, cut=st.integers(1, 39))
def test_what_comes_after_a_restart_is_what_would_have_come(
    readings: list[dict[Key, float]], cut: int
) -> None:
    whole, store = SeriesMonitor("local", RULES), _Store()
    restarted = SeriesMonitor("local", RULES)
    for minute, here in enumerate(readings, start=1):
        at_ms = minute * STEP_MS
        expected = whole.learn(at_ms, here)
        got = restarted.learn(at_ms, here)
        store.put(got)

        assert got.scores == expected.scores
        assert got.anomalies == expected.anomalies
        if minute == min(cut, len(readings) - 1):
            restarted = store.taken_up(at_ms)


ALIKE = (*(Key("tool_calls", "tool", name) for name in "abcd"), Key("tool_errors"))
FEW = st.lists(
    st.dictionaries(st.sampled_from(ALIKE), st.sampled_from([0.0, 1.0, 1.0, 2.0])),
    min_size=2,
    max_size=70,
)


@given(readings=FEW, told=st.dictionaries(st.integers(1, 69), st.sampled_from(ALIKE)))
def test_a_series_among_others_like_it_is_judged_as_if_it_were_alone(
    readings: list[dict[Key, float]], told: dict[int, Key]
) -> None:
    together = SeriesMonitor("local", RULES)
    alone = {key: SeriesMonitor("local", RULES) for key in ALIKE}
    for minute, here in enumerate(readings, start=1):
        if minute in told:
            words = {watch_id("local", told[minute]): (0, 3)}
            together.learn_feedback(words)
            for one in alone.values():
                one.learn_feedback(words)
        got = together.learn(minute * STEP_MS, here)
        each = [
            one.learn(minute * STEP_MS, {key: here[key]} if key in here else {})
            for key, one in alone.items()
        ]

        assert set(got.scores) == {score for one in each for score in one.scores}
        assert {one.watch_id: one.verdict for one in got.anomalies} == {
            found.watch_id: found.verdict for one in each for found in one.anomalies
        }
    assert {one.id: one.snapshot() for one in together.series} == {
        one.id: one.snapshot() for watch in alone.values() for one in watch.series
    }
