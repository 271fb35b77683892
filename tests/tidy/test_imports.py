"""The one arrow holds, and importing any module starts nothing."""

import json
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Final

import pytest

from tests.tidy.tree import ROOMS, ROOT, python_files

BIN: Final = Path(sys.executable).parent
LIMIT_SECONDS: Final = 120
BROKEN: Final = """
[importlinter]
root_packages =
    analytics
    gateway

[importlinter:contract:arrow]
name = The arrow, turned round
type = forbidden
source_modules =
    gateway
forbidden_modules =
    analytics
"""
PROBE: Final = textwrap.dedent(
    """
    import importlib, json, logging, signal, socket, sys, threading

    def refuse(*args, **kwargs):
        raise AssertionError("a module opened a connection while it was imported")

    socket.socket.connect = refuse
    socket.socket.bind = refuse
    handlers = list(logging.getLogger().handlers)
    terminate = signal.getsignal(signal.SIGTERM)
    started = {}
    for name in json.load(sys.stdin):
        before = set(threading.enumerate())
        importlib.import_module(name)
        new = [t.name for t in set(threading.enumerate()) - before]
        if new:
            started[name] = new
    assert logging.getLogger().handlers == handlers, "a module added a log handler"
    assert signal.getsignal(signal.SIGTERM) is terminate, "a module took over a signal"
    print(json.dumps(started))
    """
)


def _modules() -> list[str]:
    ours = [file.path for file in python_files() if file.room in ROOMS]
    names = [path.removesuffix(".py").replace("/", ".").removesuffix(".__init__") for path in ours]
    return sorted(names)


@pytest.mark.requirement("one-arrow")
def test_imports_follow_the_one_arrow() -> None:
    done = subprocess.run(
        [BIN / "lint-imports", "--no-cache"],
        cwd=ROOT, capture_output=True, text=True, timeout=LIMIT_SECONDS, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout


def test_an_import_against_a_contract_is_found(tmp_path: Path) -> None:
    contract = tmp_path / "contracts.ini"
    contract.write_text(BROKEN)

    done = subprocess.run(
        [BIN / "lint-imports", "--no-cache", "--config", contract],
        cwd=ROOT, capture_output=True, text=True, timeout=LIMIT_SECONDS, check=False,
    )  # fmt: skip

    assert done.returncode == 1
    assert "The arrow, turned round BROKEN" in done.stdout


def test_importing_any_module_starts_nothing() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROBE],
        input=json.dumps(_modules()),
        cwd=ROOT, capture_output=True, text=True, timeout=LIMIT_SECONDS, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == {}
