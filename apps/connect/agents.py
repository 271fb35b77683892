"""The coding agents that can be connected, and what each one's settings have to say.

An agent is a list of files, each with a way to put our part into its text and a way to take it out
again. Both are functions of text: nothing here reads or writes a file.
"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from msgspec import Struct

from analytics.contracts.errors import BadSetting
from apps.connect import claude, codex, gemini
from apps.connect.telemetry import Change, Replaced, Telemetry


class Settings(Struct, frozen=True):
    """One file of an agent: where it is, and our part of it."""

    path: Path
    put: Callable[[str, Telemetry], Change]
    cut: Callable[[str, Replaced], str]


class ConnectableAgent(Struct, frozen=True):
    """A coding agent by the name that `connect` takes."""

    name: str
    title: str
    settings: tuple[Settings, ...]
    note: str


NAMES: Final = ("claude-code", "codex", "gemini")


def agent(name: str, environment: Mapping[str, str] = os.environ) -> ConnectableAgent:
    """Return the agent of this name; raise `BadSetting` where there is none."""
    if name == "claude-code":
        folder = _folder(environment, "CLAUDE_CONFIG_DIR", ".claude")
        files = (Settings(folder / "settings.json", claude.put, claude.cut),)
        return ConnectableAgent(name, "Claude Code", files, "sessions started from now on are seen")
    if name == "codex":
        folder = _folder(environment, "CODEX_HOME", ".codex")
        files = (Settings(folder / "config.toml", codex.put, codex.cut),)
        return ConnectableAgent(name, "Codex", files, "sessions started from now on are seen")
    if name == "gemini":
        folder = Path.home() / ".gemini"
        return ConnectableAgent(
            name,
            "Gemini CLI",
            (
                Settings(folder / "settings.json", gemini.put, gemini.cut),
                Settings(folder / ".env", gemini.put_token, gemini.cut_token),
            ),
            "sessions started from now on are seen; in a project with a .env file of its own, set"
            " OTEL_EXPORTER_OTLP_HEADERS there too",
        )
    raise BadSetting(f"AGENT is one of {', '.join(NAMES)}, not {name!r}")


def _folder(environment: Mapping[str, str], variable: str, usual: str) -> Path:
    named = environment.get(variable)
    return Path(named).expanduser().absolute() if named else Path.home() / usual
