"""Which store a command is about."""

from pathlib import Path

import pytest

from analytics.contracts.errors import BadSetting
from apps.cli import stores
from apps.local import state
from apps.local.home import home, make
from apps.local.state import Process, RunState


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give an empty data folder, and an environment that names no store."""
    for name in (stores.STORE_URL, "DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MAINSTEM_HOME", str(tmp_path))
    return tmp_path


def _say_up(process: Process) -> None:
    make(home().run)
    state.write(
        home(),
        RunState(
            phase="up", up=process, gateway_url="", dashboard_url="", broker="", broker_kind="",
            store_kind="external", store_url="postgresql://of-up/x",
        ),
    )  # fmt: skip


@pytest.mark.usefixtures("folder")
def test_it_is_the_store_that_up_runs_on_unless_another_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own = state.process(state.own_pid())
    assert own is not None
    _say_up(own)

    assert stores.store_url() == "postgresql://of-up/x"
    monkeypatch.setenv(stores.STORE_URL, "postgresql://named/x")
    assert stores.store_url() == "postgresql://named/x"


@pytest.mark.usefixtures("folder")
def test_an_up_that_is_gone_names_no_store() -> None:
    _say_up(Process(state.own_pid(), "long ago"))

    with pytest.raises(BadSetting, match="start `mainstem up`"):
        stores.store_url()
