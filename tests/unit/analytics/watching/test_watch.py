"""A tenant's watched series: what begins, what is kept, what is told of and what goes."""

import random
from typing import Final

import pytest

from analytics.anomaly.detector import BadSnapshot
from analytics.monitoring import catalogue
from analytics.monitoring.catalogue import STEP_MS, Key
from analytics.monitoring.monitor import (
    BRIEF_FORGOTTEN_MS,
    SESSION_FORGOTTEN_MS,
    Minute,
    MonitoredSeries,
    SeriesMonitor,
    WatchRules,
)

COST: Final = Key("cost_usd")
OF_MODEL: Final = Key("cost_usd", "model", "m")
OF_OTHER: Final = Key("cost_usd", "model", "other")
ERRORS: Final = Key("tool_errors")
LATENCY: Final = Key("request_p95_ms")
OF_SESSION: Final = Key("cost_usd", "session", "s1")


def _watch(series_max: int = 100, snapshot_minutes: int = 7) -> SeriesMonitor:
    return SeriesMonitor(
        "local", WatchRules(series_max=series_max, snapshot_minutes=snapshot_minutes)
    )


def _kept(minute: Minute) -> set[int]:
    return {one.watch_id for one in minute.scores}


def test_a_series_begins_with_its_first_reading_that_is_not_zero() -> None:
    watch = _watch()

    first = watch.learn(STEP_MS, {COST: 1.0, ERRORS: 0.0})
    second = watch.learn(2 * STEP_MS, {ERRORS: 2.0})

    assert [one.key for one in first.begun] == [COST]
    assert [one.key for one in second.begun] == [ERRORS]


def test_a_count_without_a_window_is_a_zero_and_a_duration_is_no_reading() -> None:
    watch = _watch()
    watch.learn(STEP_MS, {COST: 1.0, LATENCY: 250.0})

    minute = watch.learn(2 * STEP_MS, {})

    assert {one.watch_id: one.value for one in minute.scores} == {
        catalogue.watch_id("local", COST): 0.0
    }


def test_a_zero_of_a_part_is_not_told_of_and_one_of_the_whole_is() -> None:
    watch = _watch()
    watch.learn(STEP_MS, {COST: 1.0, OF_MODEL: 1.0})

    minute = watch.learn(2 * STEP_MS, {COST: 0.0, OF_MODEL: 0.0})

    assert _kept(minute) == {catalogue.watch_id("local", COST)}


def test_series_beyond_the_limit_are_refused_and_counted() -> None:
    watch = _watch(series_max=1)

    minute = watch.learn(STEP_MS, {COST: 1.0, OF_MODEL: 1.0, ERRORS: 1.0})

    assert len(watch) == 1
    assert minute.refused == 2


def test_every_series_is_snapshot_when_it_begins_and_once_in_every_round() -> None:
    watch = _watch(snapshot_minutes=7)
    begun = watch.learn(STEP_MS, {COST: 1.0, OF_MODEL: 1.0})

    turns = [watch.learn(at * STEP_MS, {COST: 1.0}).snapshots for at in range(2, 9)]

    assert {one.key for one in begun.snapshots} == {COST, OF_MODEL}
    assert sorted(one.key for turn in turns for one in turn) == [COST, OF_MODEL]


def test_a_session_that_does_nothing_is_forgotten_after_a_while_and_the_fleet_is_not() -> None:
    watch = _watch()
    watch.learn(STEP_MS, {COST: 1.0, OF_SESSION: 1.0})

    minute = watch.learn(STEP_MS + SESSION_FORGOTTEN_MS + STEP_MS, {})

    assert [one.key for one in minute.gone] == [OF_SESSION]
    assert [one.key for one in watch.series] == [COST]


def test_a_part_that_had_something_in_one_minute_alone_is_forgotten_soon() -> None:
    watch = _watch()
    watch.learn(STEP_MS, {COST: 1.0, OF_MODEL: 1.0, OF_OTHER: 1.0})
    watch.learn(2 * STEP_MS, {OF_OTHER: 1.0})

    minute = watch.learn(2 * STEP_MS + BRIEF_FORGOTTEN_MS, {})

    assert [one.key for one in minute.gone] == [OF_MODEL]
    assert {one.key for one in watch.series} == {COST, OF_OTHER}


def test_an_anomaly_of_the_whole_names_the_part_that_moved_most() -> None:
    watch = _watch(snapshot_minutes=120)
    noise = random.Random(7)
    for minute in range(1, 600):
        one, other = noise.gauss(5, 0.3), noise.gauss(5, 0.3)
        quiet = watch.learn(minute * STEP_MS, {COST: one + other, OF_MODEL: one, OF_OTHER: other})

    found = watch.learn(600 * STEP_MS, {COST: 95.0, OF_MODEL: 90.0, OF_OTHER: 5.0})

    assert not quiet.anomalies
    [anomaly] = [one for one in found.anomalies if one.key == COST]
    assert (anomaly.contributors[0].dimension, anomaly.contributors[0].part) == ("model", "m")
    assert anomaly.contributors[0].share > 0.9
    assert "expected" in anomaly.verdict.reason


def test_words_of_noise_raise_a_series_threshold_and_words_of_use_lower_it_again() -> None:
    watch = _watch()
    watch.learn(STEP_MS, {COST: 1.0, OF_MODEL: 1.0})
    series = catalogue.watch_id("local", COST)

    [raised] = watch.learn_feedback({series: (0, 2)})
    again = watch.learn_feedback({series: (0, 2)})
    [lowered] = watch.learn_feedback({series: (2, 2)})

    assert raised is lowered
    assert not again
    assert lowered.spec.threshold == catalogue.threshold_of(0, 0)


@pytest.mark.parametrize(
    ("useful", "noise", "share"),
    [(0, 0, 1.0), (5, 0, 1.0), (0, 1, 0.5), (1, 3, 0.25), (0, 99, 1 / 64)],
)
def test_each_word_of_noise_halves_the_chance_to_be_told_to_a_limit(
    useful: int, noise: int, share: float
) -> None:
    spared = 1 - catalogue.threshold_of(useful, noise)

    assert spared == pytest.approx((1 - catalogue.threshold_of(0, 0)) * share)


def test_what_is_no_snapshot_is_refused() -> None:
    with pytest.raises(BadSnapshot):
        MonitoredSeries("local", COST, STEP_MS).restore(b"\x00", STEP_MS)


def test_tenants_and_series_have_ids_of_their_own() -> None:
    keys = [COST, OF_MODEL, OF_OTHER, Key("tokens"), Key("cost_usd", "mode", "lm")]

    ids = {catalogue.watch_id(tenant, key) for tenant in ("a", "b") for key in keys}

    assert len(ids) == 2 * len(keys)
    assert {catalogue.shard_of(f"tenant-{number}") for number in range(200)} == set(range(16))
