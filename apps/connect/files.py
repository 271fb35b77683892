"""Settings files on disk: connected, disconnected and put back byte for byte.

What a file held before is kept in the data folder, readable by the user only, together with what we
wrote. A file that is still as we wrote it is restored exactly; one that was edited since keeps its
edits and loses only our part. A file or folder that is not writable is refused before anything is
changed. A file with a token in it is private to the user while it holds one.
"""

import contextlib
import difflib
import hashlib
import os
import stat
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from analytics.contracts.errors import Refused
from apps.connect.agents import ConnectableAgent, Settings
from apps.connect.telemetry import Change, Replaced, Telemetry
from apps.local.home import PRIVATE_FILE, PRIVATE_FOLDER, Home, Unusable, make
from apps.local.state import write_private

FILE_BYTES_MAX: Final = 10_000_000
SECRET: Final = "<token>"  # noqa: S105 - what is shown in its place


class Kept(Struct, frozen=True, kw_only=True):
    """What `connect` remembers of one file."""

    path: str
    before: bytes | None
    """What the file held, or None where it did not exist."""
    mode: int
    written: bytes
    replaced: Replaced
    folders: list[str]
    """Folders that were made for it, innermost first."""


class FileChange(Struct, frozen=True, kw_only=True):
    """What is to be done, or was done, to one file; `after` is None where it is removed."""

    path: Path
    before: bytes | None
    after: bytes | None
    note: str = ""
    kept: Kept | None = None
    mode: int = PRIVATE_FILE
    folders: list[str] = []
    """Folders to remove with the file, innermost first, where they are empty then."""

    @property
    def changes(self) -> bool:
        """Whether the file will be another one."""
        return self.before != self.after


def plan_connect(home: Home, agent: ConnectableAgent, telemetry: Telemetry) -> list[FileChange]:
    """Return what connecting would do; raise where a file cannot be read, understood or written."""
    known = _load(home, agent.name)
    return [_connect(one, telemetry, known.get(str(one.path))) for one in agent.settings]


def plan_disconnect(home: Home, agent: ConnectableAgent) -> list[FileChange]:
    """Return what disconnecting would do; empty where the agent is not connected."""
    known = _load(home, agent.name)
    by_path = {str(one.path): one for one in agent.settings}
    return [_disconnect(kept, by_path.get(path)) for path, kept in known.items()]


def carry_out(home: Home, agent: ConnectableAgent, steps: list[FileChange]) -> None:
    """Write the files, and what is needed to put them back; all are checked before the first."""
    for step in steps:
        _check_writable(step.path)
    kept = [step.kept for step in steps if step.kept is not None]
    if kept:
        _save(home, agent.name, kept)
    for step in steps:
        if step.changes:
            _write(step)
    if not kept:
        _forget(home, agent.name)


def difference(step: FileChange, *, secret: str) -> str:
    """Return the change as a unified diff that does not show the token."""
    before = _text(step.path, step.before or b"").splitlines(keepends=True)
    after = _text(step.path, step.after or b"").splitlines(keepends=True)
    name = str(step.path)
    lines = difflib.unified_diff(before, after, name, name, n=2)
    shown = "".join(line if line.endswith("\n") else line + "\n" for line in lines)
    return shown.replace(secret, SECRET) if secret else shown


def _connect(one: Settings, telemetry: Telemetry, kept: Kept | None) -> FileChange:
    now = _read(one.path)
    before, original, folders = now, now, _missing_folders(one.path)
    mode = _mode(one.path)
    if kept is not None:
        mode, folders = kept.mode, kept.folders
        original = kept.before
        if now != kept.written:
            edited = one.cut(_text(one.path, now or b""), kept.replaced)
            original = None if now is None else edited.encode()
    change = _put(one, telemetry, original)
    written = change.text.encode()
    return FileChange(
        path=one.path,
        before=before,
        after=written,
        kept=Kept(
            path=str(one.path),
            before=original,
            mode=mode,
            written=written,
            replaced=change.replaced,
            folders=folders,
        ),
    )


def _disconnect(kept: Kept, one: Settings | None) -> FileChange:
    path = Path(kept.path)
    now = _read(path)
    if now is None:
        return FileChange(path=path, before=None, after=None, note="it is gone already")
    if now == kept.written or one is None:
        return FileChange(
            path=path, before=now, after=kept.before, mode=kept.mode, folders=kept.folders
        )
    left: bytes | None = one.cut(_text(path, now), kept.replaced).encode()
    if kept.before is None and left is not None and left.strip() in {b"", b"{}"}:
        left = None
    note = "it was edited since; only our part was taken out"
    return FileChange(
        path=path, before=now, after=left, mode=kept.mode, note=note, folders=kept.folders
    )


def _put(one: Settings, telemetry: Telemetry, original: bytes | None) -> Change:
    try:
        return one.put(_text(one.path, original or b""), telemetry)
    except Refused as error:
        raise Unusable(f"{str(one.path)!r}: {error}; repair it, nothing was changed") from error


def _check_writable(path: Path) -> None:
    """Refuse what the user has made read-only, even where the system would let us."""
    target = path.resolve()
    if target.exists():
        if not _is_writable(target) or not target.is_file():
            raise Unusable(f"the file {str(target)!r} is read-only; make it writable first")
        return
    folder = next(one for one in target.parents if one.exists())
    if not _is_writable(folder):
        raise Unusable(f"the folder {str(folder)!r} is read-only; make it writable first")


def _is_writable(path: Path) -> bool:
    return bool(path.stat().st_mode & 0o222) and os.access(path, os.W_OK)


def _write(step: FileChange) -> None:
    target = step.path.resolve()
    if step.after is None:
        target.unlink(missing_ok=True)
        for folder in step.folders:
            with contextlib.suppress(OSError):
                Path(folder).rmdir()
        return
    try:
        target.parent.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
        owner = target.stat() if target.exists() else None
        fresh = target.with_name(f".{target.name}.{os.getpid()}")
        handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_FILE)
        with os.fdopen(handle, "wb") as file:
            file.write(step.after)
            os.fchmod(file.fileno(), step.mode)
            if owner is not None and os.geteuid() == 0:
                os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
            os.fsync(file.fileno())
        fresh.replace(target)
    except OSError as error:
        message = f"the file {str(target)!r} could not be written ({error.strerror}); free it first"
        raise Unusable(message) from error


def _read(path: Path) -> bytes | None:
    try:
        with path.open("rb") as file:
            content = file.read(FILE_BYTES_MAX + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        message = f"the file {str(path)!r} cannot be read ({error.strerror}); make it readable"
        raise Unusable(message) from error
    if len(content) > FILE_BYTES_MAX:
        raise Unusable(
            f"the file {str(path)!r} is over {FILE_BYTES_MAX} bytes; is it the right one?"
        )
    return content


def _text(path: Path, content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise Unusable(f"the file {str(path)!r} is not UTF-8; repair it") from error


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode) if path.exists() else PRIVATE_FILE


def _missing_folders(path: Path) -> list[str]:
    return [str(folder) for folder in path.parents if not folder.exists()]


def _load(home: Home, name: str) -> dict[str, Kept]:
    try:
        content = (home.backups / f"{name}.json").read_bytes()
    except FileNotFoundError:
        return {}
    try:
        return {kept.path: kept for kept in msgspec.json.decode(content, type=list[Kept])}
    except msgspec.MsgspecError as error:
        path = str(home.backups / f"{name}.json")
        raise Unusable(f"the record {path!r} cannot be read; move it away ({error})") from error


def _save(home: Home, name: str, kept: list[Kept]) -> None:
    make(home.root)
    folder = make(home.backups)
    write_private(folder / f"{name}.json", msgspec.json.encode(kept))
    for one in kept:
        if one.before is not None:
            mark = hashlib.blake2b(one.path.encode(), digest_size=4).hexdigest()
            write_private(folder / f"{name}-{mark}.backup", one.before)


def _forget(home: Home, name: str) -> None:
    for path in (home.backups / f"{name}.json", *home.backups.glob(f"{name}-*.backup")):
        path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        home.backups.rmdir()
