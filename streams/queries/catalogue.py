"""Which series a tenant has: every combination of dimensions that was ever counted.

A page begins after the last id of the page before, so pages neither overlap nor skip what was there
when the first one was read.
"""

from collections.abc import Mapping
from typing import Final

from msgspec import Struct
from psycopg import sql

from analytics.measures.rows import Grain
from streams.queries.grouped import DIMENSIONS, BadQuestion
from streams.series.measures import Db

PAGE_MAX: Final = 1_000


class CatalogueEntry(Struct, frozen=True):
    """One series."""

    series_id: int
    labels: dict[str, str]
    """Its dimensions, those that apply."""


_LISTED = sql.SQL("""
select series_id, {dimensions}
  from series s
 where tenant = %(tenant)s and grain = %(grain)s and series_id > %(after)s and {only}
 order by series_id
 limit %(limit)s
""")
FIRST: Final = -(2**63)
"""Before every series id."""


def listed(
    db: Db,
    tenant: str,
    *,
    grain: Grain,
    only: Mapping[str, tuple[str, ...]],
    after: int = FIRST,
    limit: int = 100,
) -> tuple[CatalogueEntry, ...]:
    """Return a page of series, in the order of their ids."""
    for name in only:
        if name not in DIMENSIONS:
            raise BadQuestion(f"no dimension {name!r}; there are {', '.join(DIMENSIONS)}")
    conditions: list[sql.Composable] = [
        sql.SQL("{} = any({})").format(sql.Identifier(name), sql.Placeholder(f"only_{name}"))
        for name in only
    ]
    query = _LISTED.format(
        dimensions=sql.SQL(", ").join(map(sql.Identifier, DIMENSIONS)),
        only=sql.SQL(" and ").join(conditions or [sql.SQL("true")]),
    )
    bound: dict[str, object] = {
        "tenant": tenant,
        "grain": grain.value,
        "after": after,
        "limit": min(limit, PAGE_MAX),
        **{f"only_{name}": list(values) for name, values in only.items()},
    }
    return tuple(
        CatalogueEntry(
            series_id, {name: text for name, text in zip(DIMENSIONS, texts, strict=True) if text}
        )
        for series_id, *texts in db.execute(query, bound)
    )
