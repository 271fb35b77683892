"""Which faults a run meets, and when: made from a seed, printed, and the same for the same seed.

A fault comes after so many more events were acknowledged, not after so much time, so that a slow
machine meets it at the same point of the load.
"""

import random
from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Final

from msgspec import Struct


class Kind(StrEnum):
    """What is done to a part."""

    KILL_WORKER = "kill worker"
    KILL_GATEWAY = "kill gateway"
    KILL_BROKER = "kill broker"
    KILL_STORE = "kill store"
    RESTART_BROKER = "restart broker"
    PAUSE_BROKER = "pause broker"
    PAUSE_WORKER = "pause worker"
    ADD_WORKER = "add worker"
    REMOVE_WORKER = "remove worker"
    RESET_STORE = "reset connections to the store"
    STALL_STORE = "stall the store"
    SLOW_STORE = "slow the store"
    DESERT_STORE = "desert the store"
    FILL_DISK = "fill the store's disk"


STORE_TROUBLE: Final = (
    Kind.RESET_STORE, Kind.STALL_STORE, Kind.SLOW_STORE, Kind.DESERT_STORE,
)  # fmt: skip
"""What a proxy between the workers and their store can do."""
MEMBERS: Final = (
    Kind.ADD_WORKER, Kind.PAUSE_WORKER, Kind.REMOVE_WORKER, Kind.KILL_WORKER,
)  # fmt: skip
"""What changes who holds which partitions."""
KILLS: Final = (Kind.KILL_WORKER, Kind.KILL_BROKER, Kind.KILL_STORE, Kind.KILL_GATEWAY)
WORKERS_MIN: Final = 2
WORKERS_MAX: Final = 4
AFTER_MIN: Final = 40
AFTER_MAX: Final = 600


class Fault(Struct, frozen=True, kw_only=True):
    """One fault: what, after how many more acknowledged events, and a number to choose by."""

    kind: Kind
    after: int
    pick: int


def schedule(
    seed: int, kinds: Sequence[Kind], *, faults: int, workers: int = 3
) -> tuple[Fault, ...]:
    """Return `faults` faults, each kind about as often as the others, in an order by chance.

    Of `workers` at first there are never fewer than `WORKERS_MIN` nor more than `WORKERS_MAX`: one
    that would leave then stays, and another joins, or the other way round.
    """
    chance = random.Random(f"schedule {seed}")
    drawn = [kinds[number % len(kinds)] for number in range(faults)]
    chance.shuffle(drawn)
    return tuple(
        Fault(
            kind=kind,
            after=chance.randrange(AFTER_MIN, AFTER_MAX),
            pick=chance.randrange(1_000),
        )
        for kind in _possible(drawn, workers)
    )


def _possible(drawn: Sequence[Kind], workers: int) -> Iterator[Kind]:
    for wanted in drawn:
        kind = wanted
        if kind is Kind.REMOVE_WORKER and workers <= WORKERS_MIN:
            kind = Kind.ADD_WORKER
        elif kind is Kind.ADD_WORKER and workers >= WORKERS_MAX:
            kind = Kind.REMOVE_WORKER
        workers += (kind is Kind.ADD_WORKER) - (kind is Kind.REMOVE_WORKER)
        yield kind
