"""The settings of Codex and Gemini, connected and put back byte for byte."""

import json
import stat
import tomllib
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

CODEX = {
    "absent": None,
    "empty": b"",
    "usual": b'model = "gpt-5.3-codex"\n\n[tools]\nweb_search = true\n',
    "no last line end": b'model = "gpt-5.3-codex"',
    "comments": b'# mine\nmodel = "x" # best\n\n# tools\n[tools]\n# yes\nweb_search = true\n',
    "crlf": b'model = "x"\r\n\r\n[tools]\r\nweb_search = true\r\n',
    "own otel": b'# o\n[otel]\n# my\nenvironment = "d"\nexporter = "none"  # off\n\n[tools]\nx=1\n',
    "own otel subtable": b'[otel.exporter.otlp-http]\nendpoint = "http://x/v1/logs"\n',
}
GEMINI = {
    "absent": None,
    "empty": b"",
    "usual": b'{\n  "theme": "dark"\n}\n',
    "own telemetry": b'{"telemetry": {"enabled": false, "outfile": "/tmp/x"}} // x\n',
}
ENV = {
    "absent": None,
    "empty": b"",
    "usual": b"GEMINI_API_KEY=x\n",
    "no last line end": b"GEMINI_API_KEY=x",
    "own header": b"A=1\nexport OTEL_EXPORTER_OTLP_HEADERS=mine=1\nB=2\n",
}


@pytest.mark.requirement("connect-restores")
@pytest.mark.parametrize("content", CODEX.values(), ids=CODEX.keys())
def test_codex_comes_back_byte_for_byte(
    home: Home, telemetry: Telemetry, user: Path, content: bytes | None
) -> None:
    path = user / ".codex" / "config.toml"
    write(path, content)
    before = tree(user)
    agent = agents.agent("codex")

    connect(home, agent, telemetry)
    otel = tomllib.loads(path.read_bytes().decode())["otel"]
    mode = stat.S_IMODE(path.stat().st_mode)
    disconnect(home, agent)

    assert otel["exporter"]["otlp-http"]["endpoint"] == f"{URL}/v1/logs"
    assert otel["exporter"]["otlp-http"]["headers"] == {"Authorization": f"Bearer {TOKEN}"}
    assert otel["metrics_exporter"]["otlp-http"]["endpoint"] == f"{URL}/v1/metrics"
    assert otel["log_user_prompt"] is False
    assert mode == 0o600
    assert tree(user) == before


@pytest.mark.requirement("connect-restores")
@pytest.mark.parametrize("settings", GEMINI.values(), ids=GEMINI.keys())
@pytest.mark.parametrize("env", ENV.values(), ids=ENV.keys())
def test_gemini_comes_back_byte_for_byte(
    home: Home, telemetry: Telemetry, user: Path, settings: bytes | None, env: bytes | None
) -> None:
    write(user / ".gemini" / "settings.json", settings)
    write(user / ".gemini" / ".env", env)
    before = tree(user)
    agent = agents.agent("gemini")

    connect(home, agent, telemetry)
    told = _strict((user / ".gemini" / "settings.json").read_bytes())["telemetry"]
    header = (user / ".gemini" / ".env").read_text()
    disconnect(home, agent)

    assert isinstance(told, dict)
    assert {
        "otlpProtocol": "http",
        "logPrompts": False,
        "otlpEndpoint": URL,
    }.items() <= told.items()
    assert f'OTEL_EXPORTER_OTLP_HEADERS="Authorization=Bearer {TOKEN}"' in header
    assert tree(user) == before


@pytest.mark.parametrize("name", ["usual", "comments", "crlf", "own otel"])
def test_codex_edits_made_in_between_are_kept(
    home: Home, telemetry: Telemetry, user: Path, name: str
) -> None:
    path = user / ".codex" / "config.toml"
    content = CODEX[name]
    assert content is not None
    write(path, content)
    agent = agents.agent("codex")
    connect(home, agent, telemetry)
    path.write_bytes(b"# new\n" + path.read_bytes())

    disconnect(home, agent)

    assert path.read_bytes() == b"# new\n" + content


def test_toml_that_cannot_be_read_is_refused(home: Home, telemetry: Telemetry, user: Path) -> None:
    write(user / ".codex" / "config.toml", b"model = \n[")

    with pytest.raises(Unusable, match="not TOML"):
        files.plan_connect(home, agents.agent("codex"), telemetry)


def _strict(content: bytes) -> dict[str, object]:
    text = content.decode("utf-8-sig")
    lines = [line.split(" // ")[0] for line in text.splitlines() if not line.startswith("//")]
    loaded: dict[str, object] = json.loads("\n".join(lines))
    return loaded
