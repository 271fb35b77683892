"""What holds for a pool: sizes, times, how members are picked and when they are left alone.

A pool's rules can be changed while it works; `changed` takes a patch of fields, checks the whole
and says in one sentence what is wrong with it.
"""

from collections.abc import Mapping
from typing import Annotated, Self

import msgspec
from msgspec import Meta, Struct

from analytics.contracts.errors import BadBody
from analytics.pool.balance import Algorithm, SlowStart
from analytics.pool.breaker import BreakerLimits
from analytics.pool.ejection import EjectionLimits

Millis = Annotated[int, Meta(ge=1, le=604_800_000)]
Many = Annotated[int, Meta(ge=1, le=1_000_000)]


class Rules(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """See the module; what a pool starts with are the gateway's settings."""

    algorithm: Algorithm = Algorithm.TWO_CHOICES
    members_min: Annotated[int, Meta(ge=0, le=1_000_000)] = 0
    """Members that stay, however long they are idle; with fewer the pool is not healthy."""
    members_max: Many = 10_000
    capacity_max: Many = 1_000
    """Leases that one member may hold, whatever it says of itself."""
    waiting_max: Annotated[int, Meta(ge=0, le=1_000_000)] = 1_000
    """Who may wait for a member at the same time."""
    acquire_ms_max: Millis = 60_000
    lease_ms: Millis = 60_000
    """How long a lease lasts that says nothing else."""
    lease_ms_max: Millis = 3_600_000
    """How long a lease lasts at most, however often it is renewed."""
    heartbeat_ms: Millis = 10_000
    """How often members show themselves."""
    misses_max: Annotated[int, Meta(ge=1, le=1_000)] = 2
    """Heartbeats missed in a row after which a member gets nothing more."""
    gone_misses: Annotated[int, Meta(ge=2, le=10_000)] = 6
    """Heartbeats missed in a row after which a member is given up."""
    start_ms: Millis = 30_000
    """How long a member may take until it is ready."""
    idle_ms: Millis = 60_000
    retire_ms: Millis = 604_800_000
    """How long a member may be idle before it is sent away, if there are more than the minimum."""
    age_ms: Millis = 86_400_000
    """How long one registration lasts."""
    drain_ms: Millis = 300_000
    """How long leaving and recycling members have to finish what they hold."""
    suspend_ms: Millis = 30_000
    """How long a member without a connection keeps what it holds."""
    decay_ms: Millis = 10_000
    """How fast the average latency forgets."""
    slow_start: SlowStart = SlowStart()
    breaker: BreakerLimits = BreakerLimits()
    upstream: BreakerLimits = BreakerLimits(calls_min=20)
    ejection: EjectionLimits = EjectionLimits()

    def checked(self) -> Self:
        """Return these rules; raise `BadBody` where two of them contradict each other."""
        orders = (
            ("members_min", self.members_min, "members_max", self.members_max),
            ("lease_ms", self.lease_ms, "lease_ms_max", self.lease_ms_max),
            ("misses_max", self.misses_max + 1, "gone_misses", self.gone_misses),
        )
        for name, low, other, high in orders:
            if low > high:
                raise BadBody(f"{name} does not fit {other}, which is {high!r}; change both")
        return self


def changed(rules: Rules, patch: Mapping[str, object]) -> Rules:
    """Return rules with a patch merged in (RFC 7396); raise `BadBody` if they make no sense."""
    merged = _merged(msgspec.to_builtins(rules), patch)
    try:
        return msgspec.convert(merged, Rules).checked()
    except msgspec.ValidationError as error:
        raise BadBody(f"not a pool's rules: {error}") from error


def _merged(known: object, patch: object) -> object:
    if not isinstance(known, dict) or not isinstance(patch, Mapping):
        return patch
    return {**known, **{name: _merged(known.get(name), value) for name, value in patch.items()}}
