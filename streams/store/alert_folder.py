"""What the folder of alerts comes to in the store: whose turn it is to follow it, and what it says.

Several workers may see the same folder; one of them follows it, for as long as its lease holds. A
tenant's files of the folder are what the folder holds, except those that are refused: of them the
last good version stays, and the refusal is kept beside it with its reason.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct

from analytics.alerts.kinds import FileKind
from analytics.contracts.errors import Refused
from streams.clients.errors import mapped
from streams.store import alert_files
from streams.store.alert_files import (
    FOLDER,
    REFUSED,
    Changed,
    Db,
    FilesChange,
    Planned,
    UploadedFile,
)


class NotTaken(Refused):
    """A file of the folder that stays as it was, with the reason."""

    code = "not-taken"


class Holds(Struct, frozen=True, kw_only=True):
    """What a folder holds for a tenant."""

    files: Sequence[UploadedFile] = ()
    unreadable: Mapping[str, str] = {}
    """Files that are there and cannot be read, with the reason; they stay as they were."""
    waiting: frozenset[str] = frozenset()
    """Files that are still being written; they stay as they were."""


LEASE_S: Final = 10
"""How long a worker that died keeps others from following the folder."""
TRIES_MAX: Final = 3
WHO: Final = "folder"
_LEASE: Final = """
insert into alert_folder (number, owner, leased_until)
values (1, %(owner)s, now() + %(lease_s)s * interval '1 second')
on conflict (number) do update
   set owner = excluded.owner, leased_until = excluded.leased_until
 where alert_folder.owner = excluded.owner or alert_folder.leased_until < now()
returning owner
"""
_LEAVE: Final = "delete from alert_folder where owner = %s"
_TENANTS: Final = """
select tenant from alert_files where origin = 'folder' union select tenant from alert_files_refused
"""
_FORGET: Final = "delete from alert_files_refused where tenant = %s and name <> all(%s)"
_REFUSE: Final = """
insert into alert_files_refused (tenant, name, reason) values (%s, %s, %s)
on conflict (tenant, name) do update set reason = excluded.reason, at = now()
 where alert_files_refused.reason <> excluded.reason
"""


def lease(db: Db, owner: str) -> bool:
    """Say whether it is `owner` who follows the folder for the next while."""
    with mapped("the lease of the folder"):
        return db.execute(_LEASE, {"owner": owner, "lease_s": LEASE_S}).fetchone() is not None


def leave(db: Db, owner: str) -> None:
    """Let another worker follow the folder."""
    with mapped("the lease of the folder"):
        db.execute(_LEAVE, [owner])


def tenants(db: Db) -> frozenset[str]:
    """Return the tenants that have something of the folder in the store."""
    with mapped("tenants of the folder"):
        return frozenset(tenant for (tenant,) in db.execute(_TENANTS))


def follow(db: Db, tenant: str, holds: Holds) -> tuple[Planned, ...]:
    """Have the store hold what the folder does; return what became of each file that changed."""
    for left in reversed(range(TRIES_MAX)):
        try:
            return _follow(db, tenant, holds)
        except Changed:
            if not left:
                raise
    raise AssertionError("the last try returns or raises")


def _follow(db: Db, tenant: str, holds: Holds) -> tuple[Planned, ...]:
    good = list(holds.files)
    reasons = dict(holds.unreadable)
    while True:
        held = frozenset(reasons) | holds.waiting
        held |= _routing(db, tenant, held)
        wanted = FilesChange(files=good, by=WHO, origin=FOLDER, prunes=True, held=held)
        planned = alert_files.plan(db, tenant, wanted)
        if not planned.refused:
            break
        reasons |= {one.name: one.refused for one in planned.refused}
        good = [one for one in good if one.name not in reasons]
    alert_files.write(db, planned, wanted)
    _keep(db, tenant, reasons)
    refused = (
        Planned(name=name, kind="", change=REFUSED, error=NotTaken(reason))
        for name, reason in sorted(reasons.items())
    )
    return (*(one for one in planned.changes if one.is_written), *refused)


def _routing(db: Db, tenant: str, held: frozenset[str]) -> frozenset[str]:
    """Return the file of routing where one that cannot be taken may be it under a new name."""
    known = alert_files.kept(db, tenant)
    if held <= {one.name for one in known}:
        return frozenset()
    return frozenset(one.name for one in known if one.kind == FileKind.ROUTING)


def _keep(db: Db, tenant: str, reasons: Mapping[str, str]) -> None:
    with mapped("what of the folder is refused"), db.transaction():
        db.execute(_FORGET, [tenant, list(reasons)])
        for name, reason in sorted(reasons.items()):
            db.execute(_REFUSE, [tenant, name, reason])
