"""A cohort: series that had the same single reading in the same minute, with one detector.

A flood of labels that never come again is thousands of series whose detectors would hold the same:
one value, and zeros since. They share one here, which costs memory and time once, until a series
has a second reading that is not zero and goes on by itself, from a copy of exactly what its own
detector would hold.
"""

from analytics.anomaly.detector import Detector
from analytics.anomaly.reasons import ReadingScore
from analytics.anomaly.specs import DetectorSpec


class Cohort:
    """See the module."""

    __slots__ = ("_at_ms", "_detector", "_snapshot", "_verdict")

    def __init__(self, spec: DetectorSpec, at_ms: int, value: float) -> None:
        self._detector = Detector(spec)
        self._at_ms = at_ms
        self._verdict = self._detector.learn(at_ms, value)
        self._snapshot = b""

    def first(self) -> ReadingScore:
        """Return what is said of the one reading."""
        return self._verdict

    def zero(self, at_ms: int) -> ReadingScore:
        """Return what is said of a zero in this minute, the next one or the one asked for last."""
        if at_ms != self._at_ms:
            self._verdict = self._detector.learn(at_ms, 0.0)
            self._at_ms, self._snapshot = at_ms, b""
        return self._verdict

    def snapshot(self) -> bytes:
        """Return what `Detector.restore` needs."""
        self._snapshot = self._snapshot or self._detector.snapshot()
        return self._snapshot

    def copy(self) -> Detector:
        """Return a detector that goes on from here."""
        return Detector.restore(self.snapshot())
