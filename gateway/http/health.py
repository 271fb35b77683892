"""Whether this gateway should be sent traffic: the broker answers, the loop is on time, no drain.

Live means that the process answers at all. Ready means that an event handed in now has a fair
chance of being acknowledged.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from msgspec import Struct

from analytics.contracts.errors import Unavailable
from gateway import metrics

LIVE: Final = "/health/live"
READY: Final = "/health/ready"
METRICS: Final = "/metrics"
OPEN_PATHS: Final = (LIVE, READY)
"""What needs no token."""

SAMPLE_S: Final = 0.5
SMOOTHING: Final = 0.5
"""Weight of the newest sample of the loop's lag."""
RETRY_MS: Final = 2_000
"""After which somebody who was not let in may come again, on average."""


class Health(Struct, frozen=True, kw_only=True):
    """What readiness rests on."""

    ready: bool
    producer: bool
    loop_lag_ms: float
    draining: bool


class Pulse:
    """Feels how late the event loop runs."""

    def __init__(self, now_ms: Callable[[], float]) -> None:
        self.lag_ms = 0.0
        self._now_ms = now_ms

    async def run(self) -> None:
        """Sample until cancelled."""
        while True:
            begun = self._now_ms()
            await asyncio.sleep(SAMPLE_S)
            self.note(max(0.0, self._now_ms() - begun - SAMPLE_S * 1_000))

    def note(self, lag_ms: float) -> None:
        """Take one sample in."""
        self.lag_ms = SMOOTHING * lag_ms + (1 - SMOOTHING) * self.lag_ms
        metrics.LOOP_LAG_SECONDS.set(self.lag_ms / 1_000)


class Gate:
    """Lets no new work in while the event loop runs too late; what is in already goes on.

    Callers are told to come again after `RETRY_MS`, spread by chance so that they do not come
    together.
    """

    def __init__(self, pulse: Pulse, *, lag_ms_max: float, chance: Callable[[], float]) -> None:
        self._pulse = pulse
        self._lag_ms_max = lag_ms_max
        self._chance = chance

    def check(self) -> None:
        """Raise `Unavailable` if the loop is too late."""
        if self._pulse.lag_ms > self._lag_ms_max:
            metrics.LIMITS_HIT.labels("admission_lag_ms_max").inc()
            raise Unavailable(
                f"the gateway runs {self._pulse.lag_ms:.0f} ms late; come again",
                retry_after_ms=int(RETRY_MS * (0.5 + self._chance())),
            )


def judge(*, producer: bool, lag_ms: float, lag_ms_max: float, draining: bool) -> Health:
    """Return the health that these add up to."""
    return Health(
        ready=producer and not draining and lag_ms <= lag_ms_max,
        producer=producer,
        loop_lag_ms=round(lag_ms, 1),
        draining=draining,
    )
