"""The agents whose history can be imported: where each keeps it, and how a file is told to be its.

A folder that a setting of the agent names comes before the usual one. A file is recognised by how
its content begins, whatever its name; where nothing tells, it is taken for Claude Code's.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from msgspec import Struct

CLAUDE: Final = "claude"
CODEX: Final = "codex"
GEMINI: Final = "gemini"
OPENCODE: Final = "opencode"

HEAD_BYTES: Final = 4_096
"""How much of a file is looked at to recognise it."""
SQLITE: Final = b"SQLite format 3\0"
IN_MEMORY: Final = ":memory:"
"""What opencode takes for a database that leaves no history."""
_NOT_TRANSCRIPTS: Final = (b'{"session_id":', b'{"id":"')
"""How lists of prompts and of names begin, which Codex keeps beside its rollouts."""
ROLLOUT: Final = "rollout-"
"""How the names of Codex's files begin."""


class TranscriptAgent(Struct, frozen=True):
    """One agent: its name on the command line, its title, and where its history may be."""

    name: str
    title: str
    folders: Callable[[], list[Path]]

    def present(self) -> list[Path]:
        """Return those of them that are there."""
        return [folder for folder in self.folders() if folder.exists()]


def _claude() -> list[Path]:
    return [_named("CLAUDE_CONFIG_DIR", Path.home() / ".claude") / "projects"]


def _codex() -> list[Path]:
    home = _named("CODEX_HOME", Path.home() / ".codex")
    return [home / "sessions", home / "archived_sessions"]


def _gemini() -> list[Path]:
    return [_named("GEMINI_CLI_HOME", Path.home()) / ".gemini" / "tmp"]


def _opencode() -> list[Path]:
    named = named_database()
    return [_opencode_data()] if named is None else [_opencode_data(), named]


def _opencode_data() -> Path:
    return _named("XDG_DATA_HOME", Path.home() / ".local" / "share") / "opencode"


def named_database() -> Path | None:
    """Return the database that a setting names for opencode, there or not; `None` without one.

    As opencode has it, a relative name counts from its data folder.
    """
    named = os.environ.get("OPENCODE_DB")
    if not named or named == IN_MEMORY:
        return None
    return _opencode_data() / Path(named).expanduser()


AGENTS: Final = (
    TranscriptAgent(CLAUDE, "Claude Code", _claude),
    TranscriptAgent(CODEX, "Codex", _codex),
    TranscriptAgent(GEMINI, "Gemini CLI", _gemini),
    TranscriptAgent(OPENCODE, "opencode", _opencode),
)
NAMES: Final = {agent.name: agent for agent in AGENTS}


def agent_of(path: Path) -> str:
    """Return whose history a file holds; empty where it is nobody's.

    Raise `OSError` where it cannot be read, or is not what its name says.
    """
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if head.startswith(SQLITE):
        return OPENCODE
    if path.suffix == ".db" or not (head or path.suffix == ".jsonl"):
        raise OSError(0, "not a database" if head else "empty")
    bare = head.removeprefix(b"\xef\xbb\xbf").replace(b" ", b"")
    if path.name.startswith(ROLLOUT) or b'"type":"session_meta"' in bare[:256]:
        return CODEX
    if b'"projectHash"' in bare and b'"sessionId"' in bare:
        return GEMINI
    if path.suffix == ".json" or bare.startswith(_NOT_TRANSCRIPTS):
        return ""
    return CLAUDE


def _named(variable: str, usual: Path) -> Path:
    """Return the folder that a setting names, else the usual one."""
    given = os.environ.get(variable)
    return Path(given).expanduser() if given else usual
