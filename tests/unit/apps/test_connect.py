"""Agents' settings, connected and put back: byte for byte, in every state they may be in."""

import json
import stat
from pathlib import Path

import pytest

from apps.connect import agents, files
from apps.connect.telemetry import Telemetry
from apps.local.home import Home, Unusable
from tests.support.agents import (
    TOKEN,
    URL,
    connect,
    disconnect,
    home,
    telemetry,
    tree,
    user,
    write,
)

__all__ = ["home", "telemetry", "user"]

CLAUDE = {
    "absent": None,
    "empty": b"",
    "blank lines": b"\n\n",
    "empty object": b"{}",
    "usual": b'{\n  "model": "opus",\n  "permissions": {"allow": ["Bash(ls:*)"]}\n}\n',
    "with comments": b'// mine\n{\n  // the model\n  "model": "opus", /* best */\n}\n',
    "one line": b'{"model":"opus","env":{"A":"1"}}',
    "tabs": b'{\n\t"model": "opus",\n\t"env": {\n\t\t"A": "1"\n\t}\n}',
    "unusual spacing": b'{ "model"   :"opus"\n\n\n ,"env":{\n}   }\n\n',
    "crlf": b'{\r\n  "model": "opus",\r\n  "hooks": {}\r\n}\r\n',
    "byte order mark": b'\xef\xbb\xbf{\n  "model": "opus"\n}\n',
    "own hooks": (
        b'{\n  "hooks": {\n    "PreToolUse": [\n      {\n        "matcher": "Bash",\n'
        b'        "hooks": [{"type": "command", "command": "./check"}]\n      }\n    ]\n  }\n}\n'
    ),
    "own telemetry": b'{"env": {"OTEL_METRICS_EXPORTER": "prometheus", "MY_TOKEN": "x"}}\n',
    "not ascii": '{\n  "note": "größer — 日本"\n}\n'.encode(),
}


@pytest.mark.requirement("connect-restores")
@pytest.mark.parametrize("content", CLAUDE.values(), ids=CLAUDE.keys())
def test_claude_code_comes_back_byte_for_byte(
    home: Home, telemetry: Telemetry, user: Path, content: bytes | None
) -> None:
    path = user / ".claude" / "settings.json"
    write(path, content)
    before = tree(user)
    agent = agents.agent("claude-code")

    connect(home, agent, telemetry)
    connected = path.read_bytes()
    assert URL in connected.decode()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    disconnect(home, agent)

    assert connected != content
    assert tree(user) == before


def test_claude_code_is_told_where_and_how_to_send(
    home: Home, telemetry: Telemetry, user: Path
) -> None:
    connect(home, agents.agent("claude-code"), telemetry)

    settings = json.loads((user / ".claude" / "settings.json").read_text())
    assert settings["env"]["OTEL_EXPORTER_OTLP_PROTOCOL"] == "http/protobuf"
    assert settings["env"]["OTEL_METRIC_EXPORT_INTERVAL"] == "10000"
    hook = settings["hooks"]["PreToolUse"][0]["hooks"][0]
    assert hook["type"] == "http"
    assert hook["url"] == f"{URL}/hooks/claude"
    assert hook["headers"] == {"Authorization": "Bearer $MAINSTEM_TOKEN"}
    assert hook["allowedEnvVars"] == ["MAINSTEM_TOKEN"]
    start = settings["hooks"]["SessionStart"][0]["hooks"][0]
    assert start["type"] == "command"
    assert TOKEN not in start["command"]
    assert not set(settings["hooks"]) & {"WorktreeCreate", "MessageDisplay", "Setup"}
    assert not [name for name in settings["env"] if name.startswith("OTEL_LOG_")]


def test_connecting_twice_changes_nothing_and_still_comes_back(
    home: Home, telemetry: Telemetry, user: Path
) -> None:
    path = user / ".claude" / "settings.json"
    write(path, CLAUDE["with comments"])
    agent = agents.agent("claude-code")
    connect(home, agent, telemetry)
    once = path.read_bytes()

    again = connect(home, agent, telemetry)

    assert not any(step.changes for step in again)
    assert path.read_bytes() == once
    disconnect(home, agent)
    assert path.read_bytes() == CLAUDE["with comments"]


def test_connecting_to_another_gateway_replaces_our_part_only(
    home: Home, telemetry: Telemetry, user: Path
) -> None:
    path = user / ".claude" / "settings.json"
    write(path, CLAUDE["own hooks"])
    agent = agents.agent("claude-code")
    connect(home, agent, telemetry)
    other = Telemetry(url="http://10.0.0.1:9", token="other", token_file=home.token)

    connect(home, agent, other)

    assert URL not in path.read_text()
    assert len(json.loads(path.read_text())["hooks"]["PreToolUse"]) == 2
    disconnect(home, agent)
    assert path.read_bytes() == CLAUDE["own hooks"]


@pytest.mark.parametrize("name", ["usual", "with comments", "tabs", "crlf", "own hooks"])
def test_edits_made_in_between_are_kept_and_ours_is_taken_out(
    home: Home, telemetry: Telemetry, user: Path, name: str
) -> None:
    path = user / ".claude" / "settings.json"
    content = CLAUDE[name]
    assert content is not None
    write(path, content)
    agent = agents.agent("claude-code")
    connect(home, agent, telemetry)
    path.write_bytes(path.read_bytes().replace(b'"opus"', b'"sonnet"').replace(b"./check", b"./c"))

    steps = disconnect(home, agent)

    expected = content.replace(b'"opus"', b'"sonnet"').replace(b"./check", b"./c")
    assert path.read_bytes() == expected
    assert URL not in path.read_text()
    assert "edited" in steps[0].note


def test_what_ours_replaced_comes_back_also_after_an_edit(
    home: Home, telemetry: Telemetry, user: Path
) -> None:
    path = user / ".claude" / "settings.json"
    write(path, CLAUDE["own telemetry"])
    agent = agents.agent("claude-code")
    connect(home, agent, telemetry)
    path.write_text(path.read_text().replace('"MY_TOKEN": "x"', '"MY_TOKEN": "y"'))

    disconnect(home, agent)

    assert json.loads(path.read_text()) == {
        "env": {"OTEL_METRICS_EXPORTER": "prometheus", "MY_TOKEN": "y"}
    }


def test_a_file_that_is_gone_or_only_held_ours_leaves_nothing(
    home: Home, telemetry: Telemetry, user: Path
) -> None:
    claude, codex = agents.agent("claude-code"), agents.agent("codex")
    connect(home, claude, telemetry)
    connect(home, codex, telemetry)
    (user / ".claude" / "settings.json").unlink()
    config = user / ".codex" / "config.toml"
    config.write_text(config.read_text() + "\n")

    disconnect(home, claude)
    disconnect(home, codex)

    assert not config.exists()
    assert not home.backups.exists()


@pytest.mark.requirement("connect-restores")
@pytest.mark.parametrize("what", ["file", "folder"])
def test_what_is_read_only_is_refused_and_nothing_is_changed(
    home: Home, telemetry: Telemetry, user: Path, what: str
) -> None:
    path = user / ".claude" / "settings.json"
    path.parent.mkdir()
    if what == "file":
        path.write_bytes(b"{}")
        path.chmod(0o444)
    else:
        path.parent.chmod(0o555)
    before = tree(user)
    agent = agents.agent("claude-code")

    with pytest.raises(Unusable, match=f"the {what} .* is read-only; make it writable"):
        connect(home, agent, telemetry)

    path.parent.chmod(0o755)
    assert tree(user) == before
    assert not home.backups.exists()


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"{ nope", "not JSON"),
        (b"[]", "another kind"),
        (b'{"env": 3}', "another"),
        (b"\xff", "UTF"),
    ],
)
def test_settings_that_cannot_be_read_are_refused_and_nothing_is_changed(
    home: Home, telemetry: Telemetry, user: Path, content: bytes, word: str
) -> None:
    path = user / ".claude" / "settings.json"
    write(path, content)

    with pytest.raises(Unusable, match=word):
        files.plan_connect(home, agents.agent("claude-code"), telemetry)

    assert path.read_bytes() == content


def test_the_file_s_own_mode_comes_back(home: Home, telemetry: Telemetry, user: Path) -> None:
    path = user / ".claude" / "settings.json"
    write(path, b"{}")
    path.chmod(0o644)
    agent = agents.agent("claude-code")

    connect(home, agent, telemetry)
    connect(home, agent, telemetry)
    disconnect(home, agent)

    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_a_link_to_the_settings_stays_a_link(home: Home, telemetry: Telemetry, user: Path) -> None:
    kept = user / "dotfiles.json"
    kept.write_bytes(b'{"model": "opus"}')
    (user / ".claude").mkdir()
    (user / ".claude" / "settings.json").symlink_to(kept)
    agent = agents.agent("claude-code")

    connect(home, agent, telemetry)
    connected = kept.read_text()
    disconnect(home, agent)

    assert URL in connected
    assert (user / ".claude" / "settings.json").is_symlink()
    assert kept.read_bytes() == b'{"model": "opus"}'


def test_the_folders_that_the_agents_name_are_heeded(tmp_path: Path) -> None:
    environment = {"CLAUDE_CONFIG_DIR": str(tmp_path / "c"), "CODEX_HOME": str(tmp_path / "x")}

    claude = agents.agent("claude-code", environment)
    codex = agents.agent("codex", environment)

    assert claude.settings[0].path == tmp_path / "c" / "settings.json"
    assert codex.settings[0].path == tmp_path / "x" / "config.toml"


@pytest.mark.requirement("secrets-private")
def test_the_difference_shows_no_token_and_what_is_kept_is_private(
    home: Home, telemetry: Telemetry, user: Path
) -> None:
    write(user / ".claude" / "settings.json", b'{"model": "opus"}\n')
    agent = agents.agent("claude-code")

    steps = connect(home, agent, telemetry)

    shown = files.difference(steps[0], secret=TOKEN)
    assert TOKEN not in shown
    assert "+" in shown
    assert files.SECRET in shown
    for path in home.backups.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_disconnecting_what_was_never_connected_does_nothing(home: Home) -> None:
    assert files.plan_disconnect(home, agents.agent("codex")) == []
