"""An online forecaster of one series: models weighed by their errors, intervals by what held.

Every few steps all models say their paths; as readings come, each path is held against them. The
forecast is the models' mean, weighed for each share of the horizon by how far off each was of late
(inverse power of the discounted absolute error: Bates and Granger 1969, with forgetting). Intervals
are the quantiles of the forecast's own latest errors at that distance (split conformal prediction),
at a level that follows how often they held (adaptive conformal inference, Gibbs and Candès 2021).

Promises: a forecast depends on readings before it only; memory and `snapshot` are bounded whatever
comes; a restored forecaster says the very same; what is missing or no number is filled in with the
forecast and never judged; a clock that goes back is ignored.
"""

import math
from typing import Final

import msgspec
import numpy as np
from msgspec import Struct, structs

from analytics.contracts.errors import Refused
from analytics.forecast import experts
from analytics.forecast.experts import NAMES, Floats, Regression, Smoothing
from analytics.forecast.specs import LEVELS, ForecastSpec, ForecastStep

SNAPSHOT_BYTES_MAX: Final = 65_536
VERSION: Final = 1
SEASONS_KEPT: Final = 8
OPEN_MAX: Final = 4
"""Paths that are held against readings at a time."""
ERRORS_KEPT: Final = 240
"""Errors a share of the horizon that intervals are made of."""
ERRORS_MIN: Final = 20
FORGETS: Final = 0.02
SHARPNESS: Final = 4.0
"""How much better a model counts that was less far off."""
ADAPTS: Final = 0.01
"""How fast the level of an interval follows what it held."""
LIMIT: Final = 1e30
"""Readings beyond are taken as this."""
FAR: Final = 1e31
"""Nothing is further off than this."""
FILLED_MAX: Final = 400
"""Steps that may be missing; after more the series begins anew."""


class BadForecast(Refused):
    """Bytes that are no snapshot of a forecaster, or a horizon that it does not have."""

    code = "bad-forecast"


class _Open(Struct):
    """Paths said at one moment, and how many readings came since."""

    came: int
    said: bytes
    """A row a model, the forecast's own, and low and high of each level, as 32-bit floats."""


class _State(Struct):
    version: int
    spec: ForecastSpec
    at_ms: int = 0
    rows: int = 0
    history: list[float] = []
    smoothing: Smoothing = msgspec.field(default_factory=Smoothing)
    regression: Regression = msgspec.field(default_factory=Regression)
    open: list[_Open] = []
    off: list[list[float]] = []
    """By share of the horizon, how far off each model was of late."""
    errors: list[list[float]] = []
    """By share of the horizon, the forecast's latest errors."""
    missed: list[float] = []
    """By level, the share of outcomes that the interval may miss now."""


class Forecaster:
    """See the module."""

    __slots__ = ("_history", "_state", "spec")

    def __init__(self, spec: ForecastSpec | None = None) -> None:
        self.spec = spec or ForecastSpec()
        shares = experts.log2_bucket(self.spec.horizon) + 1
        self._state = _State(
            VERSION, self.spec, off=[[0.0] * len(NAMES) for _ in range(shares)],
            errors=[[] for _ in range(shares)], missed=[1 - level for level in LEVELS],
        )  # fmt: skip
        self._history = np.zeros(0)

    @classmethod
    def restore(cls, snapshot: bytes) -> "Forecaster":
        """Return the forecaster of a snapshot; raise `BadForecast` if it is none."""
        try:
            state = _DECODER.decode(snapshot)
        except msgspec.MsgspecError as error:
            raise BadForecast(
                f"not a forecaster's snapshot: {error}; start a fresh forecaster"
            ) from error
        if state.version != VERSION:
            raise BadForecast(
                f"a forecaster's snapshot of version {state.version!r}, this reads {VERSION!r}; "
                "start a fresh forecaster"
            )
        found = cls(state.spec)
        found._state, found._history = state, np.array(state.history)
        return found

    def snapshot(self) -> bytes:
        """Return everything that `restore` needs, at most `SNAPSHOT_BYTES_MAX` bytes."""
        return _ENCODER.encode(structs.replace(self._state, history=self._history.tolist()))

    @property
    def rows(self) -> int:
        """How many readings it has seen, those that were filled in included."""
        return self._state.rows

    def learn(self, at_ms: int, value: float) -> None:
        """Take the reading of the step that ends at `at_ms`."""
        state, step_ms = self._state, self.spec.step_ms
        at_ms -= at_ms % step_ms
        if state.rows and at_ms <= state.at_ms:
            return
        missing = (at_ms - state.at_ms) // step_ms - 1 if state.rows else 0
        if missing > FILLED_MAX:
            fresh = Forecaster(self.spec)
            self._state, self._history = fresh._state, fresh._history
            missing, state = 0, self._state
        for _ in range(missing):
            self._fill()
        if math.isfinite(value):
            self._take(value)
        elif state.rows:
            self._fill()
        else:
            return
        state.at_ms = at_ms

    def forecast(self, steps: int | None = None) -> tuple[ForecastStep, ...]:
        """Return what is expected of the next steps; none before anything was learnt."""
        spec, state = self.spec, self._state
        steps = spec.horizon if steps is None else steps
        if not 1 <= steps <= spec.horizon:
            raise BadForecast(f"it looks 1 to {spec.horizon} steps ahead, not {steps!r}")
        if not state.rows:
            return ()
        table = self._paths()
        bounds = self._bounds(table[-1])
        return tuple(
            ForecastStep(
                state.at_ms + (step + 1) * spec.step_ms, float(table[-1][step]),
                *(float(bounds[row][step]) for row in range(2 * len(LEVELS))),
            )
            for step in range(steps)
        )  # fmt: skip

    def _fill(self) -> None:
        """Take what was expected for a step that is missing: paths go on, nothing is judged."""
        expected = float(self._paths()[-1][0]) if self._state.rows else 0.0
        self._add(expected)
        for one in self._state.open:
            one.came += 1
        self._drop()

    def _take(self, value: float) -> None:
        value = min(max(value, -LIMIT if self.spec.lower is None else self.spec.lower), LIMIT)
        for one in self._state.open:
            self._judge(one, value)
        self._drop()
        self._add(value)
        stride = max(1, self.spec.horizon // OPEN_MAX)
        if self._state.rows % stride == 0 and self._state.rows > 2:
            self._open()

    def _add(self, value: float) -> None:
        state, spec = self._state, self.spec
        history = self._history
        if len(history) >= max(spec.season + 2, *experts.LAGS):
            scale = experts.scale_of(history)
            state.regression.learn(experts.features(history, spec.season, scale), value / scale)
        state.smoothing.learn(value, spec.season)
        kept = max(SEASONS_KEPT * spec.season, spec.long_season) + 2
        self._history = np.append(history, value)[-kept:]
        state.rows += 1

    def _open(self) -> None:
        table = self._paths()
        said = np.vstack([table, self._bounds(table[-1])])
        with np.errstate(over="ignore"):
            self._state.open.append(_Open(0, said.astype(np.float32).tobytes()))

    def _drop(self) -> None:
        state = self._state
        state.open = [one for one in state.open if one.came < self.spec.horizon]

    def _judge(self, one: _Open, value: float) -> None:
        """Hold a path against the reading of its next step."""
        state = self._state
        step, one.came = one.came, one.came + 1
        share = experts.log2_bucket(step + 1)
        off = state.off[share]
        said = np.frombuffer(one.said, dtype=np.float32)[step :: self.spec.horizon].tolist()
        for model in range(len(NAMES)):
            wrong = min(abs(said[model] - value), FAR)
            off[model] += (wrong - off[model]) * (FORGETS if off[model] else 1.0)
        errors = state.errors[share]
        is_known = len(errors) >= ERRORS_MIN
        errors.append(value - said[len(NAMES)])
        del errors[:-ERRORS_KEPT]
        for number, level in enumerate(LEVELS if is_known else ()):
            low, high = said[len(NAMES) + 1 + 2 * number : len(NAMES) + 3 + 2 * number]
            miss = 0.0 if low <= value <= high else 1.0
            adapted = state.missed[number] + ADAPTS * (1 - level - miss)
            state.missed[number] = min(max(adapted, 0.002), 0.5)

    def _paths(self) -> Floats:
        """Return the models' paths, and in the last row their weighed mean."""
        spec, state = self.spec, self._state
        table = experts.paths(self._history, state.smoothing, state.regression, spec)
        weights = np.array([_weights(off) for off in state.off])
        shares = [experts.log2_bucket(step) for step in range(1, spec.horizon + 1)]
        mean = np.einsum("sm,ms->s", weights[shares], table)
        if spec.lower is not None:
            mean = np.maximum(mean, spec.lower)
        return np.vstack([table, mean])

    def _bounds(self, mean: Floats) -> Floats:
        """Return low and high of each level, a row each."""
        state, spec = self._state, self.spec
        rows = np.empty((2 * len(LEVELS), spec.horizon))
        for share, errors in enumerate(state.errors):
            first = 0 if share == 0 else 2 ** (share - 1)
            steps = slice(first, min(2**share, spec.horizon))
            for number, missed in enumerate(state.missed):
                low, high = self._reach(errors, missed, last=min(2**share, spec.horizon))
                rows[2 * number, steps] = mean[steps] + low
                rows[2 * number + 1, steps] = mean[steps] + high
        rows[2] = np.minimum(rows[2], rows[0])
        rows[3] = np.maximum(rows[3], rows[1])
        return rows if spec.lower is None else np.maximum(rows, spec.lower)

    def _reach(self, errors: list[float], missed: float, *, last: int) -> tuple[float, float]:
        """Return how far below and above the mean an outcome may be."""
        if len(errors) < ERRORS_MIN:
            spread = float(np.std(np.diff(self._history[-100:]))) if self._state.rows > 2 else 0.0
            wide = spread * math.sqrt(last) * (1.3 if missed > 0.1 else 2.0)
            return -wide, wide
        count = max(len(errors) // max(1, last // 4), ERRORS_MIN // 2)
        rank = min(1.0, math.ceil((count + 1) * (1 - missed / 2)) / count)
        low, high = np.quantile(errors, [1 - rank, rank])
        return min(float(low), 0.0), max(float(high), 0.0)


def _weights(off: list[float]) -> Floats:
    """Return how much each model counts, by how far off it was."""
    errors = np.array(off)
    if not errors.any():
        return np.full(len(NAMES), 1 / len(NAMES))
    floor = max(float(errors.max()) * 1e-6, 1e-12)
    strength = (np.maximum(errors, floor) / max(float(errors.min()), floor)) ** -SHARPNESS
    return np.asarray(strength / strength.sum(), dtype=np.float64)


_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(_State)
