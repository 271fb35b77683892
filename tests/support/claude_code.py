"""A genuine Claude Code, as the wheel `claude-agent-sdk` carries it, in a home of a test's own."""

import json
import os
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import pytest
from msgspec import Struct

RUN_S: Final = 180.0


def program() -> Path:
    """Return where the program is; skip the test where the wheel has none, in CI fail."""
    found = find_spec("claude_agent_sdk")
    origin = found.origin if found else None
    path = Path(origin).parent / "_bundled" / "claude" if origin else Path("claude")
    if path.is_file():
        return path
    reason = "no Claude Code here; `uv sync --all-groups` installs claude-agent-sdk with it"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


class Told(Struct, frozen=True):
    """What the agent itself says of one run."""

    session_id: str
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    total_nanousd: int
    """Of the session, with what it was resumed or forked from."""


class ClaudeCode(Struct, frozen=True):
    """An agent that works in `folder/work` and knows no API but the one at `api_url`."""

    home: Path
    work: Path
    api_url: str

    @property
    def transcripts(self) -> Path:
        """Where it writes them."""
        return self.home / ".claude" / "projects"

    def ask(self, prompt: str, *arguments: str) -> Told:
        """Have it work on a prompt to the end."""
        self.work.mkdir(exist_ok=True)
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "ANTHROPIC_BASE_URL": self.api_url,
            "ANTHROPIC_API_KEY": "sk-ant-none",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "DISABLE_AUTOUPDATER": "1",
            "DISABLE_TELEMETRY": "1",
            "IS_SANDBOX": "1",
            "NO_PROXY": "127.0.0.1",
        }
        command = (
            str(program()), "-p", prompt, "--allowedTools", "Bash", "--output-format", "json",
            *arguments,
        )  # fmt: skip
        done = subprocess.run(
            command, cwd=self.work, env=environment, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=RUN_S, check=False,
        )  # fmt: skip
        assert done.stdout.strip(), f"it ended with {done.returncode}: {done.stderr}"
        return _told(json.loads(done.stdout))


def _told(answer: dict[str, Any]) -> Told:
    usage = answer["usage"]
    return Told(
        answer["session_id"],
        usage["input_tokens"],
        usage["output_tokens"],
        usage["cache_read_input_tokens"],
        usage["cache_creation_input_tokens"],
        round(answer["total_cost_usd"] * 10**9),
    )
