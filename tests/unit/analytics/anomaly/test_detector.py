"""The detector: what it finds, what it leaves alone, and what it survives."""

import math
from random import Random

import pytest

from analytics.anomaly.detector import SNAPSHOT_BYTES_MAX, BadSnapshot, Detector
from analytics.anomaly.reasons import ReadingScore
from analytics.anomaly.specs import DetectorSpec, SeriesKind

START_MS = 1_700_000_000_000
EVERY_MS = 300_000
ROWS = 3_000
CHANGE = 2_500
WITHIN = 72
WEEK = 2_016
DAY = 288


def _judged(values: list[float], spec: DetectorSpec | None = None) -> list[ReadingScore]:
    detector = Detector(spec)
    return [detector.learn(START_MS + EVERY_MS * row, one) for row, one in enumerate(values)]


def _alarms(values: list[float], spec: DetectorSpec | None = None) -> list[int]:
    return [row for row, verdict in enumerate(_judged(values, spec)) if verdict.is_anomaly]


def _noise(seed: int) -> list[float]:
    random = Random(seed)
    return [50 + 2 * random.gauss(0, 1) for _ in range(ROWS)]


def _daily(seed: int) -> list[float]:
    random = Random(seed)
    return [50 + 10 * math.sin(math.tau * k / DAY) + random.gauss(0, 1) for k in range(ROWS)]


def _changed(kind: str, seed: int) -> list[float]:
    noise, daily = _noise(seed), _daily(seed)
    after = range(CHANGE, ROWS)
    match kind:
        case "shift":
            return noise[:CHANGE] + [noise[k] + 16 for k in after]
        case "spike":
            return [one + 20 * (k == CHANGE) for k, one in enumerate(noise)]
        case "variance":
            return noise[:CHANGE] + [50 + 4 * (noise[k] - 50) for k in after]
        case "trend":
            return noise[:CHANGE] + [noise[k] + (k - CHANGE) * 0.4 for k in after]
        case "zero":
            return noise[:CHANGE] + [0.0 for _ in after]
        case _:
            return daily[:CHANGE] + [daily[k - DAY // 2] for k in after]


@pytest.mark.requirement("anomaly-synthetic-laws")
@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("kind", ["shift", "spike", "variance", "trend", "zero", "season"])
def test_a_planted_change_is_found_soon_and_hardly_anything_before_it(kind: str, seed: int) -> None:
    alarms = _alarms(_changed(kind, seed))

    assert any(CHANGE <= row < CHANGE + WITHIN for row in alarms)
    assert sum(row < CHANGE for row in alarms) <= CHANGE / WEEK


@pytest.mark.requirement("anomaly-synthetic-laws")
@pytest.mark.parametrize(
    "values",
    [
        [5.0] * ROWS,
        [float(row % 48) for row in range(ROWS)],
        [20.0 if row % DAY < 100 else 80.0 for row in range(ROWS)],
        [5.0 if row < CHANGE else 9.0 for row in range(ROWS)],
        _noise(0),
        _noise(1),
    ],
    ids=["constant", "sawtooth", "square", "step", "noise", "noise again"],
)
def test_what_is_usual_is_left_alone(values: list[float]) -> None:
    assert _alarms(values) == []


@pytest.mark.requirement("anomaly-synthetic-laws")
def test_readings_that_stay_away_are_a_silence() -> None:
    detector = Detector()
    for row, one in enumerate(_noise(0)[:500]):
        detector.learn(START_MS + EVERY_MS * row, one)
    end_ms = START_MS + EVERY_MS * 499

    assert detector.silent(end_ms + 2 * EVERY_MS) is None
    silence = detector.silent(end_ms + 40 * EVERY_MS)
    back = detector.learn(end_ms + 40 * EVERY_MS, 50.0)

    assert silence is not None
    assert silence.ingredient == back.ingredient == "silence"
    assert back.is_anomaly


def test_an_anomaly_says_what_was_expected_what_came_and_how_rare_it_is() -> None:
    verdict = _judged(_changed("spike", 0))[CHANGE]

    assert verdict.expected_low < 50 < verdict.expected_high < verdict.value
    assert verdict.ingredient in verdict.rarities
    assert f"observed {verdict.value:.6g}, expected" in verdict.reason
    assert "once in" in verdict.reason


def test_numbers_that_are_none_are_told_and_not_learned() -> None:
    plain, holed = Detector(), Detector()
    for row, one in enumerate(_noise(3)[:400]):
        at_ms = START_MS + EVERY_MS * row
        for bad in (math.nan, math.inf, -math.inf):
            assert holed.learn(at_ms, bad).score == 0
        assert holed.learn(at_ms, one) == plain.learn(at_ms, one)


def test_huge_numbers_and_a_clock_that_goes_back_break_nothing() -> None:
    detector = Detector()
    for row in range(600):
        at_ms = START_MS + EVERY_MS * (row if row % 7 else -row)
        verdict = detector.learn(at_ms, 1e308 * (-1) ** row if row % 5 else float(row))
        assert 0 <= verdict.score <= 1
        assert math.isfinite(verdict.expected_low)
        assert math.isfinite(verdict.expected_high)


def test_a_restarted_counter_is_no_anomaly_and_a_faster_one_is() -> None:
    random = Random(5)
    total, totals = 0.0, list[float]()
    for row in range(ROWS):
        total = 0.0 if row == 1_500 else total + random.uniform(90, 110) * (1 + 9 * (row == CHANGE))
        totals.append(total)

    alarms = _alarms(totals, DetectorSpec(kind=SeriesKind.COUNTER))
    assert CHANGE in alarms
    assert not any(row in alarms for row in range(1_490, 1_520))


def test_the_first_burst_of_a_sparse_series_is_news() -> None:
    values = [0.0] * ROWS
    values[CHANGE] = 40.0

    assert CHANGE in _alarms(values, DetectorSpec(kind=SeriesKind.SPARSE))
    assert _alarms(values, DetectorSpec(kind=SeriesKind.GAUGE)) == []


def test_a_slow_answer_among_skewed_latencies_is_found() -> None:
    random = Random(8)
    values = [random.lognormvariate(3, 0.4) for _ in range(ROWS)]
    values[CHANGE] = 5_000.0

    assert CHANGE in _alarms(values, DetectorSpec(kind=SeriesKind.LATENCY))


@pytest.mark.requirement("anomaly-bounded-and-resumable")
def test_a_snapshot_is_small_whatever_came() -> None:
    random = Random(1)
    detector = Detector()
    for row in range(6_000):
        detector.learn(START_MS + 4 * EVERY_MS * row, random.lognormvariate(0, 9))

    assert len(detector.snapshot()) <= SNAPSHOT_BYTES_MAX


@pytest.mark.parametrize("snapshot", [b"", b"\xc1", b"\x80", Detector().snapshot()[:-3]])
def test_bytes_that_are_no_snapshot_are_refused(snapshot: bytes) -> None:
    with pytest.raises(BadSnapshot):
        Detector.restore(snapshot)
