"""All watched series of one tenant: a minute of readings in, scores and anomalies out.

A `SeriesMonitor` is exact over restarts: what it needs is each series' last snapshot and the
readings told of since. To keep both small, a share of the series is snapshot every minute, each
once in `snapshot_minutes`; every reading that is not told of was a zero of a count, or none at all.
So a series goes on from its snapshot as if nothing had happened, see `MonitoredSeries.resume`.

Series come as readings that are not zero come, up to `series_max`, and go when they had none for
long. Memory and time grow with the series alone; counts that had something in one minute alone
share a detector (see `cohort`).
"""

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec
from msgspec import Struct

from analytics.anomaly.contributions import Contribution, contributions
from analytics.anomaly.detector import BadSnapshot, Detector
from analytics.anomaly.reasons import ReadingScore
from analytics.anomaly.specs import DetectorSpec
from analytics.monitoring.catalogue import BY_NAME, STEP_MS, Key, spec_of, threshold_of, watch_id
from analytics.monitoring.cohort import Cohort

USUAL_KEEPS: Final = 0.05
"""How much of each reading goes into what is usual for a part."""
NOTABLE: Final = 0.5
"""A score from which a reading is kept though it is zero."""
FORGOTTEN_MS: Final = 7 * 86_400_000
SESSION_FORGOTTEN_MS: Final = 2 * 3_600_000
BRIEF_FORGOTTEN_MS: Final = 3_600_000
"""How long a series may have nothing but zeros before it is not watched any more: of a whole or a
part, of a session, and of a part that had something in one minute alone, such as a label that never
came again."""
BLAMES_MAX: Final = 10


class WatchRules(Struct, frozen=True, kw_only=True):
    """How much is watched, and how often a series is snapshot."""

    series_max: int = 10_000
    """Of one tenant."""
    snapshot_minutes: int = 120


class Score(Struct, frozen=True, gc=False):
    """A reading of a series with its band."""

    watch_id: int
    value: float
    low: float
    high: float
    score: float


class DetectedAnomaly(Struct, frozen=True, kw_only=True):
    """A reading that is told of."""

    watch_id: int
    key: Key
    verdict: ReadingScore
    contributors: tuple[Contribution, ...]


class MonitoredSeries:
    """One series: its detector, which it may share, and what is usual for it."""

    __slots__ = (
        "_own",
        "active_ms",
        "before",
        "cohort",
        "id",
        "is_count",
        "key",
        "since_ms",
        "snapshot_ms",
        "usual",
    )  # fmt: skip

    def __init__(self, tenant: str, key: Key, since_ms: int) -> None:
        self.id = watch_id(tenant, key)
        self.key = key
        self._own: Detector | None = None
        self.cohort: Cohort | None = None
        """The detector of all that had this one reading; none once the series has its own."""
        self.is_count = BY_NAME[key.measure].is_count
        self.usual = self.before = 0.0
        """The average that is usual, with the last reading and before it."""
        self.since_ms = self.active_ms = since_ms
        """The minute of its first reading, and of its last that was not zero."""
        self.snapshot_ms = 0

    def part(self) -> Detector:
        """Return its own detector, which it shares with none from now on."""
        if self._own is None:
            self._own = Detector(spec_of(self.key)) if self.cohort is None else self.cohort.copy()
            self.cohort = None
        return self._own

    @property
    def is_new(self) -> bool:
        """Whether it has had no reading."""
        return self._own is None and self.cohort is None

    @property
    def spec(self) -> DetectorSpec:
        """How it is judged."""
        return spec_of(self.key) if self._own is None else self._own.spec

    def learn(self, at_ms: int, value: float) -> ReadingScore:
        """Take a reading."""
        if value:
            self.active_ms = at_ms
        if self.cohort is None or value:
            verdict = self.part().learn(at_ms, value)
        else:
            verdict = self.cohort.zero(at_ms)
        return self._usually(value, verdict)

    def begin(self, at_ms: int, value: float, cohort: Cohort) -> ReadingScore:
        """Take the first reading, which others have in the same minute."""
        self.cohort, self.active_ms = cohort, at_ms
        return self._usually(value, cohort.first())

    def _usually(self, value: float, verdict: ReadingScore) -> ReadingScore:
        self.before = self.usual
        self.usual += (value - self.usual) * USUAL_KEEPS
        return verdict

    def snapshot(self) -> bytes:
        """Return what `restore` needs."""
        held = self.part() if self.cohort is None else self.cohort
        return _ENCODER.encode((self.usual, held.snapshot()))

    def restore(self, snapshot: bytes, at_ms: int) -> None:
        """Go on from a snapshot; raise `BadSnapshot`."""
        try:
            self.usual, data = _DECODER.decode(snapshot)
        except msgspec.MsgspecError as error:
            raise BadSnapshot(f"not a watched series' snapshot: {error}") from error
        self._own, self.cohort = Detector.restore(data), None
        self.snapshot_ms = at_ms

    def resume(self, told: Mapping[int, float], *, until_ms: int) -> None:
        """Take the readings between the snapshot and `until_ms` again; `told` holds some of them.

        What is not told of was a zero of a count, or no reading of anything else.
        """
        first_ms = max(self.snapshot_ms + STEP_MS, self.since_ms)
        if not self.is_count:
            for at_ms in sorted(told):
                if first_ms <= at_ms <= until_ms:
                    self.learn(at_ms, told[at_ms])
            return
        for at_ms in range(first_ms, until_ms + 1, STEP_MS):
            self.learn(at_ms, told.get(at_ms, 0.0))


class Minute(Struct, frozen=True, kw_only=True):
    """What came of one minute."""

    at_ms: int
    scores: tuple[Score, ...]
    anomalies: tuple[DetectedAnomaly, ...]
    begun: tuple[MonitoredSeries, ...]
    snapshots: tuple[MonitoredSeries, ...]
    """Those whose turn it is; a series that begins is among them."""
    gone: tuple[MonitoredSeries, ...]
    refused: int
    """Series that came while there was no room."""


class SeriesMonitor:
    """See the module."""

    def __init__(
        self, tenant: str, rules: WatchRules, series: Iterable[MonitoredSeries] = ()
    ) -> None:
        self.tenant = tenant
        self._rules = rules
        self._series = {one.key: one for one in series}

    def __len__(self) -> int:
        return len(self._series)

    @property
    def series(self) -> Iterable[MonitoredSeries]:
        """All of them."""
        return self._series.values()

    def learn(self, at_ms: int, readings: Mapping[Key, float]) -> Minute:
        """Take the readings of a minute; a count that is not among them is zero.

        `at_ms` is the minute's end, and follows the last one's.
        """
        begun, refused = self._begin(at_ms, readings)
        scores: list[Score] = []
        found: list[tuple[MonitoredSeries, ReadingScore]] = []
        alike: dict[tuple[DetectorSpec, float], Cohort] = {}
        self._part(readings)
        for watched in self._series.values():
            value = readings.get(watched.key, 0.0 if watched.is_count else None)
            if value is None:
                continue
            if watched.is_new and watched.is_count:
                verdict = watched.begin(at_ms, value, _of_those(alike, watched.spec, at_ms, value))
            else:
                verdict = watched.learn(at_ms, value)
            if _is_kept(watched, verdict):
                scores.append(_score(watched, verdict))
            if verdict.is_anomaly:
                found.append((watched, verdict))
        return Minute(
            at_ms=at_ms,
            scores=tuple(scores),
            anomalies=tuple(self._told(one, verdict, readings) for one, verdict in found),
            begun=begun,
            snapshots=self._turned(at_ms),
            gone=self._forget(at_ms),
            refused=refused,
        )

    def learn_feedback(self, words: Mapping[int, tuple[int, int]]) -> tuple[MonitoredSeries, ...]:
        """Judge by what people said: by id, how many anomalies were useful and how many noise.

        Returns the series that are judged otherwise from here on, which have to be snapshot.
        """
        changed = []
        for watched in self._series.values():
            threshold = threshold_of(*words.get(watched.id, (0, 0)))
            if watched.spec.threshold != threshold:
                watched.part().retune(threshold)
                changed.append(watched)
        return tuple(changed)

    def _part(self, readings: Mapping[Key, float]) -> None:
        """Have those go on by themselves that have a second reading, before the others learn."""
        for watched in self._series.values():
            if watched.cohort is not None and readings.get(watched.key):
                watched.part()

    def _begin(
        self, at_ms: int, readings: Mapping[Key, float]
    ) -> tuple[tuple[MonitoredSeries, ...], int]:
        """Watch the series that come, as far as there is room; return them, and the refused."""
        fresh = sorted(key for key, value in readings.items() if value and key not in self._series)
        room = max(0, self._rules.series_max - len(self._series))
        begun = tuple(MonitoredSeries(self.tenant, key, at_ms) for key in fresh[:room])
        self._series |= {one.key: one for one in begun}
        return begun, len(fresh) - len(begun)

    def _turned(self, at_ms: int) -> tuple[MonitoredSeries, ...]:
        every = self._rules.snapshot_minutes
        turn = at_ms // STEP_MS % every
        turned = tuple(
            one for one in self._series.values() if one.id % every == turn or one.since_ms == at_ms
        )
        for one in turned:
            one.snapshot_ms = at_ms
        return turned

    def _forget(self, at_ms: int) -> tuple[MonitoredSeries, ...]:
        gone = tuple(one for one in self._series.values() if at_ms - one.active_ms > _kept_ms(one))
        for one in gone:
            del self._series[one.key]
        return gone

    def _told(
        self, watched: MonitoredSeries, verdict: ReadingScore, readings: Mapping[Key, float]
    ) -> DetectedAnomaly:
        contributors: tuple[Contribution, ...] = ()
        if not watched.key.dimension and watched.is_count:
            contributors = self._contributors(watched.key.measure, readings)
        return DetectedAnomaly(
            watch_id=watched.id, key=watched.key, verdict=verdict, contributors=contributors
        )

    def _contributors(
        self, measure: str, readings: Mapping[Key, float]
    ) -> tuple[Contribution, ...]:
        """Return which parts of the whole moved, against what is usual for each."""
        before: dict[str, dict[str, float]] = {}
        after: dict[str, dict[str, float]] = {}
        for key, watched in self._series.items():
            if key.measure == measure and key.dimension:
                before.setdefault(key.dimension, {})[key.part] = watched.before
                after.setdefault(key.dimension, {})[key.part] = readings.get(key, 0.0)
        return contributions(before, after, limit=BLAMES_MAX)


def _of_those(
    alike: dict[tuple[DetectorSpec, float], Cohort],
    spec: DetectorSpec,
    at_ms: int,
    value: float,
) -> Cohort:
    """Return the detector of all that begin with this value in this minute."""
    key = (spec, value)
    if key not in alike:
        alike[key] = Cohort(spec, at_ms, value)
    return alike[key]


def _kept_ms(watched: MonitoredSeries) -> int:
    if watched.key.dimension and watched.active_ms == watched.since_ms:
        return BRIEF_FORGOTTEN_MS
    return SESSION_FORGOTTEN_MS if watched.key.dimension == "session" else FORGOTTEN_MS


def _is_kept(watched: MonitoredSeries, verdict: ReadingScore) -> bool:
    """Say whether a reading is told of: nobody can tell a zero of a count that is not."""
    is_plain = watched.is_count and not verdict.value and verdict.score < NOTABLE
    return not is_plain or not watched.key.dimension


def _score(watched: MonitoredSeries, verdict: ReadingScore) -> Score:
    low, high = verdict.expected_low, verdict.expected_high
    if watched.is_count:
        low, high = max(low, 0.0), max(high, 0.0)
    return Score(watched.id, verdict.value, low, high, verdict.score)


_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(tuple[float, bytes])
