"""What a gateway can be told of its pools of agents; each pool's rules can be changed later."""

from typing import Final

from pydantic import Field
from pydantic_settings import BaseSettings

from analytics.pool.balance import Algorithm, SlowStart
from analytics.pool.breaker import BreakerLimits
from analytics.pool.ejection import EjectionLimits
from analytics.pool.rules import Rules

WEEK_S: Final = 604_800


class PoolSettings(BaseSettings):
    """What every tenant's pool starts with."""

    pool_tenants_max: int = Field(1_000, ge=1, description="Tenants that have a pool.")
    pool_sessions_max: int = Field(
        1_000, ge=1, le=100_000, description="Agents that may share one connection."
    )
    pool_task_bytes_max: int = Field(
        16_384, ge=64, le=1_048_576, description="Bytes of a task, or of its answer."
    )
    pool_algorithm: Algorithm = Field(
        Algorithm.TWO_CHOICES, description="How the agent for a piece of work is picked."
    )
    pool_members_min: int = Field(
        0, ge=0, le=1_000_000, description="Agents that stay however idle; fewer is not healthy."
    )
    pool_members_max: int = Field(
        10_000, ge=1, le=1_000_000, description="Agents in one tenant's pool."
    )
    pool_waiting_max: int = Field(
        1_000, ge=0, le=1_000_000, description="Asks that wait for an agent at the same time."
    )
    pool_acquire_seconds_max: float = Field(
        60, gt=0, le=WEEK_S, description="Seconds an ask may wait for an agent."
    )
    pool_lease_seconds: float = Field(
        60, gt=0, le=WEEK_S, description="Seconds a lease lasts that says nothing else."
    )
    pool_lease_seconds_max: float = Field(
        3_600, gt=0, le=WEEK_S, description="Seconds a lease lasts however often it is renewed."
    )
    pool_heartbeat_seconds: float = Field(
        10, gt=0, le=WEEK_S, description="Seconds between two heartbeats of an agent."
    )
    pool_misses_max: int = Field(
        2, ge=1, le=1_000, description="Heartbeats missed before an agent gets nothing more."
    )
    pool_gone_misses: int = Field(
        6, ge=2, le=10_000, description="Heartbeats missed before an agent is given up."
    )
    pool_idle_seconds: float = Field(
        60, gt=0, le=WEEK_S, description="Seconds without work after which an agent is idle."
    )
    pool_retire_seconds: float = Field(
        WEEK_S, gt=0, le=WEEK_S, description="Seconds idle after which an agent is sent away."
    )
    pool_age_seconds: float = Field(
        86_400, gt=0, le=WEEK_S, description="Seconds after which an agent registers again."
    )
    pool_drain_seconds: float = Field(
        300, gt=0, le=WEEK_S, description="Seconds a leaving agent has for what it holds."
    )
    pool_suspend_seconds: float = Field(
        30, gt=0, le=WEEK_S, description="Seconds an agent without a connection keeps its work."
    )
    pool_slow_start_seconds: float = Field(
        30, ge=0, le=86_400, description="Seconds until an agent that just came has all its weight."
    )
    pool_breaker_calls_min: int = Field(
        10, ge=1, le=100, description="Calls before an agent's circuit breaker may open."
    )
    pool_breaker_failure_share: float = Field(
        0.5, gt=0, le=1, description="Share of failed calls at which a breaker opens."
    )
    pool_breaker_slow_seconds: float = Field(
        300, gt=0, le=86_400, description="Seconds from which on a call is slow."
    )
    pool_breaker_slow_share: float = Field(
        0.8, gt=0, le=1, description="Share of slow calls at which a breaker opens."
    )
    pool_breaker_open_seconds: float = Field(
        30, gt=0, le=300, description="Seconds a breaker stays open, times the openings in a row."
    )
    pool_ejected_share_max: float = Field(
        0.1, ge=0, le=1, description="Share of a pool that may be ejected as outliers."
    )
    pool_panic_share: float = Field(
        0.5, ge=0, le=1, description="Share in the balance below which ejections are overlooked."
    )


def rules_of(settings: PoolSettings) -> Rules:
    """Return the rules that pools start with; raise `BadBody` where two contradict each other."""
    breaker = BreakerLimits(
        calls_min=settings.pool_breaker_calls_min,
        failure_share=settings.pool_breaker_failure_share,
        slow_ms=_ms(settings.pool_breaker_slow_seconds),
        slow_share=settings.pool_breaker_slow_share,
        open_ms=_ms(settings.pool_breaker_open_seconds),
    )
    return Rules(
        algorithm=settings.pool_algorithm,
        members_min=settings.pool_members_min,
        members_max=settings.pool_members_max,
        waiting_max=settings.pool_waiting_max,
        acquire_ms_max=_ms(settings.pool_acquire_seconds_max),
        lease_ms=_ms(settings.pool_lease_seconds),
        lease_ms_max=_ms(settings.pool_lease_seconds_max),
        heartbeat_ms=_ms(settings.pool_heartbeat_seconds),
        misses_max=settings.pool_misses_max,
        gone_misses=settings.pool_gone_misses,
        idle_ms=_ms(settings.pool_idle_seconds),
        retire_ms=_ms(settings.pool_retire_seconds),
        age_ms=_ms(settings.pool_age_seconds),
        drain_ms=_ms(settings.pool_drain_seconds),
        suspend_ms=_ms(settings.pool_suspend_seconds),
        slow_start=SlowStart(window_ms=int(settings.pool_slow_start_seconds * 1_000)),
        breaker=breaker,
        upstream=breaker,
        ejection=EjectionLimits(
            share_max=settings.pool_ejected_share_max, panic_share=settings.pool_panic_share
        ),
    ).checked()


def _ms(seconds: float) -> int:
    return max(1, int(seconds * 1_000))
