"""What tenants ask to have kept for less time than everybody: read, and set after a check."""

from collections.abc import Mapping
from typing import Final

from msgspec import Struct, structs

from streams.clients import admin
from streams.clients.admin import Db
from streams.maintenance import tenant_terms
from streams.maintenance.retention import Retention

_OWN: Final = "select kind, days from retention_settings where tenant = %s"
_TERMS: Final = "select name, (term_s / 86400)::int from kept where term_s is not null"
_SET: Final = """
insert into retention_settings (tenant, kind, days, changed_by) values (%s, %s, %s, %s)
on conflict (tenant, kind) do update
   set days = excluded.days, changed_by = excluded.changed_by, changed_at = now(),
       looked_at = '1970-01-01 00:00:00+00', swept_to = '1970-01-01 00:00:00+00'
"""
_UNSET: Final = "delete from retention_settings where tenant = %s and kind = %s"
_TABLES: Final = {
    "events": "events_days", "window_10s": "window_10s_days", "window_1m": "window_1m_days",
    "rollup_5m": "window_5m_days", "rollup_1h": "window_1h_days", "rollup_1d": "window_1d_days",
}  # fmt: skip


class Term(Struct, frozen=True, kw_only=True):
    """How long one kind of row is kept: everybody's, and a tenant's."""

    kind: str
    everybodys_days: int
    own_days: int | None
    """What the tenant asked for; None where nothing."""
    days: int
    """What holds."""


def terms(url: str, tenant: str, kept: Retention) -> list[Term]:
    """Return the terms of a tenant; `kept` is what holds where no worker has said otherwise."""
    with admin.connected(url, "a look at terms") as db:
        return _terms(db, tenant, _bounds(db, kept))


def put(
    url: str, tenant: str, changes: Mapping[str, int | None], *, kept: Retention, changed_by: str
) -> list[Term]:
    """Set terms of a tenant, or (None) have everybody's again; raise `BadTerm` and set nothing."""
    with admin.connected(url, "a change of terms") as db, db.transaction():
        bounds = _bounds(db, kept)
        own: dict[str, int] = dict(db.execute(_OWN, [tenant]).fetchall())
        wanted: dict[str, int | None] = {**own, **changes}
        tenant_terms.check(
            {kind: days for kind, days in wanted.items() if days is not None}, bounds
        )
        for kind, days in changes.items():
            if days is None:
                db.execute(_UNSET, [tenant, kind])
            else:
                db.execute(_SET, [tenant, kind, days, changed_by])
        return _terms(db, tenant, bounds)


def _terms(db: Db, tenant: str, kept: Retention) -> list[Term]:
    own: dict[str, int] = dict(db.execute(_OWN, [tenant]).fetchall())
    limits = tenant_terms.everybodys(kept)
    holds = tenant_terms.effective(own, kept)
    return [
        Term(
            kind=kind,
            everybodys_days=limits[kind],
            own_days=own.get(kind),
            days=holds[kind],
        )
        for kind in tenant_terms.FIELDS
    ]


def _bounds(db: Db, kept: Retention) -> Retention:
    """Return everybody's terms, as a worker's job last kept to them."""
    told = {_TABLES[name]: days for name, days in db.execute(_TERMS).fetchall() if name in _TABLES}
    return structs.replace(kept, **told)
