"""What the README says to type works: from a fresh clone, and from the built wheel.

The commands are read out of README.md, so what is tested is what is written. Each runs in an
environment of its own that holds nothing but what the command brings; the OpenTelemetry SDK then
sends to it as any program would, and the rows are looked for in the store.
"""

import os
import re
import shlex
import shutil
import subprocess
import urllib.request
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import psycopg
import pytest

from apps.local.home import Home
from tests.e2e.wheel import sender
from tests.support.stack import ROOT, Stack, answers, down, started_stack, wait_for
from tests.tidy.tree import ROOMS, paths

pytestmark = pytest.mark.wheel

BUILD_S: Final = 600
UP_OPTIONS: Final = ("--no-open", "--no-import")
INSTALLED: Final = "mainstem[all]"
_ROWS: Final = (
    "select type, count(*) from events where tenant = 'local' and session_id = %s group by 1"
)
_USAGE: Final = """
select sum(w.input_tokens), sum(w.usage_input_tokens)
  from window_10s w join series s using (series_id)
 where s.session_id = %s
"""


def _commands() -> list[list[str]]:
    blocks = re.findall(r"```console\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines() if line.startswith("$ ")]
    return [shlex.split(line.removeprefix("$ ")) for line in lines]


def _starting_with(program: str) -> list[str]:
    [command] = [one for one in _commands() if one[0] == program and one[-1] == "up"]
    return command[:-1]


@pytest.fixture(scope="module")
def uv() -> str:
    found = shutil.which("uv")
    if found is None:
        message = "uv is not installed; `pip install uv` brings it"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return found


@pytest.fixture(scope="module")
def wheel(uv: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    _run([uv, "build", "--quiet", "--wheel", "--out-dir", str(folder)], cwd=ROOT)
    [built] = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clone") / "mainstem"
    _run(["git", "clone", "--quiet", "--no-hardlinks", str(ROOT), str(folder)], cwd=ROOT)
    return folder


def _run(command: Sequence[str], *, cwd: Path) -> None:
    done = subprocess.run(
        command,
        cwd=cwd,
        env=_stranger(),
        capture_output=True,
        text=True,
        timeout=BUILD_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def _stranger() -> dict[str, str]:
    """Return the environment of somebody who has no environment of ours active."""
    ours = ("VIRTUAL_ENV", "PYTHONPATH", "COVERAGE_", "COV_CORE_", "UV_PROJECT", "MAINSTEM_")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}


@pytest.fixture
def from_clone(uv: str, clone: Path, tmp_path: Path) -> Iterator[Stack]:
    command = [uv, *_starting_with("uv")[1:]]
    _run([*command, "--version"], cwd=clone)
    yield from _stack(command, clone, tmp_path)


@pytest.fixture
def from_wheel(uv: str, wheel: Path, tmp_path: Path) -> Iterator[Stack]:
    written = _starting_with("uvx")
    command = [uv, "tool", "run", *(_as_built(word, wheel) for word in written[1:])]
    _run([*command, "--version"], cwd=tmp_path)
    yield from _stack(command, tmp_path, tmp_path)


def _as_built(word: str, wheel: Path) -> str:
    return f"{INSTALLED} @ {wheel.as_uri()}" if word == INSTALLED else word


def _stack(command: Sequence[str], cwd: Path, home: Path) -> Iterator[Stack]:
    with started_stack(
        home / "home", command=command, options=UP_OPTIONS, cwd=cwd, environment=_stranger()
    ) as stack:
        yield stack


def _sees_what_the_sdk_sends(stack: Stack, session: str) -> None:
    sender.send(stack.gateway_url, stack.token, session=session)

    with psycopg.connect(stack.store_url, autocommit=True) as db:
        wanted = {"usage.reported", "request.finished", "tool.finished"}
        wait_for(
            lambda: wanted <= {row[0] for row in db.execute(_ROWS, (session,)).fetchall()},
            what=f"{sorted(wanted)} of {session} in the store",
        )
        rows: dict[str, int] = dict(db.execute(_ROWS, (session,)).fetchall())
        totals = db.execute(_USAGE, (session,)).fetchone()

    assert rows["request.finished"] == 1
    assert totals == (sender.SENT_TOKENS, sender.SENT_TOKENS)


def _shows_a_dashboard(stack: Stack) -> None:
    with urllib.request.urlopen(stack.dashboard_url, timeout=30) as answer:
        assert b"<html" in answer.read().lower()
    assert answers(f"{stack.dashboard_url.rstrip('/')}/_stcore/health")


@pytest.mark.requirement("first-run-two-commands")
@pytest.mark.requirement("one-command")
def test_the_first_command_of_the_readme_in_a_fresh_clone_stores_what_the_sdk_sends(
    from_clone: Stack,
) -> None:
    _shows_a_dashboard(from_clone)
    _sees_what_the_sdk_sends(from_clone, "from-clone")


@pytest.mark.requirement("first-run-two-commands")
@pytest.mark.requirement("one-command")
def test_the_built_wheel_alone_stores_what_the_sdk_sends_and_stops_when_told(
    from_wheel: Stack, uv: str, wheel: Path, tmp_path: Path
) -> None:
    _shows_a_dashboard(from_wheel)
    _sees_what_the_sdk_sends(from_wheel, "from-wheel")
    children = from_wheel.processes()
    command = [uv, "tool", "run", "--from", f"{INSTALLED} @ {wheel.as_uri()}", "mainstem"]

    code = down(
        from_wheel.home, from_wheel.process, command=command, cwd=tmp_path, environment=_stranger()
    )

    assert code == 0
    assert not [child for child in children if child.is_running() and child.status() != "zombie"]
    assert Home(from_wheel.home).token.stat().st_mode & 0o077 == 0


def test_the_wheel_holds_every_file_of_the_rooms_and_nothing_of_the_tests(wheel: Path) -> None:
    inside = set(zipfile.ZipFile(wheel).namelist())
    ours = {path for path in paths() if path.split("/", 1)[0] in ROOMS}

    assert ours - inside == set()
    assert {path.split("/", 1)[0] for path in inside if ".dist-info/" not in path} == set(ROOMS)


def test_the_readme_names_the_test_command_that_make_has() -> None:
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)

    named = [command[1] for command in _commands() if command[0] == "make"]

    assert named == ["test"]
    assert set(named) <= set(targets)
