"""Outliers leave the balance for a while: members that fail in a row, or far more than the others.

A member is ejected after `failures_in_a_row`, or when `sweep` finds its success share below the
mean of all by more than `deviations` standard deviations, where at least `members_min` had
`calls_min` calls since the last sweep. It stays out for `out_ms` times its ejections, at most
`out_ms_max`. Never more than `share_max` of the members are out at once, though one of two or more
may be; who would be one too many stays in. Where members leave, those due back soonest come back.
With fewer than `panic_share` of the members in the balance, ejections are overlooked.

Source: Envoy's outlier detection and panic threshold.
"""

from math import floor, sqrt
from typing import Annotated

from msgspec import Meta, Struct


class EjectionLimits(Struct, frozen=True, kw_only=True):
    """Who is ejected, how many at once, and for how long."""

    failures_in_a_row: Annotated[int, Meta(ge=1, le=10_000)] = 5
    members_min: Annotated[int, Meta(ge=2, le=10_000)] = 5
    calls_min: Annotated[int, Meta(ge=1, le=1_000_000)] = 100
    deviations: Annotated[float, Meta(gt=0, le=10)] = 1.9
    share_max: Annotated[float, Meta(ge=0, le=1)] = 0.1
    panic_share: Annotated[float, Meta(ge=0, le=1)] = 0.5
    out_ms: Annotated[int, Meta(ge=1, le=86_400_000)] = 30_000
    out_ms_max: Annotated[int, Meta(ge=1, le=86_400_000)] = 300_000
    sweep_ms: Annotated[int, Meta(ge=1, le=86_400_000)] = 10_000


class _Tally(Struct):
    in_a_row: int = 0
    calls: int = 0
    failures: int = 0
    ejections: int = 0


class Ejection:
    """See the module."""

    def __init__(self, limits: EjectionLimits) -> None:
        self.limits = limits
        self._tallies: dict[str, _Tally] = {}
        self._out: dict[str, int] = {}

    def out_max(self, total: int) -> int:
        """Return how many of `total` members may be out at once."""
        if total < 2 or not self.limits.share_max:
            return 0
        return max(1, floor(self.limits.share_max * total))

    def out(self, now_ms: int) -> frozenset[str]:
        """Return who is out of the balance."""
        return frozenset(member for member, until in self._out.items() if until > now_ms)

    def is_out(self, member: str, now_ms: int) -> bool:
        """Say whether a member is out of the balance."""
        return self._out.get(member, now_ms) > now_ms

    def panics(self, *, in_balance: int, total: int) -> bool:
        """Say whether so few members are in the balance that ejections are overlooked."""
        return in_balance < self.limits.panic_share * total

    def record(self, member: str, *, failed: bool, now_ms: int, total: int) -> None:
        """Take how a call to one of `total` members went."""
        tally = self._tallies.setdefault(member, _Tally())
        tally.calls += 1
        if not failed:
            tally.in_a_row = 0
            return
        tally.failures += 1
        tally.in_a_row += 1
        if tally.in_a_row >= self.limits.failures_in_a_row:
            self._eject(member, now_ms=now_ms, total=total)

    def sweep(self, now_ms: int, *, total: int) -> None:
        """Eject whoever did far worse than the others since the last sweep; begin to count anew."""
        limits = self.limits
        shares = {
            member: 1 - tally.failures / tally.calls
            for member, tally in self._tallies.items()
            if tally.calls >= limits.calls_min
        }
        for member, tally in self._tallies.items():
            if not tally.failures and tally.calls and not self.is_out(member, now_ms):
                tally.ejections = max(0, tally.ejections - 1)
            tally.calls = tally.failures = 0
        if len(shares) < limits.members_min:
            return
        mean = sum(shares.values()) / len(shares)
        spread = sqrt(sum((share - mean) ** 2 for share in shares.values()) / len(shares))
        for member, share in sorted(shares.items(), key=lambda row: row[1]):
            if share < mean - limits.deviations * spread:
                self._eject(member, now_ms=now_ms, total=total)

    def forget(self, member: str, *, now_ms: int, total: int) -> None:
        """Take notice that a member is gone and `total` are left."""
        self._tallies.pop(member, None)
        self._out.pop(member, None)
        self.fit(now_ms, total=total)

    def fit(self, now_ms: int, *, total: int) -> None:
        """Let back those who would be too many of `total` out at once."""
        self._out = {name: until for name, until in self._out.items() if until > now_ms}
        while len(self._out) > self.out_max(total):
            del self._out[min(self._out, key=lambda name: (self._out[name], name))]

    def _eject(self, member: str, *, now_ms: int, total: int) -> None:
        self.fit(now_ms, total=total)
        if member in self._out or len(self._out) >= self.out_max(total):
            return
        tally = self._tallies[member]
        tally.ejections += 1
        tally.in_a_row = 0
        limits = self.limits
        self._out[member] = now_ms + min(limits.out_ms * tally.ejections, limits.out_ms_max)
