"""Who gets the next piece of work, of those who may.

Each algorithm has a law that it keeps, whatever comes (`n` members, `k` picks among the same ones):

- round robin: everyone got `k // n` picks or one more.
- least connections: who is picked has no more in flight for its weight, the new one counted, than
  anyone else would have; so with equal weights and nothing given back nobody is ahead by two.
- smooth weighted round robin: nobody is ahead of its share `k * w / W` by one or more, nor behind
  by `n - 1` or more, and after `W` picks of whole weights each got exactly its weight.
- power of two choices: the better of two drawn by chance, so never the worst of several.
- rendezvous: a key stays with its member as long as that is there; others' comings and goings
  move only the keys that they win or held.

A member that just came gets its weight by and by (`ramped`); rendezvous and round robin know no
such start, since they would not keep their laws.
"""

import math
from collections.abc import Callable, Sequence
from enum import StrEnum
from hashlib import blake2b
from typing import Annotated, Final, Protocol, TypeVar

from msgspec import Meta, Struct

UNIT: Final = 2.0**64
ASSUMED_MS: Final = 1_000.0
"""The latency of a member of which none is known."""


class Algorithm(StrEnum):
    """How members are picked."""

    ROUND_ROBIN = "round_robin"
    LEAST_CONNECTIONS = "least_connections"
    WEIGHTED_ROUND_ROBIN = "weighted_round_robin"
    TWO_CHOICES = "two_choices"
    RENDEZVOUS = "rendezvous"


class Candidate(Protocol):
    """A member, as balancing sees it."""

    @property
    def id(self) -> str:
        """Its name."""
        ...

    @property
    def weight(self) -> float:
        """How much more than others it takes; more than nothing."""
        ...

    @property
    def in_flight(self) -> int:
        """How much it has to do."""
        ...

    @property
    def latency_ms(self) -> float:
        """How long it takes, of late."""
        ...

    @property
    def since_ms(self) -> int:
        """Since when it takes work."""
        ...


One = TypeVar("One", bound=Candidate)


class SlowStart(Struct, frozen=True, kw_only=True):
    """How a member that just came gets to its weight."""

    window_ms: Annotated[int, Meta(ge=0, le=86_400_000)] = 30_000
    share_min: Annotated[float, Meta(gt=0, le=1)] = 0.1


class Latency(Struct, frozen=True):
    """An average of late that forgets by time and believes bad news at once."""

    ms: float
    at_ms: int


def observed(known: Latency | None, took_ms: float, *, now_ms: int, decay_ms: float) -> Latency:
    """Return the average with one more reading.

    Peak EWMA (Finagle's load balancer of that name): a reading above the average replaces it, one
    below draws it down by how much time has passed, `1 - e^(-dt/decay)`.
    """
    if known is None or took_ms >= known.ms:
        return Latency(float(took_ms), now_ms)
    kept = math.exp(-max(0, now_ms - known.at_ms) / decay_ms)
    return Latency(known.ms * kept + took_ms * (1 - kept), now_ms)


def ramped(member: Candidate, slow: SlowStart, now_ms: int) -> float:
    """Return a member's weight by now: a straight line to all of it (Envoy's slow start)."""
    age_ms = now_ms - member.since_ms
    if age_ms >= slow.window_ms:
        return member.weight
    return member.weight * max(slow.share_min, age_ms / slow.window_ms)


class Balancer:
    """Picks by one algorithm, and remembers what that needs of earlier picks."""

    def __init__(
        self,
        algorithm: Algorithm,
        slow: SlowStart,
        chance: Callable[[], float],
    ) -> None:
        """`chance` gives numbers from 0 up to 1."""
        self.algorithm = algorithm
        self.slow = slow
        self._chance = chance
        self._last = ""
        self._current: dict[str, float] = {}

    def pick(self, members: Sequence[One], *, now_ms: int, key: str = "") -> One | None:
        """Return who gets the next piece of work; nobody of nobody.

        A `key` keeps to its member by rendezvous, whatever the algorithm.
        """
        if not members:
            return None
        if key or self.algorithm is Algorithm.RENDEZVOUS:
            return rendezvous(members, key)
        match self.algorithm:
            case Algorithm.ROUND_ROBIN:
                return self._in_turn(members)
            case Algorithm.LEAST_CONNECTIONS:
                return self._least(members, now_ms)
            case Algorithm.WEIGHTED_ROUND_ROBIN:
                return self._weighted(members, now_ms)
            case Algorithm.TWO_CHOICES:
                return self._of_two(members, now_ms)

    def _in_turn(self, members: Sequence[One]) -> One:
        """Take the first behind the last picked, by name, and then again from the start."""
        last = self._last
        behind = [member for member in members if member.id > last]
        picked = min(behind or members, key=lambda member: member.id)
        self._last = picked.id
        return picked

    def _least(self, members: Sequence[One], now_ms: int) -> One:
        """Take who has least in flight for its weight; ties in turn (LVS's `wlc`, HAProxy's)."""
        loads = [(one.in_flight + 1) / ramped(one, self.slow, now_ms) for one in members]
        least = min(loads)
        return self._in_turn(
            [one for one, load in zip(members, loads, strict=True) if load == least]
        )

    def _weighted(self, members: Sequence[One], now_ms: int) -> One:
        """Add every weight, take the largest, subtract the sum.

        Source: nginx, `ngx_http_upstream_get_peer` in `ngx_http_upstream_round_robin.c`.
        """
        current = self._current
        total = 0.0
        picked = members[0]
        for one in members:
            weight = ramped(one, self.slow, now_ms)
            total += weight
            current[one.id] = current.get(one.id, 0.0) + weight
            if current[one.id] > current[picked.id]:
                picked = one
        current[picked.id] -= total
        return picked

    def _of_two(self, members: Sequence[One], now_ms: int) -> One:
        """Draw two, take the one with less latency times in flight for its weight.

        Source: Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", IEEE TPDS
        2001; Envoy's LEAST_REQUEST; the score is Finagle's Peak EWMA.
        """
        count = len(members)
        if count == 1:
            return members[0]
        first = min(int(self._chance() * count), count - 1)
        second = min(int(self._chance() * (count - 1)), count - 2)
        one, other = members[first], members[second if second < first else second + 1]
        return one if self.score(one, now_ms) <= self.score(other, now_ms) else other

    def score(self, member: Candidate, now_ms: int) -> float:
        """Return what a member costs: the lower the better."""
        latency_ms = member.latency_ms or ASSUMED_MS
        return latency_ms * (member.in_flight + 1) / ramped(member, self.slow, now_ms)

    def forget(self, member: str) -> None:
        """Take notice that a member is gone."""
        self._current.pop(member, None)


def rendezvous(members: Sequence[One], key: str) -> One:
    """Return the member with the highest random weight for `key`.

    Source: Thaler and Ravishankar, "Using name-based mappings to increase hit rates", IEEE/ACM ToN
    1998; weighted by `-w / ln(h)`, Schindelhauer and Schomaker, SPAA 2005.
    """
    return max(members, key=lambda member: (_drawn(key, member), member.id))


def _drawn(key: str, member: Candidate) -> float:
    spelled = f"{len(key)}:{key}{member.id}".encode("utf-8", "surrogatepass")
    number = int.from_bytes(blake2b(spelled, digest_size=8).digest(), "big")
    return -member.weight / math.log((number + 0.5) / (UNIT + 1))
