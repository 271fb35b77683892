"""opencode's stores, record by record: the database of newer versions, the folders of older ones.

Each record is JSON: `{"session": …}`, or `{"message": …, "parts": […]}`. Sessions come before
messages and older ones before newer ones, so that what a fork copied belongs to the session that
said it first. One message is held at a time. The database is only read, while opencode writes too.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

import msgspec

from gateway.transcripts.lines import LINE_BYTES_MAX

STORAGE: Final = "storage"
"""The folder of older versions."""
WAIT_MAX_S: Final = 5.0
"""How long a database that is being written is waited for."""
PARTS_MAX: Final = 10_000
"""Parts of one message that are looked at."""

UNREADABLE: Final = b"unreadable\n"

_COLUMNS: Final = ("id", "parent_id", "directory", "version")
_MESSAGES: Final = """
select id, data from message where session_id = ? order by time_created, id
"""
_PARTS: Final = """
select data from part where message_id = ? and length(data) <= ? order by id limit ?
"""


def is_storage(folder: Path) -> bool:
    """Say whether a folder is one that an older version keeps its history in."""
    return folder.name == STORAGE and (folder / "message").is_dir()


def size_of(folder: Path) -> int:
    """Return how many bytes of messages and parts a folder holds; raise `OSError`."""
    return sum(
        path.stat().st_size for kind in ("message", "part") for path in _files(folder / kind)
    )


def records(path: Path) -> Iterator[bytes]:
    """Yield the records of a database or folder; raise `OSError` where it cannot be read."""
    if path.is_dir():
        yield from _of_folder(path)
        return
    try:
        yield from _of_database(path)
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorname", "").startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            raise OSError(0, "locked by another program; close opencode, import again") from error
        raise OSError(0, f"no history of opencode: {error}") from error


def _of_database(path: Path) -> Iterator[bytes]:
    place = f"{path.resolve().as_uri()}?mode=ro"
    with closing(sqlite3.connect(place, uri=True, timeout=WAIT_MAX_S)) as database:
        database.text_factory = bytes
        known = {row[1].decode() for row in database.execute("pragma table_info(session)")}
        columns = ", ".join(name for name in _COLUMNS if name in known)
        if not columns:
            raise OSError(0, "no history of opencode: it has no sessions")
        asked = f"select {columns} from session order by time_created"  # noqa: S608 - our own names
        ids: list[str] = []
        for row in database.execute(asked):
            named = zip((name for name in _COLUMNS if name in known), row, strict=True)
            told = {key: _text(value) for key, value in named}
            ids.append(told["id"])
            yield msgspec.json.encode({"session": told})
        for session_id in ids:
            for message_id, data in database.execute(_MESSAGES, (session_id,)):
                limits = (message_id.decode(), LINE_BYTES_MAX, PARTS_MAX)
                parts = [one for (one,) in database.execute(_PARTS, limits)]
                yield _joined(data, session_id, parts)


def _of_folder(folder: Path) -> Iterator[bytes]:
    sessions = sorted(_files(folder / "session"), key=lambda path: path.name, reverse=True)
    for path in sessions:
        yield b'{"session":' + _content(path) + b"}"
    for session in sorted(_folders(folder / "message"), key=lambda path: path.name, reverse=True):
        for path in sorted(_files(session)):
            parts = [_content(part) for part in sorted(_files(folder / "part" / path.stem))]
            yield _joined(_content(path), session.name, parts[:PARTS_MAX])


def _content(path: Path) -> bytes:
    """Return what a file holds; one that cannot be read is a line that is no JSON."""
    try:
        return path.read_bytes()
    except OSError:
        return UNREADABLE


def _joined(message: bytes, session_id: str, parts: list[bytes]) -> bytes:
    """Return a message with its parts as one record; one that is no JSON object is named so."""
    whole = message.strip()
    if not whole.startswith(b"{") or not whole.endswith(b"}"):
        return message
    named = b'{"sessionID":' + msgspec.json.encode(session_id)
    rest = whole[1:].lstrip()
    own = named + (b"," if rest != b"}" else b"") + rest
    kept: list[bytes] = []
    room = LINE_BYTES_MAX - len(own) - PARTS_MAX
    for part in filter(_is_whole, parts):
        room -= len(part)
        if room >= 0:
            kept.append(part)
    return b'{"message":' + own + b',"parts":[' + b",".join(kept) + b"]}"


def _is_whole(part: bytes) -> bool:
    """Say whether a part is JSON; one that is not would spoil its message."""
    try:
        msgspec.json.decode(part, type=dict[str, msgspec.Raw])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False
    return True


def _files(folder: Path) -> Iterator[Path]:
    """Yield the JSON files below a folder; none where it is not there."""
    return (
        (path for path in folder.rglob("*.json") if path.is_file()) if folder.is_dir() else iter(())
    )


def _folders(folder: Path) -> Iterator[Path]:
    return (path for path in folder.iterdir() if path.is_dir())


def _text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value or "")
