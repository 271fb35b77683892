"""Coding agents' settings in a folder of a test's own: connected, disconnected, looked at."""

from pathlib import Path
from typing import Final

import pytest

from apps.connect import files
from apps.connect.agents import ConnectableAgent
from apps.connect.files import FileChange
from apps.connect.telemetry import Telemetry
from apps.local.home import Home

TOKEN: Final = "header.claims.signature"
URL: Final = "http://127.0.0.1:4318"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "data")


@pytest.fixture
def telemetry(home: Home) -> Telemetry:
    return Telemetry(
        url=URL, token=TOKEN, token_file=home.token, forwarder=("python", "-I", "forward.py")
    )


@pytest.fixture(autouse=True)
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "user"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.delenv("CLAUDE_CONFIG_DIR", raising=False)
    monkeypatch.delenv("CODEX_HOME", raising=False)
    return folder


def connect(home: Home, agent: ConnectableAgent, telemetry: Telemetry) -> list[FileChange]:
    """Connect an agent as the command does."""
    steps = files.plan_connect(home, agent, telemetry)
    files.carry_out(home, agent, steps)
    return steps


def disconnect(home: Home, agent: ConnectableAgent) -> list[FileChange]:
    """Disconnect an agent as the command does."""
    steps = files.plan_disconnect(home, agent)
    files.carry_out(home, agent, steps)
    return steps


def write(path: Path, content: bytes | None) -> None:
    """Make a settings file; with None there is none."""
    if content is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def tree(folder: Path) -> dict[str, bytes]:
    """Return every file and folder under `folder`."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else b"/"
        for path in sorted(folder.rglob("*"))
    }
