"""Every series that people may ask for: those of the store, and those that rules wrote.

Rules read through `everything`, and apart from it what they wrote, in the transaction that writes
it. Whoever asks from outside, over HTTP or MCP, asks here.
"""

from typing import Final

from streams.series import store_series
from streams.series.measures import Db
from streams.series.recorded import WRITTEN, Recorded, Together
from streams.series.store_series import EverySeries

NAMES: Final = tuple(sorted({*store_series.NAMES, *WRITTEN}))
"""Every name that has series whatever rules there are, as far as there is data."""
RECENT_MS: Final = 3_600_000
"""How long ago a rule may have written last for its series to be listed."""
NAMES_MAX: Final = 1_000
_NAMES: Final = """
select distinct labels ->> '__name__' from recordings
 where tenant = %s and at > to_timestamp(%s / 1000.0) and at <= to_timestamp(%s / 1000.0)
 limit %s
"""


def series(db: Db, tenant: str, *, until_ms: int, operator: bool = False) -> Together:
    """Return all series of a tenant, up to a moment; an `operator` sees what is of no tenant."""
    every = EverySeries(db, tenant, until_ms=until_ms, operator=operator)
    return Together(every, Recorded(db, tenant))


def names(db: Db, tenant: str, *, until_ms: int) -> list[str]:
    """Return the names of series: those that may have data, and those that rules wrote of late."""
    bound = [tenant, until_ms - RECENT_MS, until_ms, NAMES_MAX]
    written = {str(name) for (name,) in db.execute(_NAMES, bound) if name}
    return sorted({*NAMES, *written})
