"""The transcripts on this machine: which files there are, whose, in which order, and their lines.

Main files come before those of subagents and older ones before newer ones, so that what a resumed
session repeats belongs to the session that said it first. Codex names its files by the time at
which a thread began, and that is their order: a parent comes before its forks. A line longer than
the limit is read past and handed on cut, for the parser to count it as too long. What cannot be
read is named and passed over: the rest is read all the same.
"""

import os
import stat
from collections.abc import Collection, Iterator, Mapping, Sequence
from fnmatch import fnmatch
from itertools import islice
from pathlib import Path
from typing import Final

from msgspec import Struct

from analytics.contracts import clean
from analytics.contracts.errors import BadSetting
from apps.transcripts import opencode
from apps.transcripts.agents import (
    CLAUDE,
    GEMINI,
    NAMES,
    OPENCODE,
    ROLLOUT,
    TranscriptAgent,
    agent_of,
    named_database,
)
from apps.transcripts.opencode import is_storage
from gateway.transcripts.lines import LINE_BYTES_MAX
from gateway.transcripts.totals import Unread

SUFFIX: Final = ".jsonl"
PACKED: Final = (".jsonl.zst", ".jsonl.gz")
DOCUMENT: Final = ".json"
"""How the names of files end that are read in one piece."""
CHAT: Final = "session-"
CHATS: Final = "session-*.json"
DATABASES: Final = "opencode*.db"
NOT_HISTORY: Final = frozenset({"node_modules", ".git", "snapshot"})
"""Folders that no agent keeps its history in, and that may be large."""
CHATS_FOLDER: Final = "chats"
AGENT_PREFIX: Final = "agent-"
AGENTS_FOLDER: Final = "subagents"
UUID_LENGTH: Final = 36
FILES_MAX: Final = 200_000
"""Files of one import; beyond, it is refused."""


class Transcript(Struct, frozen=True):
    """One file, with the session and subagent that its place stands for, and whose it is."""

    path: Path
    size: int
    session_id: str
    agent_id: str = ""
    agent: str = CLAUDE


class TranscriptFiles(Struct, frozen=True):
    """What there is to read, in the order to read it, and what had to be passed over."""

    transcripts: list[Transcript]
    unread: list[Unread]


def default_folders(agents: Sequence[TranscriptAgent]) -> dict[Path, list[str]]:
    """Return where these agents keep their history, each with the agents' names.

    A database that a setting names is among them even if it is not there, for it to be told.
    Raise `BadSetting` where nothing is there.
    """
    names = [agent.name for agent in agents]
    there = [folder for agent in agents for folder in agent.present()]
    if there:
        named = named_database() if OPENCODE in names else None
        return dict.fromkeys([*there, *([named] if named else [])], names)
    titles = ", ".join(agent.title for agent in agents)
    looked = ", ".join(str(folder) for agent in agents for folder in agent.folders())
    raise BadSetting(f"no history of {titles} is here (looked in {looked}); name a file or folder")


def found(
    paths: Sequence[Path],
    *,
    agents: Collection[str] = NAMES,
    own: Mapping[Path, Collection[str]] | None = None,
) -> TranscriptFiles:
    """Return the transcripts in these files and folders, of these agents alone.

    `own` are further ones, each with its agents: where these keep their history. Raise `BadSetting`
    where a path is not there or there is no transcript in any; a single one without is named.
    """
    for path in paths:
        if not os.path.lexists(path):
            raise BadSetting(
                f"there is no {str(path)!r}; name a transcript, a folder of them, or an agent:"
                f" {', '.join(NAMES)}"
            )
    places = {**(own or {}), **dict.fromkeys(paths, agents)}
    unread: list[Unread] = []
    every: dict[Path, _Placed] = {}
    empty: list[Path] = []
    for place, wanted in places.items():
        before = len(unread)
        inside = _transcripts(place, wanted, unread)
        every |= inside
        if not inside and len(unread) == before and (place in paths or place.is_file()):
            empty.append(place)
    if len(every) > FILES_MAX:
        raise BadSetting(f"more than {FILES_MAX} transcripts; import folder by folder")
    nothing = "no transcript" + (f" of {' or '.join(agents)}" if set(agents) != set(NAMES) else "")
    if not every and not unread:
        shown = ", ".join(str(place) for place in places)
        raise BadSetting(f"{nothing} in {shown!r}; name a file or another folder")
    unread += [_passed(place, f"{nothing} in it") for place in empty]
    ordered = sorted(every.values(), key=lambda placed: placed[0])
    return TranscriptFiles([transcript for _, transcript in ordered], list(dict.fromkeys(unread)))


_Order = tuple[int, bool, int, str]
_Placed = tuple[_Order, Transcript]


def _transcripts(place: Path, agents: Collection[str], unread: list[Unread]) -> dict[Path, _Placed]:
    """Return the transcripts of these agents in a file or folder."""
    files = list(islice(_inside(place, unread) if place.is_dir() else [place], FILES_MAX + 1))
    if len(files) > FILES_MAX:
        raise BadSetting(f"more than {FILES_MAX} transcripts; import folder by folder")
    placed = {path: found for path in files if (found := _recognised(path, unread)) is not None}
    return {path: found for path, found in placed.items() if found[1].agent in agents}


def _recognised(path: Path, unread: list[Unread]) -> _Placed | None:
    """Return a file with its place in the order of reading; where it cannot be read, name it."""
    status = _looked_at(path, unread)
    if status is None:
        return None
    try:
        agent = OPENCODE if path.is_dir() else agent_of(path)
        size = status.st_size if not path.is_dir() else opencode.size_of(path)
    except OSError as error:
        unread.append(_passed(path, why(error)))
        return None
    if not agent:
        return None
    order: _Order = (list(NAMES).index(agent), False, 0, path.name)
    if agent == GEMINI and _is_subagents(path):
        session_id, agent_id = clean.text(path.parent.name), clean.text(path.stem)
        return order, Transcript(path, status.st_size, session_id, agent_id, agent)
    if agent != CLAUDE:
        return order, Transcript(path, size, _session_of(path), agent=agent)
    of_agent = _agent_of(path)
    order = (0, of_agent != "", status.st_mtime_ns, str(path))
    return order, Transcript(path, status.st_size, _session_of(path), of_agent)


def name_of(path: Path) -> str:
    """Return a path as text: a name on disk may hold bytes that are no UTF-8."""
    return clean.text(str(path))


def why(error: OSError) -> str:
    """Return in a few words why a file or folder cannot be read."""
    return (error.strerror or str(error) or type(error).__name__).lower()


def records(transcript: Transcript) -> Iterator[bytes]:
    """Yield what a transcript holds, one after the other. Raise `OSError`."""
    path = transcript.path
    return opencode.records(path) if transcript.agent == OPENCODE else lines(path)


def lines(path: Path) -> Iterator[bytes]:
    """Yield a file's lines with their ends; a torn last one has none. Raise `OSError`.

    A document is one line, however many it has.
    """
    with path.open("rb") as file:
        if path.suffix == DOCUMENT:
            yield file.read(LINE_BYTES_MAX + 1)
            return
        encoding = clean.announced(file.peek(clean.MARK_BYTES_MAX))
        if encoding not in {"", clean.UTF8}:
            yield from _wide_lines(path, encoding)
            return
        while line := file.readline(LINE_BYTES_MAX + 1):
            yield line
            while len(line) > LINE_BYTES_MAX and not line.endswith(b"\n"):
                line = file.readline(LINE_BYTES_MAX + 1)
                if not line:
                    return


def _wide_lines(path: Path, encoding: str) -> Iterator[bytes]:
    """Yield the lines of a file whose byte order mark announces an encoding of wider units."""
    with path.open(encoding=encoding, errors="replace", newline="\n") as file:
        while line := file.readline(LINE_BYTES_MAX + 1):
            yield line.removeprefix("\ufeff").encode()


def _inside(folder: Path, unread: list[Unread]) -> Iterator[Path]:
    """Yield what is named like a transcript in a folder and in those below it; no link is taken."""

    def pass_over(error: OSError) -> None:
        unread.append(_passed(error.filename or folder, why(error)))

    for place, folders, names in os.walk(folder, onerror=pass_over):
        if is_storage(Path(place)):
            yield Path(place)
            folders.clear()
            continue
        folders[:] = [name for name in folders if name not in NOT_HISTORY]
        named = [name for name in folders if name.endswith(SUFFIX)]
        unread += [_passed(Path(place, name), "a folder, not a transcript") for name in named]
        packed = [name for name in names if name.endswith(PACKED)]
        unread += [_passed(Path(place, name), "compressed; unpack it first") for name in packed]
        yield from (Path(place, name) for name in names if _is_named(name))


def _is_subagents(path: Path) -> bool:
    """Say whether a chat of Gemini's is a subagent's, in a folder that its session names."""
    return path.parent.parent.name == CHATS_FOLDER and not path.name.startswith(CHAT)


def _is_named(name: str) -> bool:
    """Say whether a file is named like a transcript, a document of Gemini's, or a database."""
    return name.endswith(SUFFIX) or fnmatch(name, CHATS) or fnmatch(name, DATABASES)


def _looked_at(path: Path, unread: list[Unread]) -> os.stat_result | None:
    """Return what the file system says of a file; where it is none that can be read, name it."""
    try:
        known = path.stat()
    except OSError as error:
        unread.append(_passed(path, why(error)))
        return None
    if stat.S_ISREG(known.st_mode) or is_storage(path):
        return known
    unread.append(_passed(path, "not a file"))
    return None


def _passed(path: Path | str, reason: str) -> Unread:
    return Unread(name_of(Path(path)), reason)


def _agent_of(path: Path) -> str:
    stem = clean.text(path.stem)
    return stem.removeprefix(AGENT_PREFIX) if stem.startswith(AGENT_PREFIX) else ""


def _session_of(path: Path) -> str:
    if path.name.startswith(ROLLOUT):
        return clean.text(path.stem[-UUID_LENGTH:])
    of_agent = path.parent.name == AGENTS_FOLDER
    return clean.text(path.parent.parent.name if of_agent else path.stem)
