"""An online detector of anomalies for one series: causal, bounded, explainable, resumable.

Each view of a reading (`shapes`) is held against all earlier ones and gets a p-value (`coverage`).
The rarities, minus their logarithms to ten, are joined by a power mean `s`, and the score is
`1 - 10**-s`: the chance that nothing as rare had come. It is an anomaly from the spec's threshold
on; after one, scores count by half for a while (the refractory time), so that one incident is told
once.

Promises: the verdict on a reading depends on it and earlier ones only; memory and `snapshot` are
bounded (64 KiB) whatever comes; a restored detector gives the very verdicts that an uninterrupted
one gives; NaN and infinities are told and never learned; a clock that goes back is borne.
"""

import math
from typing import Final

import msgspec
from msgspec import Struct, structs

from analytics.anomaly.coverage import SEEN_MIN, Coverage
from analytics.anomaly.reasons import ReadingScore, reason_of
from analytics.anomaly.shapes import VIEWS, Shapes
from analytics.anomaly.specs import DetectorSpec, SeriesKind, judged, told
from analytics.contracts.errors import Refused

SNAPSHOT_BYTES_MAX: Final = 65_536
VERSION: Final = 1
SILENCE: Final = "silence"
INTERVALS_MIN: Final = 30
GAP_GROWTH: Final = 2.0
QUIET_WEIGHT: Final = 0.5


class BadSnapshot(Refused):
    """Bytes that are no snapshot of a detector."""

    code = "bad-snapshot"


class _State(Struct):
    version: int
    spec: DetectorSpec
    shapes: Shapes
    views: list[Coverage]
    rows: int = 0
    changes: int = 0
    quiet: int = 0
    at_ms: int | None = None
    raw: float | None = None
    judged: float | None = None
    interval_ms: float = 0.0
    gap_ms: int = 0
    intervals: int = 0


class Detector:
    """See the module."""

    __slots__ = ("_state", "spec")

    def __init__(self, spec: DetectorSpec | None = None) -> None:
        self.spec = spec or DetectorSpec()
        views = [Coverage() for _ in VIEWS]
        self._state = _State(VERSION, self.spec, Shapes(), views)

    @classmethod
    def restore(cls, snapshot: bytes) -> "Detector":
        """Return the detector of a snapshot; raise `BadSnapshot` if it is none."""
        try:
            state = _DECODER.decode(snapshot)
        except msgspec.MsgspecError as error:
            raise BadSnapshot(
                f"not a detector's snapshot: {error}; start a fresh detector"
            ) from error
        if state.version != VERSION or len(state.views) != len(VIEWS):
            raise BadSnapshot(
                f"a detector's snapshot of version {state.version!r}, this reads {VERSION!r}; "
                "start a fresh detector"
            )
        found = cls(state.spec)
        found._state = state
        return found

    def snapshot(self) -> bytes:
        """Return everything that `restore` needs, at most `SNAPSHOT_BYTES_MAX` bytes."""
        return _ENCODER.encode(self._state)

    def retune(self, threshold: float) -> None:
        """Tell of an anomaly from another score on; scores stay as they are."""
        self.spec = self._state.spec = structs.replace(self.spec, threshold=threshold)

    def learn(self, at_ms: int, value: float) -> ReadingScore:
        """Judge a reading by what came before it, then learn it."""
        state = self._state
        if not math.isfinite(value):
            return self._unjudged(at_ms, value, f"{value!r} is not a number to judge; not learned")
        silence = self._interval(at_ms)
        number = self._number(at_ms, value)
        state.at_ms = at_ms if state.at_ms is None else max(state.at_ms, at_ms)
        state.raw = value
        if number is None:
            return self._unjudged(at_ms, value, "a counter's first reading or its restart")
        low, high = self._expected(at_ms)
        rarities = self._rarities(at_ms, number)
        rarities[SILENCE] = silence
        return self._verdict(at_ms, value, rarities=rarities, low=low, high=high)

    def silent(self, now_ms: int) -> ReadingScore | None:
        """Return a verdict if no reading came for far longer than ever, without learning it."""
        state = self._state
        rarity = 0.0 if state.at_ms is None else self._silence(now_ms - state.at_ms)
        score = 1 - 10**-rarity
        if score < self.spec.threshold or state.raw is None:
            return None
        low, high = self._expected(now_ms)
        return ReadingScore(
            at_ms=now_ms, value=math.nan, score=score, is_anomaly=True, expected_low=low,
            expected_high=high, ingredient=SILENCE, rarities={SILENCE: rarity},
            reason=reason_of(SILENCE, math.nan, low=low, high=high, rarity=rarity),
        )  # fmt: skip

    def _interval(self, at_ms: int) -> float:
        """Return how rare the time since the last reading is, and learn it."""
        state = self._state
        gap_ms = 0 if state.at_ms is None else at_ms - state.at_ms
        if gap_ms <= 0:
            return 0.0
        rarity = self._silence(gap_ms)
        state.intervals += 1
        state.gap_ms = max(state.gap_ms, gap_ms)
        held = min(float(gap_ms), 4 * state.interval_ms) if state.interval_ms else float(gap_ms)
        state.interval_ms += (held - state.interval_ms) / min(state.intervals, 100)
        return rarity

    def _silence(self, gap_ms: int) -> float:
        state = self._state
        if self.spec.kind is SeriesKind.SPARSE or state.intervals < INTERVALS_MIN:
            return 0.0
        usual_ms = self.spec.silence_intervals * state.interval_ms
        if gap_ms < max(usual_ms, GAP_GROWTH * state.gap_ms):
            return 0.0
        return math.log10(state.intervals + 1)

    def _number(self, at_ms: int, value: float) -> float | None:
        """Return what is judged of a reading; nothing of a counter without a reading before."""
        state = self._state
        if self.spec.kind is not SeriesKind.COUNTER:
            return judged(self.spec.kind, value)
        if state.raw is None or state.at_ms is None or value < state.raw or at_ms <= state.at_ms:
            return None
        rate = (judged(SeriesKind.COUNTER, value) - judged(SeriesKind.COUNTER, state.raw)) * 1_000
        return rate / (at_ms - state.at_ms)

    def _rarities(self, at_ms: int, number: float) -> dict[str, float]:
        state, spec = self._state, self.spec
        state.changes += state.judged is not None and state.judged != number
        state.judged = number
        seen_min = 0 if spec.kind is SeriesKind.SPARSE else SEEN_MIN
        numbers = state.shapes.learn(at_ms, number, width=spec.width)
        return {
            view.value: coverage.learn(one, seen_min=seen_min)
            for view, coverage, one in zip(VIEWS, state.views, numbers, strict=True)
        }

    def _verdict(
        self, at_ms: int, value: float, *, rarities: dict[str, float], low: float, high: float
    ) -> ReadingScore:
        state, spec = self._state, self.spec
        state.rows += 1
        ingredient = max(rarities, key=rarities.__getitem__)
        score = 1 - 10 ** -self._joined(rarities)
        if state.quiet:
            state.quiet -= 1
            score *= QUIET_WEIGHT
        is_anomaly = score >= spec.threshold
        if is_anomaly:
            share = int(spec.quiet_share * state.rows)
            state.quiet = min(spec.quiet_max, max(spec.quiet_min, share))
        reason = ""
        if is_anomaly:
            rarity = rarities[ingredient]
            reason = reason_of(ingredient, value, low=low, high=high, rarity=rarity)
        return ReadingScore(
            at_ms=at_ms, value=value, score=score, is_anomaly=is_anomaly, expected_low=low,
            expected_high=high, ingredient=ingredient if is_anomaly else "", rarities=rarities,
            reason=reason,
        )  # fmt: skip

    def _joined(self, rarities: dict[str, float]) -> float:
        state, power = self._state, self.spec.power
        changes_min = 0 if self.spec.kind is SeriesKind.SPARSE else self.spec.changes_min
        joined = 0.0
        if state.changes >= changes_min:
            total = sum(rarities[view.value] ** power for view in VIEWS)
            joined = (total / len(VIEWS)) ** (1 / power)
        return max(joined, rarities[SILENCE])

    def _expected(self, at_ms: int) -> tuple[float, float]:
        low, high = self._state.shapes.expected(at_ms)
        kind = self.spec.kind
        return told(kind, low), told(kind, high)

    def _unjudged(self, at_ms: int, value: float, reason: str) -> ReadingScore:
        low, high = self._expected(at_ms)
        return ReadingScore(
            at_ms=at_ms, value=value, score=0.0, is_anomaly=False, expected_low=low,
            expected_high=high, ingredient="", rarities={}, reason=reason,
        )  # fmt: skip


_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(_State)
