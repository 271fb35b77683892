"""What every table of sums holds: one declaration, for those who write and for those who read.

A table of windows or rollups keeps every series apart, so it answers any question. A total adds the
series of a tenant's fleet up: over everything, and by each of its dimensions one at a time; what a
series has none of is in the total over everything alone. Whoever writes a total writes it by its
`dimensions`, and whoever reads asks `holds` first: a table that does not hold a grouping has no row
of it, which looks like a quiet minute.
"""

from collections.abc import Iterable
from enum import StrEnum
from typing import Final

from msgspec import Struct

from analytics.measures.rows import ROLLED_MS, WIDTHS_MS

Grouping = tuple[str, ...]
"""The dimensions that an answer keeps apart or asks for one value of; none is the whole."""

DIMENSIONS: Final = ("agent", "model", "tool", "skill", "project")
"""What totals may be kept apart by."""
WHOLE: Final[Grouping] = ()


class TableKind(StrEnum):
    """How a table comes to its rows."""

    WINDOW = "window"
    """Written by the stream, by series."""
    ROLLUP = "rollup"
    """Made of a narrower table, by series."""
    TOTAL = "total"
    """Made of a table of series, by tenant and dimension."""


class TableContract(Struct, frozen=True, kw_only=True):
    """One table: how wide its rows are, what it is made of, and what it keeps apart."""

    table: str
    kind: TableKind
    width_ms: int
    source: str = ""
    """The table that it is made of; of a total also the one that answers what it does not hold."""
    dimensions: tuple[str, ...] = ()
    """What a total is kept apart by, beside the total of all."""

    def holds(self, grouping: Grouping) -> bool:
        """Say whether the rows of this table answer a grouping."""
        if self.kind is not TableKind.TOTAL or grouping == WHOLE:
            return True
        return len(set(grouping)) == 1 and grouping[0] in self.dimensions


_NAMES: Final = dict(zip((*WIDTHS_MS, *ROLLED_MS), ("10s", "1m", "5m", "1h", "1d"), strict=True))
_NARROW_MS, _SOURCE_MS = WIDTHS_MS
_FINER: Final = dict(zip(ROLLED_MS, ("window_1m", "rollup_5m", "rollup_1h"), strict=True))

WINDOWS: Final = {
    width: TableContract(table=f"window_{name}", kind=TableKind.WINDOW, width_ms=width)
    for width, name in _NAMES.items()
}
"""What the stream writes; at widths that are rolled up, what was too old for narrower ones."""
ROLLUPS: Final = {
    width: TableContract(
        table=f"rollup_{_NAMES[width]}", kind=TableKind.ROLLUP, width_ms=width, source=_FINER[width]
    )
    for width in ROLLED_MS
}
"""What windows amount to, by series."""
TOTALS: Final = {
    _SOURCE_MS: TableContract(
        table="total_1m",
        kind=TableKind.TOTAL,
        width_ms=_SOURCE_MS,
        source=WINDOWS[_SOURCE_MS].table,
    ),
    **{
        width: TableContract(
            table=f"total_{_NAMES[width]}",
            kind=TableKind.TOTAL,
            width_ms=width,
            source=ROLLUPS[width].table,
            dimensions=DIMENSIONS,
        )
        for width in ROLLED_MS
    },
}
"""What series amount to, by tenant. By the minute only as a whole: a week of minutes by dimension
is as many rows as the windows themselves."""

TABLES: Final = {one.table: one for group in (WINDOWS, ROLLUPS, TOTALS) for one in group.values()}
"""Every table of sums by its name."""
WHOLE_BY: Final = {
    width: (ROLLUPS[width] if width in ROLLUPS else WINDOWS[width]).table for width in _NAMES
}
"""The table that tells since when a width is whole."""


def hold(table: str, groupings: Iterable[Grouping]) -> bool:
    """Say whether a table holds every one of these groupings."""
    return all(TABLES[table].holds(one) for one in groupings)
