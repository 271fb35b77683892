"""What `mainstem erase` refuses before it touches a store."""

import os
from pathlib import Path
from typing import Final

import pytest

from apps.cli import main
from apps.local import state
from apps.local.home import home
from apps.local.state import Process, RunState

URL: Final = "postgresql://nobody@127.0.0.1:1/x"
"""A store that is not there: who asks it says so."""


def _up(folder: Path, monkeypatch: pytest.MonkeyPatch, *, is_demo: bool) -> None:
    """Leave behind what an `up` says that runs, as this process does."""
    for name in ("DATABASE_URL", "MAINSTEM_STREAMS_STORE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MAINSTEM_HOME", str(folder))
    home().run.mkdir(parents=True)
    own = state.process(os.getpid())
    assert isinstance(own, Process)
    told = RunState(
        phase="up", up=own, gateway_url="", dashboard_url="", broker="", broker_kind="",
        store_kind="", store_url=URL, is_demo=is_demo,
    )  # fmt: skip
    state.write(home(), told)


def test_the_demo_is_not_erased_while_it_plays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _up(tmp_path / "home", monkeypatch, is_demo=True)

    assert main.run(["erase", "--tenant", "demo", "--everything", "--yes"]) == 1
    assert "the demo is playing and would fill its tenant again" in capsys.readouterr().err


@pytest.mark.parametrize(("tenant", "is_demo"), [("demo", False), ("acme", True)])
def test_all_else_is_asked_of_the_store(
    tenant: str, is_demo: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    _up(tmp_path / "home", monkeypatch, is_demo=is_demo)

    assert main.run(["erase", "--tenant", tenant, "--everything", "--yes"]) == 1
    assert "demo" not in capsys.readouterr().err
