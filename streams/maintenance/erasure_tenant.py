"""The erasure of all that the store has of one tenant, a statement a table, its series last.

Which tables hold something of a tenant the store's own catalogue says: those with a column
`tenant`, and those that name a series or a watched one. So a table that a later migration adds is
not forgotten. What is on record of erasures, and their tombstones, stay.
"""

from collections.abc import Iterator, Mapping
from typing import Final, LiteralString

from psycopg import Connection
from psycopg.rows import TupleRow
from psycopg.sql import SQL, Composable, Identifier

Db = Connection[TupleRow]

_KEPT: Final = ("erasures", "tombstones")
_LAST: Final = ("watched", "series")
"""What other tables are found by goes after them."""
_BY: Final[Mapping[str, LiteralString]] = {
    "tenant": "tenant = %(tenant)s",
    "series_id": "series_id in (select series_id from series where tenant = %(tenant)s)",
    "watch_id": "watch_id in (select watch_id from watched where tenant = %(tenant)s)",
}
"""How rows of a tenant are found, by the column that says it; the first that a table has counts."""
_TABLES: Final = """
select c.relname, array_agg(a.attname::text)
  from pg_class c join pg_attribute a on a.attrelid = c.oid
 where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p')
   and not c.relispartition and a.attnum > 0 and not a.attisdropped
   and a.attname = any(%s)
 group by c.relname order by c.relname
"""
_COMPUTED: Final = """
select materialization_hypertable_schema, materialization_hypertable_name, view_name
  from timescaledb_information.continuous_aggregates
"""
_LIFT: Final = "delete from tombstones where tenant = %s"


def erase(db: Db, tenant: str, *, has_aggregates: bool) -> Iterator[tuple[str, int]]:
    """Delete everything of a tenant, table by table; say how many rows went."""
    for name, table, column in (*_computed(db, has_aggregates=has_aggregates), *_tables(db)):
        statement = SQL("delete from {} where {}").format(table, SQL(_BY[column]))
        yield name, db.execute(statement, {"tenant": tenant}).rowcount


def lift(db: Db, tenant: str) -> int:
    """Let what was erased of a tenant be stored when it is told again; return how many stones."""
    return db.execute(_LIFT, [tenant]).rowcount


def _tables(db: Db) -> list[tuple[str, Composable, str]]:
    found: dict[str, list[str]] = dict(db.execute(_TABLES, [list(_BY)]).fetchall())
    names = [name for name in found if name not in (*_KEPT, *_LAST)]
    return [
        (name, Identifier(name), next(column for column in _BY if column in found[name]))
        for name in (*names, *_LAST)
    ]


def _computed(db: Db, *, has_aggregates: bool) -> list[tuple[str, Composable, str]]:
    """Return the tables that hold what continuous aggregates computed: by series, all of them."""
    if not has_aggregates:
        return []
    return [
        (view, Identifier(schema, name), "series_id")
        for schema, name, view in db.execute(_COMPUTED).fetchall()
    ]
