"""Every command block of the tutorial and the how-to guides is run as it is written.

A file that a block shows is there under the name that the commands after it use. What the reader
has to bring, such as the secret of a webhook, is brought here. The README's own two commands are
run from a clone and from the wheel (`tests/e2e/wheel/test_readme.py`).
"""

import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from msgspec import Struct

from tests.support.rollouts import FOLDER as ROLLOUTS
from tests.support.up import Up, started

pytestmark = pytest.mark.embedded

ROOT: Final = Path(__file__).parents[3]
GUIDES: Final = (
    "README.md",
    *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs/how-to").glob("*.md")),
)
TUTORIAL: Final = ROOT / "docs/tutorial/first-hour.md"
BLOCK: Final = re.compile(r"^( *)```(\w+)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
FILE: Final = re.compile(r"\b[\w-]+\.yml\b")
COMMAND_S: Final = 60.0
ENDLESS_S: Final = 5.0
ELSEWHERE: Final = (
    "mainstem up",
    "mainstem up --demo",
    "uv run mainstem up",
    "uvx --from 'mainstem[all]' mainstem up",
    "make test",
)
"""The stack of these tests is started so, and CI calls the last."""
SCRIPT: Final = f"{sys.executable} script.py"
ENDLESS: Final = ("mainstem tail anomalies.v1", "curl -N", SCRIPT)
"""What goes on until its reader ends it, begins so."""
BROUGHT: Final = {
    "slack-url": "https://hooks.slack.example/services/T0/B0/x",
    "webhook-secret": "a-secret-of-the-reader-s-own",
}
"""Files that the guides ask the reader to write."""
TRANSCRIPT: Final = (
    '{"type":"user","timestamp":"2026-01-02T03:04:05Z","sessionId":"s-1","uuid":"u-1",'
    '"cwd":"/home/me/thing","version":"2.1.0","message":{"role":"user","content":"go"}}\n'
)


class Step(Struct, frozen=True):
    """Something that a reader does: runs a command, or writes a file."""

    command: str = ""
    file: str = ""
    content: str = ""


class Reader(Struct, frozen=True):
    """Somebody with a running stack, a shell and a folder of their own."""

    up: Up
    folder: Path

    def does(self, step: Step) -> None:
        """Do one step; fail where it fails."""
        if step.file:
            (self.folder / step.file).write_text(self._here(step.content))
            return
        command = self._here(step.command)
        if command.startswith("mainstem erase") and "--yes" not in command:
            command += " --yes"  # what a terminal asks
        shell = subprocess.Popen(
            ["bash", "-c", f"set -o pipefail; exec {command}" if _is_endless(step) else command],
            cwd=self.folder,
            env=self._environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            said, _ = shell.communicate("yes\n", ENDLESS_S if _is_endless(step) else COMMAND_S)
        except subprocess.TimeoutExpired:
            shell.kill()
            said, _ = shell.communicate()
            assert _is_endless(step), f"{step.command} does not end: {said}"
            return
        assert shell.returncode == 0, f"{step.command} ended with {shell.returncode}: {said}"
        assert not _is_endless(step), f"{step.command} ended: {said}"

    def _environment(self) -> dict[str, str]:
        path = f"{self.folder / 'bin'}:{self.up.environment['PATH']}"
        return self.up.environment | {"PATH": path}

    def _here(self, text: str) -> str:
        state = self.up.state
        for told, here in (
            ("http://127.0.0.1:4318", state.gateway_url),
            ("https://gateway.example.com", state.gateway_url),
            ("127.0.0.1:9092", state.broker),
        ):
            text = text.replace(told, here)
        return text


def _is_endless(step: Step) -> bool:
    return step.command.startswith(ENDLESS)


def steps(text: str) -> list[Step]:
    """Return what a page has its reader do, in order; a block of another kind fails."""
    found: list[Step] = []
    for block in BLOCK.finditer(text):
        indent, kind, lines = block.group(1), block.group(2), block.group(3).splitlines()
        content = "".join(f"{line.removeprefix(indent)}\n" for line in lines)
        if kind == "console":
            commands = [line.removeprefix("$ ") for line in content.splitlines()]
            found += [Step(command=command) for command in commands if command not in ELSEWHERE]
        elif kind == "sh":
            found.append(Step(command=content.strip()))
        elif kind == "yaml":
            name = FILE.search(text, block.end())
            assert name is not None, f"no command after it uses this block: {content}"
            found.append(Step(file=name.group(), content=content))
        elif kind == "python":
            found += [
                Step(file="script.py", content=content),
                Step(command=SCRIPT),
            ]
        else:
            pytest.fail(f"a block of {kind!r} is not run here: {content}")
    return found


@pytest.fixture(scope="module")
def shared_up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    with started(tmp_path_factory.mktemp("guides"), "--no-import") as up:
        yield up


def _reader(up: Up, folder: Path) -> Reader:
    home = Path(up.environment["HOME"])
    shutil.copytree(ROLLOUTS / "0.50.0", home / ".codex/sessions/2026", dirs_exist_ok=True)
    for projects in (home / ".claude/projects/-thing", home / "backup/sessions"):
        projects.mkdir(parents=True, exist_ok=True)
        (projects / "s-1.jsonl").write_text(TRANSCRIPT)
    for name, content in BROUGHT.items():
        (folder / name).write_text(content)
    (folder / "token").write_text(up.run("token", "--scopes", "publish").stdout)
    (folder / "bin").mkdir()
    command = folder / "bin" / "mainstem"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m apps.cli.main "$@"\n')
    command.chmod(command.stat().st_mode | stat.S_IXUSR)
    return Reader(up, folder)


@pytest.mark.requirement("first-run-two-commands")
@pytest.mark.parametrize("guide", GUIDES)
def test_what_a_guide_says_to_type_works(guide: str, shared_up: Up, tmp_path: Path) -> None:
    reader = _reader(shared_up, tmp_path)

    for step in steps((ROOT / guide).read_text()):
        reader.does(step)


@pytest.mark.requirement("first-run-two-commands")
def test_what_the_tutorial_says_to_type_works_from_its_first_line_to_its_last(
    tmp_path: Path,
) -> None:
    (tmp_path / "reader").mkdir()
    with started(tmp_path, "--no-import") as up:
        reader = _reader(up, tmp_path / "reader")

        for step in steps(TUTORIAL.read_text()):
            reader.does(step)

        assert up.process.wait(COMMAND_S) == 0
