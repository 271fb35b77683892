"""Files of alerts as tenants keep them: planned, checked, and then written all at once.

A plan says what would become of files without writing anything: added, changed, unchanged, removed
or refused, with the place of what is wrong. Writing a plan is one transaction that holds only if
nobody changed the tenant's files since it was made, so a file is checked outside of it, and what
was checked is what is kept. A tenant has one file of routing: another one takes its place. Files of
the folder that a worker follows (`FOLDER`) are the folder's: nobody else changes them, and it
changes nobody else's. Limits: `FILES_MAX` of a kind and tenant.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from analytics.alerts import kinds
from analytics.alerts.kinds import FileKind
from analytics.alerts.notify import masking
from analytics.contracts.errors import Conflict, Refused
from streams.clients.errors import mapped
from streams.store.alert_kept import (
    ADDED,
    ALWAYS,
    ASKED,
    CHANGED,
    FOLDER,
    REFUSED,
    REMOVED,
    UNCHANGED,
    BadName,
    Changed,
    Condition,
    Db,
    FilesChange,
    KeptFile,
    Plan,
    Planned,
    Refusal,
    UploadedFile,
    etag,
    kept,
    one,
    refusals,
    shown,
    unknown,
)

__all__ = [
    "ADDED",
    "ALWAYS",
    "ASKED",
    "CHANGED",
    "FOLDER",
    "REFUSED",
    "REMOVED",
    "UNCHANGED",
    "UploadedFile",
    "BadName",
    "Changed",
    "Condition",
    "Db",
    "KeptFile",
    "Plan",
    "Planned",
    "Refusal",
    "FilesChange",
    "etag",
    "kept",
    "one",
    "refusals",
    "shown",
    "apply",
    "plan",
    "put",
    "remove",
    "write",
]

TRIES_MAX: Final = 3
"""How often files are planned anew because somebody else changed some meanwhile."""
NAME_CHARACTERS_MAX: Final = 200
FILES_MAX: Final = 100
_VERSION: Final = "select kind, name, changed_at from alert_files where tenant = %s order by 1, 2"
_LOCK: Final = "select pg_advisory_xact_lock(hashtextextended(%s, 0))"
_PUT: Final = """
insert into alert_files (tenant, kind, name, body, changed_by, changed_at, origin)
values (%s, %s, %s, %s, %s, clock_timestamp(), %s)
on conflict (tenant, kind, name) do update
   set body = excluded.body, changed_by = excluded.changed_by, changed_at = excluded.changed_at,
       origin = excluded.origin
"""
_REMOVE: Final = "delete from alert_files where tenant = %s and kind = %s and name = %s"


def plan(db: Db, tenant: str, wanted: FilesChange) -> Plan:
    """Return what would become of the files; nothing is written."""
    with mapped("files of alerts"):
        version = _version(db, tenant)
        known = {file.name: file for file in kept(db, tenant)}
    changes = _added(wanted, known)
    named = {file.name for file in wanted.files} | wanted.held
    gone = list(wanted.removed)
    if wanted.prunes:
        gone += [
            name
            for name, file in known.items()
            if name not in named and file.origin == wanted.origin
        ]
    replaced = {change.replaces for change in changes}
    changes += [_removed(name, known, wanted) for name in gone if name not in replaced]
    return Plan(tenant=tenant, changes=tuple(changes), version=version)


def write(db: Db, planned: Plan, wanted: FilesChange) -> None:
    """Write a plan, as a whole; raise `Changed` if the files are not those it was made of."""
    if not any(change.is_written for change in planned.changes):
        return
    tenant = planned.tenant
    with mapped("files of alerts"), _together(db, tenant):
        if _version(db, tenant) != planned.version:
            raise Changed("somebody changed the files of alerts meanwhile: look, and do it again")
        kinds_of = {name: kind for kind, name, _ in planned.version}
        for change in planned.changes:
            if not change.is_written:
                continue
            for gone in {change.name, change.replaces} & kinds_of.keys():
                if change.change == REMOVED or (kinds_of[gone], gone) != (change.kind, change.name):
                    db.execute(_REMOVE, [tenant, kinds_of[gone], gone])
            if change.change != REMOVED:
                db.execute(
                    _PUT,
                    [tenant, change.kind, change.name, change.body, wanted.by, wanted.origin],
                )


def apply(db: Db, tenant: str, wanted: FilesChange, *, only: Condition = ALWAYS) -> Plan:
    """Plan and write; nothing is written where one of the files is refused.

    `only` says on which condition, for the one file that is asked for.
    """
    for left in reversed(range(TRIES_MAX)):
        planned = plan(db, tenant, wanted)
        if only is not ALWAYS:
            names = {change.name for change in planned.changes}
            known = (one for one in kept(db, tenant) if one.name in names)
            only.check(next(known, None))
        if planned.refused:
            return planned
        try:
            write(db, planned, wanted)
        except Changed:
            if not left:
                raise
            continue
        return planned
    raise AssertionError("the last try returns or raises")


def put(db: Db, tenant: str, file: UploadedFile, *, by: str, only: Condition = ALWAYS) -> Planned:
    """Keep one file in place of the one of its name; raise `Refused` with what is wrong."""
    return _only(apply(db, tenant, FilesChange(files=(file,), by=by), only=only))


def remove(db: Db, tenant: str, name: str, *, by: str, only: Condition = ALWAYS) -> Planned:
    """Remove one file; raise `NotFound`, or `Conflict` where it is the folder's."""
    return _only(apply(db, tenant, FilesChange(removed=(name,), by=by), only=only))


def _only(planned: Plan) -> Planned:
    [change] = planned.changes
    if change.error is not None:
        raise change.error
    return change


def _added(wanted: FilesChange, known: dict[str, KeptFile]) -> list[Planned]:
    changes: list[Planned] = []
    counts = dict.fromkeys(FileKind, 0)
    for was in known.values():
        counts[FileKind(was.kind)] += 1
    for file in wanted.files:
        change = _planned(file, wanted, known, changes)
        if change.change == ADDED and not change.replaces:
            counts[FileKind(change.kind)] += 1
            if counts[FileKind(change.kind)] > FILES_MAX:
                full = Conflict(f"there are {FILES_MAX} files of {change.kind}: remove some")
                change = _refused(file.name, change.kind, full)
        changes.append(change)
    return changes


def _planned(
    file: UploadedFile, wanted: FilesChange, known: dict[str, KeptFile], before: Sequence[Planned]
) -> Planned:
    was = known.get(file.name)
    if was is not None and wanted.origin == was.origin == FOLDER and was.body == file.body:
        return Planned(name=file.name, kind=was.kind, change=UNCHANGED, body=was.body, was=was.body)
    kind = FileKind.RULES
    try:
        _check_name(file.name)
        kind = kinds.kind_of(file.name, file.body)
        routing = next((one for one in known.values() if one.kind == FileKind.ROUTING), None)
        body = file.body
        if kind is FileKind.ROUTING:
            source = was if was is not None and was.kind == kind else routing
            body = masking.restored(file.name, body, "" if source is None else source.body)
        warnings = kinds.warnings(kinds.loaded(file.name, body))
        _check_owner(was, wanted, body)
        replaces = _replaced(file, kind, routing, wanted, before=before)
    except Refused as error:
        return _refused(file.name, kind, error)
    is_same = was is not None and (was.body, was.kind, was.origin) == (body, kind, wanted.origin)
    is_adopted = was is not None and was.body == body and was.origin == FOLDER
    return Planned(
        name=file.name,
        kind=kind,
        change=ADDED if was is None else UNCHANGED if is_same or is_adopted else CHANGED,
        body=body,
        was="" if was is None else was.body,
        warnings=warnings,
        replaces=replaces,
    )


def _replaced(
    file: UploadedFile,
    kind: FileKind,
    routing: KeptFile | None,
    wanted: FilesChange,
    *,
    before: Sequence[Planned],
) -> str:
    """Return which file of routing goes for this one; raise `Refused` if none may."""
    if kind is not FileKind.ROUTING:
        return ""
    other = next((one.name for one in before if one.kind == kind and one.change != REFUSED), "")
    if other:
        raise Conflict(f"{file.name!r} and {other!r} are both routing: a tenant has one such file")
    if routing is None or routing.name == file.name:
        return ""
    if routing.origin != wanted.origin:
        raise Conflict(f"there is one file of routing, {_whose(routing)}")
    return routing.name


def _check_owner(was: KeptFile | None, wanted: FilesChange, body: str) -> None:
    if was is not None and was.origin != wanted.origin and was.body != body:
        raise Conflict(f"there is a file of that name, {_whose(was)}")


def _whose(file: KeptFile) -> str:
    if file.origin == FOLDER:
        return f"{file.name!r} of the folder of alerts: change it there"
    by = f" by {file.changed_by}" if file.changed_by else ""
    return f"{file.name!r} applied{by}: `mainstem alerts remove {file.name}` makes room"


def _removed(name: str, known: dict[str, KeptFile], wanted: FilesChange) -> Planned:
    was = known.get(name)
    if was is None:
        return _refused(name, FileKind.RULES, unknown(name))
    if was.origin != wanted.origin:
        return _refused(name, was.kind, Conflict(f"this is {_whose(was)}"))
    return Planned(name=name, kind=was.kind, change=REMOVED, was=was.body)


def _refused(name: str, kind: str, error: Refused) -> Planned:
    return Planned(name=name, kind=kind, change=REFUSED, error=error)


def _check_name(name: str) -> None:
    if not name.strip() or len(name) > NAME_CHARACTERS_MAX or not name.isprintable():
        raise BadName(
            f"a file's name is 1 to {NAME_CHARACTERS_MAX} printable characters, not {name[:40]!r}"
        )
    if ";" in name or name.startswith("presets/"):
        raise BadName(f"{name!r} cannot name a file: leave out ';' and 'presets/'")


def _version(db: Db, tenant: str) -> tuple[tuple[object, ...], ...]:
    return tuple(db.execute(_VERSION, [tenant]).fetchall())


@contextmanager
def _together(db: Db, tenant: str) -> Iterator[None]:
    """Hold a transaction in which nobody else changes what belongs to the tenant."""
    with db.transaction():
        db.execute(_LOCK, [f"controls of {tenant}"])
        yield
