"""Whose turn it is to be watched: shards of few series first, so that none waits for a large one.

A pass takes some shards through one moment, and what it decides is there when it ends. Shards are
taken from the lightest on, until they hold `SERIES_A_PASS` together; one that holds more has a pass
of its own, after all lighter ones.
"""

from collections.abc import Mapping
from typing import Final

SERIES_A_PASS: Final = 1_000
"""Series that the shards of one pass hold, if it is more than one shard."""


def next_turn(series: Mapping[int, int]) -> list[int]:
    """Return the shards of the next pass, of those that are due, by how many series each holds."""
    turn: list[int] = []
    held = 0
    for shard in sorted(series, key=lambda one: (series[one], one)):
        held += series[shard]
        if turn and held > SERIES_A_PASS:
            break
        turn.append(shard)
    return turn
