"""Pools for tests: members, asks, chance by seed, and names that count up."""

import itertools
from collections.abc import Callable
from random import Random
from typing import Final

from msgspec import Struct

from analytics.pool.leases import Ask
from analytics.pool.members import Joining
from analytics.pool.notices import Granted, LeaseEnded, Moved, Notice, Unserved
from analytics.pool.pool import Pool
from analytics.pool.rules import Rules
from analytics.pool.skills import ANYBODY, AgentCard, AgentSkill, Needs

NOW_MS: Final = 1_795_000_000_000


class Standing(Struct, kw_only=True):
    """A candidate that is nothing but what balancing sees."""

    id: str
    weight: float = 1.0
    in_flight: int = 0
    latency_ms: float = 0.0
    since_ms: int = 0


def chances(seed: int = 5) -> Callable[[], float]:
    """Return numbers from 0 up to 1 that are the same every time."""
    return Random(seed).random


def pool(rules: Rules | None = None, *, seed: int = 5) -> Pool:
    """Return an empty pool; its leases are named l1, l2 and so on."""
    numbers = itertools.count(1)
    return Pool(rules or Rules(), chance=chances(seed), new_id=lambda: f"l{next(numbers)}")


def card(*skills: str, tags: tuple[str, ...] = ()) -> AgentCard:
    """Return a card with these skills."""
    return AgentCard(
        name="agent", skills=tuple(AgentSkill(id=skill, tags=tags) for skill in skills)
    )


def joining(
    member_id: str = "a",
    *,
    skills: tuple[str, ...] = ("code",),
    capacity: int = 1,
    connection_id: str = "c1",
    upstreams: tuple[str, ...] = (),
    ready: bool = True,
    weight: float = 1.0,
) -> Joining:
    """Return what an agent says of itself."""
    return Joining(
        id=member_id,
        card=card(*skills),
        user="ada",
        connection_id=connection_id,
        capacity=capacity,
        weight=weight,
        upstreams=upstreams,
        ready=ready,
    )


def ask(
    ask_id: str = "q1",
    *,
    needs: Needs = ANYBODY,
    wait_ms: int = 0,
    lease_ms: int = 60_000,
    affinity: str = "",
    connection_id: str = "holder",
) -> Ask:
    """Return a wish for a lease."""
    return Ask(
        id=ask_id,
        holder="grace",
        connection_id=connection_id,
        needs=needs,
        affinity=affinity,
        lease_ms=lease_ms,
        wait_ms=wait_ms,
    )


def granted(notices: list[Notice]) -> list[Granted]:
    """Return what was granted."""
    return [one for one in notices if isinstance(one, Granted)]


def ended(notices: list[Notice]) -> list[LeaseEnded]:
    """Return what ended."""
    return [one for one in notices if isinstance(one, LeaseEnded)]


def unserved(notices: list[Notice]) -> list[Unserved]:
    """Return who got nobody."""
    return [one for one in notices if isinstance(one, Unserved)]


def moves(notices: list[Notice]) -> list[str]:
    """Return the states that members came to."""
    return [str(one.state) for one in notices if isinstance(one, Moved)]
