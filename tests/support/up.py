"""`mainstem up` as a child process in a folder of a test's own, on free ports."""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

import psutil
from msgspec import Struct

from apps.local import state
from apps.local.home import Home
from apps.local.state import RunState

READY_S: Final = 120.0
STOP_S: Final = 90.0
GONE_S: Final = 15.0
LOOK_S: Final = 0.05


class Up(Struct, frozen=True):
    """A stack that answers, or has ended."""

    home: Home
    process: subprocess.Popen[str]
    environment: dict[str, str]

    @property
    def state(self) -> RunState:
        """What `up` says of itself now."""
        found = state.read(self.home)
        assert found is not None
        return found

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run another command of ours against it."""
        return mainstem(self.environment, *arguments)

    def stop(self) -> int:
        """Stop it as Ctrl-C does and return its code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        return self.process.wait(STOP_S)


def environment_in(folder: Path, **more: str) -> dict[str, str]:
    """Return an environment in which nothing of the user's own is seen."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "CI") if name in os.environ}
    cache = os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache"))
    (folder / "user").mkdir(exist_ok=True)
    ours = {
        "HOME": str(folder / "user"),
        "MAINSTEM_HOME": str(folder / "data"),
        "XDG_CACHE_HOME": cache,
    }
    return kept | ours | more


def mainstem(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command of ours to its end."""
    return subprocess.run(
        [sys.executable, "-m", "apps.cli.main", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=READY_S,
        check=False,
    )


@contextmanager
def started(folder: Path, *arguments: str, **more: str) -> Iterator[Up]:
    """Run `mainstem up` until the block ends; the block begins once everything answers."""
    environment = environment_in(folder, **more)
    ports = ("--port", "0", "--dashboard-port", "0")
    command = (
        sys.executable,
        "-m",
        "apps.cli.main",
        "up",
        "--json",
        "--no-open",
        *ports,
        *arguments,
    )
    with (folder / "up.log").open("w") as log:
        process = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=log, text=True
        )
        up = Up(Home(folder / "data"), process, environment)
        try:
            assert process.stdout is not None
            line = _line(process.stdout)
            assert line, f"`up` ended instead: {(folder / 'up.log').read_text()}"
            assert json.loads(line)["gateway"] == up.state.gateway_url
            yield up
        finally:
            _end(up)


def wait_until(condition: Callable[[], bool], *, seconds: float = GONE_S) -> None:
    """Wait for a condition; fail where it does not come to hold."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "the condition did not come to hold"
        time.sleep(LOOK_S)


def is_gone(pid: int) -> bool:
    """Say whether a process has ended."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _line(output: IO[str]) -> str:
    ready, _, _ = select.select([output], [], [], READY_S)
    return output.readline() if ready else ""


def _end(up: Up) -> None:
    try:
        up.stop()
    except subprocess.TimeoutExpired:
        up.process.kill()
        up.process.wait(STOP_S)
    if up.process.stdout is not None:
        with contextlib.suppress(OSError):
            up.process.stdout.close()
