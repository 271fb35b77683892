"""Watching goes on after a restart as if there had been none, whenever that happens."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.watching.catalogue import STEP_MS, Key
from analytics.watching.watch import Minute, Watch, Watched, WatchRules

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

    def taken_up(self, at_ms: int) -> Watch:
        series = []
        for key, since_ms, active_ms, snapshot_ms, snapshot in self.series.values():
            watched = Watched("local", key, since_ms)
            watched.active_ms = active_ms
            watched.restore(snapshot, snapshot_ms)
            watched.resume(self.told.get(watched.id, {}), until_ms=at_ms)
            series.append(watched)
        return Watch("local", RULES, series)


@pytest.mark.requirement("watching-resumes")
@given(readings=READINGS, cut=st.integers(1, 39))
def test_what_comes_after_a_restart_is_what_would_have_come(
    readings: list[dict[Key, float]], cut: int
) -> None:
    whole, store = Watch("local", RULES), _Store()
    restarted = Watch("local", RULES)
    for minute, here in enumerate(readings, start=1):
        at_ms = minute * STEP_MS
        expected = whole.learn(at_ms, here)
        got = restarted.learn(at_ms, here)
        store.put(got)

        assert got.scores == expected.scores
        assert got.anomalies == expected.anomalies
        if minute == min(cut, len(readings) - 1):
            restarted = store.taken_up(at_ms)
