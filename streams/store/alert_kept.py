"""What tenants keep of files of alerts, and what may become of them: values, and how they are read.

See `alert_files` for how they change.
"""

from collections.abc import Sequence
from datetime import datetime
from hashlib import blake2b
from typing import Final

from msgspec import Struct
from psycopg import Connection
from psycopg.rows import TupleRow, class_row

from analytics.alerts.documents import BadFile
from analytics.alerts.kinds import FileKind, Warnings
from analytics.alerts.notify import masking
from analytics.contracts.errors import Conflict, NotFound, PreconditionFailed, Refused
from streams.clients.errors import mapped

ASKED: Final = "asked"
FOLDER: Final = "folder"
ADDED: Final = "added"
CHANGED: Final = "changed"
UNCHANGED: Final = "unchanged"
REMOVED: Final = "removed"
REFUSED: Final = "refused"

Db = Connection[TupleRow]

_KEPT: Final = """
select kind, name, body, origin, changed_by, changed_at
  from alert_files where tenant = %s order by kind, name
"""
_REFUSALS: Final = """
select name, reason, at from alert_files_refused where tenant = %s order by name
"""


class Changed(Conflict):
    """Somebody changed the files meanwhile."""

    code = "changed-meanwhile"


class BadName(Refused):
    """A name that cannot name a file of alerts."""

    code = "bad-name"


class UploadedFile(Struct, frozen=True, kw_only=True):
    """A file of rules or of routing, as somebody wrote it; what it is, its own fields say."""

    name: str
    body: str


class KeptFile(Struct, frozen=True, kw_only=True):
    """A file that a tenant keeps."""

    kind: str
    name: str
    body: str
    origin: str
    changed_by: str
    changed_at: datetime

    @property
    def etag(self) -> str:
        """What its content is known by."""
        return etag(self.body)

    @property
    def shown(self) -> str:
        """Its content without secrets."""
        return shown(self.kind, self.body)


class Refusal(Struct, frozen=True, kw_only=True):
    """A file of the folder that is not kept, why, and since when."""

    name: str
    reason: str
    at: datetime


class Condition(Struct, frozen=True, kw_only=True):
    """On which content a change is asked for, as HTTP's `If-Match` and `If-None-Match` (RFC 9110).

    `*` is any; nothing at all is no condition.
    """

    matches: tuple[str, ...] = ()
    none_matches: tuple[str, ...] = ()

    def check(self, known: "KeptFile | None") -> None:
        """Raise `PreconditionFailed` where it does not hold for what is kept."""
        tags = {"*", known.etag} if known is not None else set[str]()
        if self.matches and not tags & set(self.matches):
            raise PreconditionFailed("the file is not the one of If-Match any more: read it anew")
        if tags & set(self.none_matches):
            raise PreconditionFailed("the file is there already, and If-None-Match asks for none")


ALWAYS: Final = Condition()


class Planned(Struct, frozen=True, kw_only=True):
    """What becomes of one file."""

    name: str
    kind: str
    change: str
    body: str = ""
    """What is to be kept, with its secrets."""
    was: str = ""
    """What was kept."""
    warnings: Warnings = Warnings()
    error: Refused | None = None
    """Why it cannot be kept."""
    replaces: str = ""
    """The file of routing whose place it takes."""

    @property
    def refused(self) -> str:
        """Why it cannot be kept, in a sentence; empty if it can."""
        return "" if self.error is None else str(self.error)

    @property
    def line(self) -> int:
        """The line of what is wrong; 0 if it has none."""
        return self.error.place.line if isinstance(self.error, BadFile) else 0

    @property
    def is_written(self) -> bool:
        """Whether the store changes by it."""
        return self.change in {ADDED, CHANGED, REMOVED}


class Plan(Struct, frozen=True, kw_only=True):
    """What becomes of a tenant's files, and of which ones it was planned."""

    tenant: str
    changes: tuple[Planned, ...]
    version: tuple[tuple[object, ...], ...]

    @property
    def refused(self) -> tuple[Planned, ...]:
        """The files that cannot be kept."""
        return tuple(one for one in self.changes if one.change == REFUSED)


class FilesChange(Struct, frozen=True, kw_only=True):
    """Which files are asked for, by whom, and what of the others goes."""

    files: Sequence[UploadedFile] = ()
    removed: Sequence[str] = ()
    by: str = ""
    origin: str = ASKED
    prunes: bool = False
    """Whether all others of the same origin are removed."""
    held: frozenset[str] = frozenset()
    """Names that are not removed though they are not among the files."""


def etag(body: str) -> str:
    """Return what a content is known by."""
    return blake2b(body.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def shown(kind: str, body: str) -> str:
    """Return a content as it may be shown."""
    return masking.masked(body) if kind == FileKind.ROUTING else body


def kept(db: Db, tenant: str) -> tuple[KeptFile, ...]:
    """Return the files of a tenant, by kind and name."""
    with mapped("files of alerts"), db.cursor(row_factory=class_row(KeptFile)) as cursor:
        return tuple(cursor.execute(_KEPT, [tenant]).fetchall())


def refusals(db: Db, tenant: str) -> tuple[Refusal, ...]:
    """Return what of the folder is refused, by name."""
    with mapped("files of alerts"), db.cursor(row_factory=class_row(Refusal)) as cursor:
        return tuple(cursor.execute(_REFUSALS, [tenant]).fetchall())


def one(db: Db, tenant: str, name: str) -> KeptFile:
    """Return a file by its name; raise `NotFound`."""
    for file in kept(db, tenant):
        if file.name == name:
            return file
    raise unknown(name)


def unknown(name: str) -> NotFound:
    """Return the error that there is no file of a name."""
    return NotFound(f"there is no file {name[:80]!r} of alerts; `mainstem alerts list` shows them")
