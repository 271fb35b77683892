"""Files of alerts as `mainstem alerts apply|list|show|remove` ask for them.

A path is a file, or a folder whose files of alerts are all meant. A file is kept under its name
without folders. What is printed of a file holds no secret.
"""

import difflib
from collections.abc import Iterator, Sequence
from getpass import getuser
from pathlib import Path
from typing import Final

from msgspec import Struct

from analytics.alerts.kinds import SUFFIXES
from analytics.contracts.errors import BadSetting, Refused
from streams.store import alert_files
from streams.store.alert_files import Db, FilesChange, KeptFile, Plan, Planned, UploadedFile

STDIN: Final = "-"
BYTES_MAX: Final = 4_000_000
"""How large a file may be."""


class Said(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What becomes of a file, as a command prints it."""

    name: str
    kind: str
    change: str
    refused: str = ""
    line: int = 0
    cautions: tuple[str, ...] = ()
    beyond: tuple[str, ...] = ()
    replaces: str = ""
    diff: str = ""


class ListedFile(Struct, frozen=True, kw_only=True):
    """A file that is kept, as a list shows it; `refused` names what is wrong in the folder."""

    name: str
    kind: str
    origin: str
    changed_by: str
    changed_at: str
    etag: str
    refused: str = ""


def read(paths: Sequence[Path]) -> tuple[UploadedFile, ...]:
    """Return the files that paths mean; raise `Refused` for one that cannot be read."""
    found: dict[str, Path] = {}
    for path in _each(paths):
        other = found.get(path.name)
        if other is not None and other.resolve() != path.resolve():
            raise BadSetting(
                f"{other} and {path} would both be kept as {path.name!r}: rename one of them"
            )
        found[path.name] = path
    if not found:
        raise BadSetting(f"no file of alerts there: they end in {', '.join(SUFFIXES)}")
    return tuple(UploadedFile(name=name, body=_text(path)) for name, path in found.items())


def applied(
    db: Db, tenant: str, files: Sequence[UploadedFile], *, by: str, prunes: bool, is_dry: bool
) -> list[Said]:
    """Keep the files, or say what would become of them; none is kept if one is refused."""
    wanted = FilesChange(files=files, by=by or getuser(), prunes=prunes)
    plan = alert_files.plan if is_dry else alert_files.apply
    return _said(plan(db, tenant, wanted))


def removed(db: Db, tenant: str, names: Sequence[str], *, by: str, is_dry: bool) -> list[Said]:
    """Remove files by name, all or none."""
    wanted = FilesChange(removed=tuple(dict.fromkeys(names)), by=by or getuser())
    plan = alert_files.plan if is_dry else alert_files.apply
    return _said(plan(db, tenant, wanted))


def listed(db: Db, tenant: str) -> list[ListedFile]:
    """Return the files that are kept, and those of the folder that are refused."""
    refused = {one.name: one.reason for one in alert_files.refusals(db, tenant)}
    found = [_listed(one, refused.pop(one.name, "")) for one in alert_files.kept(db, tenant)]
    return found + [
        ListedFile(
            name=name, kind="", origin=alert_files.FOLDER, changed_by="", changed_at="", etag="",
            refused=reason,
        )
        for name, reason in refused.items()
    ]  # fmt: skip


def line(one: ListedFile) -> str:
    """Return a file of the list as one line for people."""
    if not one.etag:
        return f"refused  {one.name} (folder): {one.refused}"
    by = f" by {one.changed_by}" if one.changed_by else ""
    odd = f"; the one in the folder is refused: {one.refused}" if one.refused else ""
    return f"{one.kind:8} {one.name} ({one.origin}), {one.changed_at}{by}{odd}"


def _each(paths: Sequence[Path]) -> Iterator[Path]:
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        yield from sorted(
            file
            for file in path.rglob("*")
            if file.suffix in SUFFIXES
            and file.is_file()
            and not any(part.startswith(".") for part in file.relative_to(path).parts)
        )


def _text(path: Path) -> str:
    try:
        with path.open("rb") as opened:
            data = opened.read(BYTES_MAX + 1)
    except OSError as error:
        raise Refused(f"{path} cannot be read: {error.strerror}") from None
    if len(data) > BYTES_MAX:
        raise Refused(f"{path} is larger than {BYTES_MAX} bytes: split it")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Refused(f"{path} is no text in UTF-8") from None


def _said(plan: Plan) -> list[Said]:
    return [
        Said(
            name=one.name,
            kind=one.kind,
            change=one.change,
            refused=one.refused,
            line=one.line,
            cautions=one.warnings.cautions,
            beyond=one.warnings.beyond,
            replaces=one.replaces,
            diff=_diff(one),
        )
        for one in plan.changes
    ]


def _diff(one: Planned) -> str:
    """Return how a file changes, without its secrets."""
    if one.change not in {alert_files.CHANGED, alert_files.ADDED, alert_files.REMOVED}:
        return ""
    was, now = (
        alert_files.shown(one.kind, body).splitlines() if body else []
        for body in (one.was, one.body)
    )
    lines = difflib.unified_diff(was, now, f"kept/{one.name}", one.name, lineterm="")
    return "\n".join(lines)


def _listed(one: KeptFile, refused: str) -> ListedFile:
    return ListedFile(
        name=one.name,
        kind=one.kind,
        origin=one.origin,
        changed_by=one.changed_by,
        changed_at=one.changed_at.isoformat(timespec="seconds"),
        etag=one.etag,
        refused=refused,
    )
