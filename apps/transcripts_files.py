"""The transcripts on this machine: which files there are, in which order, and their lines.

Main files come before those of subagents and older ones before newer ones, so that what a resumed
session repeats belongs to the session that said it first. A line longer than the limit is read past
and handed on cut, for the parser to count it as too long.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct

from analytics.contracts.errors import BadSetting
from gateway.transcripts.lines import LINE_BYTES_MAX

SUFFIX: Final = ".jsonl"
AGENT_PREFIX: Final = "agent-"
AGENTS_FOLDER: Final = "subagents"
FILES_MAX: Final = 200_000
"""Files of one import; beyond, it is refused."""


class Transcript(Struct, frozen=True):
    """One file, with the session and subagent that its place stands for."""

    path: Path
    size: int
    session_id: str
    agent_id: str = ""


def default_folder() -> Path:
    """Return where Claude Code keeps its transcripts."""
    named = os.environ.get("CLAUDE_CONFIG_DIR")
    return (Path(named).expanduser() if named else Path.home() / ".claude") / "projects"


def found(paths: Sequence[Path]) -> list[Transcript]:
    """Return the transcripts in these files and folders, in the order to read them.

    Raise `BadSetting` where a path is not there or there is no transcript in any.
    """
    files: dict[Path, None] = {}
    for path in paths:
        if not path.exists():
            raise BadSetting(f"there is no {str(path)!r}; name a transcript or a folder of them")
        files.update(dict.fromkeys(path.rglob("*" + SUFFIX) if path.is_dir() else [path]))
        if len(files) > FILES_MAX:
            raise BadSetting(f"more than {FILES_MAX} transcripts; import folder by folder")
    known = [(path, path.stat()) for path in files if path.is_file()]
    if not known:
        shown = ", ".join(str(path) for path in paths)
        raise BadSetting(f"no transcript (*{SUFFIX}) in {shown!r}; name a file or another folder")
    known.sort(key=lambda pair: (_agent_of(pair[0]) != "", pair[1].st_mtime_ns, str(pair[0])))
    return [
        Transcript(path, stat.st_size, _session_of(path), _agent_of(path)) for path, stat in known
    ]


def lines(path: Path) -> Iterator[bytes]:
    """Yield a file's lines with their ends; a torn last one has none."""
    with path.open("rb") as file:
        while line := file.readline(LINE_BYTES_MAX + 1):
            yield line
            while len(line) > LINE_BYTES_MAX and not line.endswith(b"\n"):
                line = file.readline(LINE_BYTES_MAX + 1)
                if not line:
                    return


def _agent_of(path: Path) -> str:
    return path.stem.removeprefix(AGENT_PREFIX) if path.stem.startswith(AGENT_PREFIX) else ""


def _session_of(path: Path) -> str:
    return path.parent.parent.name if path.parent.name == AGENTS_FOLDER else path.stem
