"""How often somebody may: the generic cell rate algorithm (ITU-T I.371), without a clock.

A limit is a burst that refills at a steady rate. Each subject costs one number, the time at which
its burst is whole again, kept in fractions of a millisecond that are exact for its rate: nothing
drifts. A subject whose burst is whole is the same as one never seen, so only busy ones are kept,
at most `keys_max`; past that the one that was busy longest ago is forgotten, which gives it back at
most one burst.
"""

import math
import re
from collections import OrderedDict
from collections.abc import Hashable, Iterable, Sequence
from typing import Final

from msgspec import Struct

from analytics.contracts.errors import BadSetting

PATTERN: Final = r"^$|^[1-9]\d{0,11}/[1-9]\d{0,6}s(\+[1-9]\d{0,11})?$"
"""`100/1s`: a hundred a second, as many at once; `100/60s+500`: five hundred at once."""


class Rate(Struct, frozen=True, kw_only=True):
    """`count` in each `per_ms`, and `burst` at once."""

    count: int
    per_ms: int
    burst: int

    @property
    def window_s(self) -> int:
        """How long an empty burst takes to be whole again, in whole seconds."""
        return math.ceil(self.burst * self.per_ms / (self.count * 1_000))


class RateDecision(Struct, frozen=True, kw_only=True):
    """What a limit says of one request; `retry_after_ms` is 0 where it may pass."""

    allowed: bool
    remaining: int
    reset_ms: int
    retry_after_ms: int


class Rates:
    """One limit over many subjects."""

    def __init__(self, rate: Rate, *, keys_max: int) -> None:
        self.rate = rate
        self.forgotten = 0
        """Busy subjects that were forgotten for want of room."""
        self._keys_max = keys_max
        self._full_at: OrderedDict[Hashable, int] = OrderedDict()

    def __len__(self) -> int:
        """Return how many subjects are kept."""
        return len(self._full_at)

    def look(self, key: Hashable, *, now_ms: int, cost: int = 1) -> RateDecision:
        """Say what `take` would, and change nothing."""
        rate = self.rate
        now = now_ms * rate.count
        full_at = max(self._full_at.get(key, now), now)
        after = full_at + cost * rate.per_ms
        over = after - now - rate.burst * rate.per_ms
        if over > 0:
            return RateDecision(
                allowed=False,
                remaining=(rate.burst * rate.per_ms - (full_at - now)) // rate.per_ms,
                reset_ms=-(-(full_at - now) // rate.count),
                retry_after_ms=-(-over // rate.count),
            )
        return RateDecision(
            allowed=True,
            remaining=-over // rate.per_ms,
            reset_ms=-(-(after - now) // rate.count),
            retry_after_ms=0,
        )

    def fits(self, key: Hashable, *, now_ms: int, cost: int = 1) -> bool:
        """Say whether `take` would allow it, at the least cost."""
        rate = self.rate
        now = now_ms * rate.count
        full_at = self._full_at.get(key, now)
        owed = full_at - now if full_at > now else 0
        return owed + cost * rate.per_ms <= rate.burst * rate.per_ms

    def take(self, key: Hashable, *, now_ms: int, cost: int = 1) -> RateDecision:
        """Take `cost` if there is as much; say what is left."""
        reading = self.look(key, now_ms=now_ms, cost=cost)
        if reading.allowed:
            self.spend(key, now_ms=now_ms, cost=cost)
        return reading

    def reserve(self, key: Hashable, *, now_ms: int, cost: int, wait_ms_max: int) -> int:
        """Take `cost`, in its turn; return how long to wait for that: more than may be, nothing.

        What is more than a burst waits as long as a whole burst would, and owes the rest.
        """
        rate = self.rate
        now = now_ms * rate.count
        owed = max(0, self._full_at.get(key, now) - now)
        over = owed + (min(cost, rate.burst) - rate.burst) * rate.per_ms
        wait_ms = -(-over // rate.count) if over > 0 else 0
        if wait_ms <= wait_ms_max:
            self.spend(key, now_ms=now_ms, cost=cost)
        return wait_ms

    def lasts_ms(self, cost: float) -> float:
        """Return how long the rate takes for so much."""
        return cost * self.rate.per_ms / self.rate.count

    def spend(self, key: Hashable, *, now_ms: int, cost: int = 1) -> None:
        """Take `cost` whether there is as much or not."""
        now = now_ms * self.rate.count
        full_at = max(self._full_at.get(key, now), now)
        self._full_at[key] = full_at + cost * self.rate.per_ms
        self._full_at.move_to_end(key)
        self._make_room(now)

    def _make_room(self, now: int) -> None:
        for _ in range(_SWEPT_A_TAKE):
            oldest = next(iter(self._full_at), None)
            if oldest is None or self._full_at[oldest] > now:
                break
            del self._full_at[oldest]
        if len(self._full_at) > self._keys_max:
            self._full_at.popitem(last=False)
            self.forgotten += 1


def read_rate(text: str) -> Rate | None:
    """Return the rate that a setting spells, nothing if it is empty; raise `BadSetting`."""
    if not re.match(PATTERN, text):
        raise BadSetting(f"rate {text!r} is not spelled like '100/1s' or '100/60s+500'")
    if not text:
        return None
    steady, _, burst = text.partition("+")
    count, _, per = steady.partition("/")
    return Rate(
        count=int(count), per_ms=int(per.removesuffix("s")) * 1_000, burst=int(burst or count)
    )


def take_all(
    asked: Iterable[tuple[Rates, Hashable]], *, now_ms: int, cost: int = 1
) -> Sequence[RateDecision]:
    """Take from each limit, or from none if one of them refuses; return what each says."""
    listed = list(asked)
    readings = [rates.look(key, now_ms=now_ms, cost=cost) for rates, key in listed]
    if all(reading.allowed for reading in readings):
        for rates, key in listed:
            rates.spend(key, now_ms=now_ms, cost=cost)
    return readings


_SWEPT_A_TAKE: Final = 2
"""Idle subjects looked for at each take: more than one, so that the table shrinks."""
