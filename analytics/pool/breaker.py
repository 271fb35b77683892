"""A circuit breaker: what fails or drags too often is left alone, then tried with a few probes.

Closed, it looks at the last `window_calls` calls that ended within `window_ms`; once those are at
least `calls_min` and the share that failed or the share that was slow reaches its limit, it opens.
Open, it lets nothing through for `open_ms` times the openings in a row, at most `open_ms_max`,
lengthened by up to `jitter` of that. Then it lets `probes` calls through: their shares decide
whether it closes or opens again. A call that began before the last change of state says nothing.

Source: resilience4j's CircuitBreaker (sliding windows, slow-call rate, permitted calls half-open);
growing open time as Envoy's outlier ejection. Time and chance are passed in.
"""

from collections import deque
from collections.abc import Callable
from enum import StrEnum
from typing import Annotated

from msgspec import Meta, Struct

Share = Annotated[float, Meta(gt=0, le=1)]
Millis = Annotated[int, Meta(ge=1, le=86_400_000)]


class BreakerState(StrEnum):
    """Whether calls go through."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class BreakerLimits(Struct, frozen=True, kw_only=True):
    """When a breaker opens, and for how long."""

    window_calls: Annotated[int, Meta(ge=1, le=10_000)] = 100
    window_ms: Millis = 60_000
    calls_min: Annotated[int, Meta(ge=1, le=10_000)] = 10
    failure_share: Share = 0.5
    slow_ms: Millis = 300_000
    slow_share: Share = 0.8
    probes: Annotated[int, Meta(ge=1, le=1_000)] = 3
    open_ms: Millis = 30_000
    open_ms_max: Millis = 300_000
    jitter: Annotated[float, Meta(ge=0, le=1)] = 0.2


class Permit(Struct, frozen=True):
    """The right to one call, good in one state of a breaker."""

    turn: int


class CallOutcome(Struct, frozen=True):
    """How a call went."""

    at_ms: int
    failed: bool
    slow: bool


class Breaker:
    """See the module."""

    __slots__ = (
        "_calls", "_chance", "_openings", "_out", "_state", "_turn", "_until_ms", "limits",
    )  # fmt: skip

    def __init__(self, limits: BreakerLimits, chance: Callable[[], float]) -> None:
        """`chance` gives numbers from 0 up to 1."""
        self.limits = limits
        self._chance = chance
        self._state = BreakerState.CLOSED
        self._calls: deque[CallOutcome] = deque()
        self._turn = 0
        self._openings = 0
        self._out = 0
        self._until_ms = 0

    def state(self, now_ms: int) -> BreakerState:
        """Return the state; an open time that has passed is half-open."""
        if self._state is BreakerState.OPEN and now_ms >= self._until_ms:
            return BreakerState.HALF_OPEN
        return self._state

    @property
    def until_ms(self) -> int:
        """Until when it was last opened."""
        return self._until_ms

    def allows(self, now_ms: int) -> bool:
        """Say whether a call may go through now."""
        if self._state is BreakerState.CLOSED:
            return True
        if self._state is BreakerState.OPEN:
            return now_ms >= self._until_ms
        return self._out + len(self._calls) < self.limits.probes

    def begin(self, now_ms: int) -> Permit:
        """Let a call through that is allowed."""
        assert self.allows(now_ms), "ask `allows` before `begin`"
        if self._state is BreakerState.OPEN:
            self._become(BreakerState.HALF_OPEN)
        if self._state is BreakerState.HALF_OPEN:
            self._out += 1
        return Permit(self._turn)

    def end(self, permit: Permit, *, now_ms: int, failed: bool, took_ms: int) -> None:
        """Take how a call went."""
        if permit.turn != self._turn:
            return
        self._calls.append(CallOutcome(now_ms, failed, slow=took_ms >= self.limits.slow_ms))
        if self._state is BreakerState.HALF_OPEN:
            self._out -= 1
            self._judge_probes(now_ms)
            return
        self._judge(now_ms)

    def cancel(self, permit: Permit) -> None:
        """Take a permit back of which nothing came."""
        if permit.turn == self._turn and self._state is BreakerState.HALF_OPEN:
            self._out -= 1

    def doubt(self) -> None:
        """Let only probes through, since others say that it fails."""
        if self._state is BreakerState.CLOSED:
            self._become(BreakerState.HALF_OPEN)

    def _judge(self, now_ms: int) -> None:
        calls, limits = self._calls, self.limits
        while len(calls) > limits.window_calls or calls[0].at_ms <= now_ms - limits.window_ms:
            calls.popleft()
        if len(calls) >= limits.calls_min and self._is_bad():
            self._open(now_ms)

    def _judge_probes(self, now_ms: int) -> None:
        if len(self._calls) < self.limits.probes:
            return
        if self._is_bad():
            self._open(now_ms)
        else:
            self._openings = 0
            self._become(BreakerState.CLOSED)

    def _is_bad(self) -> bool:
        count = len(self._calls)
        failed = sum(call.failed for call in self._calls)
        slow = sum(call.slow for call in self._calls)
        return failed >= self.limits.failure_share * count or slow >= self.limits.slow_share * count

    def _open(self, now_ms: int) -> None:
        limits = self.limits
        self._openings += 1
        length_ms = min(limits.open_ms * self._openings, limits.open_ms_max)
        self._until_ms = now_ms + int(length_ms * (1 + limits.jitter * self._chance()))
        self._become(BreakerState.OPEN)

    def _become(self, state: BreakerState) -> None:
        self._state = state
        self._turn += 1
        self._out = 0
        self._calls.clear()
