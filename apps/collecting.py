"""How often Python looks for cycles in a process that handles many small values.

A worker makes some hundred thousand values a second, nearly all of which reference counting frees;
by default the collector looks through them after every 700, and now and then through everything the
program is made of. That took up to a third of a worker's time. Cycles are still found, later: what
they hold until then is a few megabytes.
"""

import gc
from typing import Final

YOUNG_MAX: Final = 50_000
"""Values that may come to be, beyond those freed, before the youngest are looked through."""
OLDER_EVERY: Final = 20
"""So many looks at the younger are one look at the next older."""


def seldom(*, young_max: int = YOUNG_MAX, older_every: int = OLDER_EVERY) -> None:
    """Leave out what is there by now for good, and look through the rest less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(young_max, older_every, older_every)
