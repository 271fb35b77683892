"""Follows a folder of alert files: what is dropped, changed or removed there counts within seconds.

Every `LOOK_S` the folder is looked at. A file counts once two looks saw it alike, so one that is
still being written is not taken half; a file under `tenants/NAME/` is of that tenant, all others of
the tenant that a setting names. Names that begin with a dot are passed over, so a ConfigMap's
`..data`, which is swapped under links to it, is followed as the files that people see. A file that
is refused leaves its last good version in force and is named in the log, in metrics, in the
worker's health and in the store; so does a folder that is away, in which case nothing is removed.
Each `AGAIN_S` the store is compared with the folder though nothing changed. Limits: `FILES_MAX`
files, `BYTES_MAX` each, `DEPTH_MAX` folders deep.
"""

import logging
import os
import socket
import stat
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, Protocol
from uuid import uuid4

from msgspec import Struct

from analytics.alerts.kinds import SUFFIXES
from analytics.contracts.errors import MainstemError, Unavailable
from streams import metrics
from streams.store import alert_folder, controls
from streams.store.alert_files import Db, Planned, UploadedFile
from streams.store.alert_folder import Holds

log = logging.getLogger(__name__)

LOOK_S: Final = 1.0
AGAIN_S: Final = 30.0
RETRY_S: Final = 2.0
FILES_MAX: Final = 1_000
BYTES_MAX: Final = 4_000_000
DEPTH_MAX: Final = 8
TENANTS: Final = "tenants"
"""The folder in which each folder is a tenant's."""
PART: Final = "alerts folder"
"""What the worker's health calls it."""

Key = tuple[str, str]
"""A tenant and a file's name, which is its path from the folder that is the tenant's."""


class Complaints(Protocol):
    """Who is told what is wrong with the folder."""

    def complains(self, part: str, reason: str) -> None:
        """Note what is wrong with a part; no reason says that nothing is."""


class Seen(Struct, frozen=True):
    """A file as a look saw it: where it is, and what tells that it changed."""

    path: Path
    signature: tuple[int, int, int, int]


class FolderAway(MainstemError):
    """The folder cannot be read."""

    code = "folder-away"


class Follower:
    """Has the store hold what a folder does, until told to stop."""

    def __init__(self, url: str, folder: Path, *, tenant: str, told: Complaints) -> None:
        self._url = url
        self._folder = folder
        self._tenant = tenant
        self._told = told
        self._owner = f"{socket.gethostname()}-{os.getpid()}-{uuid4().hex[:8]}"
        self._before: dict[Key, Seen] = {}
        self._taken: dict[Key, Seen] | None = None
        self._taken_s = 0.0
        self._refused: dict[Key, str] = {}

    def run(self, stop: threading.Event) -> None:
        """Follow; whatever goes wrong is tried again after a while."""
        while not stop.is_set():
            try:
                with controls.opened(self._url) as db:
                    while not stop.is_set():
                        self.look(db)
                        stop.wait(LOOK_S)
                    alert_folder.leave(db, self._owner)
            except Unavailable as error:
                log.info("following the folder of alerts waits", extra={"reason": str(error)})
            except Exception:
                log.exception("following the folder of alerts failed; it begins again")
                metrics.ALERT_FOLDER_FAILURES.inc()
            self._taken = None
            if not stop.is_set():
                stop.wait(RETRY_S)

    def look(self, db: Db) -> None:
        """Look once, and take what is to be taken."""
        if not alert_folder.lease(db, self._owner):
            self._taken = None
            self._note({}, "")
            return
        try:
            seen = scan(self._folder, self._tenant)
        except FolderAway as error:
            self._taken = None
            self._note(self._refused, str(error))
            return
        before, self._before = self._before, seen
        steady = {key: one for key, one in seen.items() if before.get(key) == one}
        is_late = time.monotonic() - self._taken_s >= AGAIN_S
        if self._taken is not None and steady == self._taken and not is_late:
            return
        self._take(db, steady, unsteady=seen.keys() - steady.keys())

    def _take(self, db: Db, steady: Mapping[Key, Seen], *, unsteady: set[Key]) -> None:
        read = {key: _read(key[1], one.path) for key, one in steady.items()}
        try:
            torn = any(_signature(one.path) != one.signature for one in steady.values())
        except FolderAway:
            torn = True
        if torn:
            return  # it changed while it was read: the next look sees it anew
        refused: dict[Key, str] = {}
        for tenant in sorted({tenant for tenant, _ in steady} | alert_folder.tenants(db)):
            files = [one for (of, _), one in read.items() if of == tenant]
            holds = Holds(
                files=[one.file for one in files if not one.reason],
                unreadable={one.file.name: one.reason for one in files if one.reason},
                waiting=frozenset(name for of, name in unsteady if of == tenant),
            )
            followed = alert_folder.follow(db, tenant, holds)
            refused |= {(tenant, one.name): one.refused for one in followed if one.error}
            self._say(tenant, followed)
        self._note(refused, "")
        self._taken, self._taken_s = dict(steady), time.monotonic()

    def _say(self, tenant: str, followed: tuple[Planned, ...]) -> None:
        for one in followed:
            told = {"tenant": tenant, "file": one.name, "change": one.change}
            if not one.error:
                metrics.ALERT_FILES_CHANGED.labels(one.change).inc()
                log.info("a file of the folder of alerts is taken", extra=told)
                for caution in one.warnings.cautions:
                    log.warning(
                        "a file of the folder of alerts is taken and most likely not as meant",
                        extra={**told, "reason": caution},
                    )
            elif self._refused.get((tenant, one.name)) != one.refused:
                metrics.ALERT_FILES_CHANGED.labels(one.change).inc()
                log.warning(
                    "a file of the folder of alerts is refused; its last good version stays",
                    extra={**told, "reason": one.refused},
                )

    def _note(self, refused: Mapping[Key, str], away: str) -> None:
        """Tell metrics and health what is wrong now."""
        for tenant, name in self._refused.keys() - refused.keys():
            metrics.ALERT_FILES_REFUSED.remove(tenant, name)
        for tenant, name in refused:
            metrics.ALERT_FILES_REFUSED.labels(tenant, name).set(1)
        metrics.ALERT_FOLDER_AWAY.set(1 if away else 0)
        self._refused = dict(refused)
        reasons = ([away] if away else []) + [reason for _, reason in sorted(refused.items())]
        self._told.complains(PART, "; ".join(reasons))


class _Read(Struct, frozen=True):
    """A file as it was read; `reason` says why it could not be."""

    file: UploadedFile
    reason: str = ""


def scan(folder: Path, tenant: str) -> dict[Key, Seen]:
    """Return the files of alerts in a folder; raise `FolderAway`."""
    try:
        with os.scandir(folder):
            pass
    except OSError as error:
        raise FolderAway(f"{folder} cannot be read: {error.strerror}") from error
    found: dict[Key, Seen] = {}
    for parts, seen in _files(folder, (), {os.path.realpath(folder)}):
        key = (tenant, "/".join(parts))
        if parts[0] == TENANTS and len(parts) > 2:
            key = (parts[1], "/".join(parts[2:]))
        found[key] = seen
        if len(found) > FILES_MAX:
            raise FolderAway(f"{folder} holds more than {FILES_MAX} files of alerts: take some out")
    return found


def _files(
    folder: Path, parts: tuple[str, ...], passed: set[str]
) -> Iterator[tuple[tuple[str, ...], Seen]]:
    try:
        entries = sorted(folder.iterdir())
    except FileNotFoundError:
        return  # it went between two looks
    except OSError as error:
        raise FolderAway(f"{folder} cannot be read: {error.strerror}") from error
    for path in entries:
        name = path.name
        signature = None if name.startswith(".") else _signature(path)
        if signature is None:
            continue
        if path.is_dir():
            real = os.path.realpath(path)
            if real not in passed and len(parts) < DEPTH_MAX:
                yield from _files(path, (*parts, name), passed | {real})
        elif path.suffix in SUFFIXES:
            yield (*parts, name), Seen(path, signature)


def _signature(path: Path) -> tuple[int, int, int, int] | None:
    """Return what tells that a file changed; None if it is neither file nor folder."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise FolderAway(f"{path} cannot be read: {error.strerror}") from error
    if not (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)):
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size


def _read(name: str, path: Path) -> _Read:
    try:
        with path.open("rb") as opened:
            data = opened.read(BYTES_MAX + 1)
    except OSError as error:
        return _unread(name, f"cannot be read: {error.strerror}")
    if len(data) > BYTES_MAX:
        return _unread(name, f"is larger than {BYTES_MAX} bytes: split it")
    try:
        return _Read(UploadedFile(name=name, body=data.decode("utf-8-sig")))
    except UnicodeDecodeError:
        return _unread(name, "is no text in UTF-8")


def _unread(name: str, reason: str) -> _Read:
    return _Read(UploadedFile(name=name, body=""), f"{name} {reason}")
