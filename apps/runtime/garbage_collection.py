"""How often Python looks for cycles in a process that handles many small values.

A worker makes some hundred thousand values a second, nearly all of which reference counting frees;
by default the collector looks through them after every 700, and now and then through everything the
program is made of. That took up to a third of a worker's time. Cycles are still found, later: what
they hold until then is a few megabytes.
"""

import asyncio
import gc
from typing import Final, Protocol

YOUNG_MAX: Final = 50_000
"""Values that may come to be, beyond those freed, before the youngest are looked through."""
OLDER_EVERY: Final = 20
"""So many looks at the younger are one look at the next older."""


LOOK_S: Final = 1.0


def seldom(*, young_max: int = YOUNG_MAX, older_every: int = OLDER_EVERY) -> None:
    """Leave out what is there by now for good, and look through the rest less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(young_max, older_every, older_every)


class Crowd(Protocol):
    """What stays for long, and takes many values each: the sockets of a gateway."""

    def __len__(self) -> int:
        """Return how many there are."""
        ...

    gone_count: int
    """How many are gone since the start; what a gone one leaves behind are cycles."""


class Setting:
    """Sets aside what a crowd is made of, so that no look at the rest goes through it too.

    To look through ten thousand sockets takes a second, in which nothing else happens. They are set
    aside as they come (`gc.freeze`); when as many have gone as half of those that are there, and
    `GONE_MIN` at least, one look through everything frees what they left.
    """

    COME_MIN: Final = 500
    GONE_MIN: Final = 2_000

    def __init__(self, crowd: Crowd) -> None:
        self._crowd = crowd
        self._aside = 0
        self._gone = 0

    def look(self) -> None:
        """Do what is due."""
        there = len(self._crowd)
        if self._crowd.gone_count - self._gone >= max(self.GONE_MIN, there // 2):
            self._gone = self._crowd.gone_count
            gc.unfreeze()
            gc.collect()
        elif there - self._aside < self.COME_MIN:
            self._aside = min(self._aside, there)
            return
        gc.freeze()
        self._aside = there

    async def run(self) -> None:
        """Look every second."""
        while True:
            await asyncio.sleep(LOOK_S)
            self.look()
