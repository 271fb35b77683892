"""What a running `mainstem up` leaves on disk: a lock while it runs, and what it says of itself.

The lock is the operating system's, so it is gone when its holder is, however that died. The state
file is for `down`, `doctor` and the next `up`: addresses, and the processes by id and start time,
so that a number which somebody else has by now is never mistaken for ours.
"""

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from analytics.contracts.errors import MissingPart
from apps.local.home import PRIVATE_FILE, Home, Unusable, make

PROC: Final = Path("/proc")
"""Where Linux tells of its processes; elsewhere `ps` is asked."""
PS_WAIT_S: Final = 5
LOOK_S: Final = 0.05


class Process(Struct, frozen=True):
    """A process by number and the start time that makes the number unmistakable."""

    pid: int
    started: str


class RunState(Struct, frozen=True, kw_only=True):
    """What `up` says of itself; `phase` is starting, up, draining or stopped."""

    phase: str
    up: Process
    gateway_url: str
    dashboard_url: str
    broker: str
    broker_kind: str
    store_kind: str
    store_url: str
    """Holds the store's password: the file is private to the user."""
    api_url: str = ""
    children: dict[str, Process] = {}
    is_demo: bool = False
    unread: int | None = None
    """After a stop: events that were not yet in the store, or None where that is not known."""


class AlreadyUp(Unusable):
    """Another `up` runs on this data folder."""

    code = "already-up"


def write(home: Home, state: RunState) -> None:
    """Replace the state file in one step."""
    write_private(home.state, msgspec.json.format(msgspec.json.encode(state), indent=1))


def read(home: Home) -> RunState | None:
    """Return what the last `up` said of itself, or None where nothing readable is there."""
    try:
        return msgspec.json.decode(home.state.read_bytes(), type=RunState)
    except (OSError, msgspec.MsgspecError):
        return None


def running(home: Home) -> RunState | None:
    """Return the state of the `up` that runs now, or None."""
    state = read(home)
    return state if state is not None and is_alive(state.up) else None


@contextmanager
def lock(home: Home) -> Iterator[None]:
    """Hold the data folder's lock; raise `AlreadyUp` where somebody else does."""
    try:
        import fcntl
    except ImportError as error:
        raise MissingPart("`mainstem up` runs on Linux and macOS; use WSL on Windows") from error
    make(home.run)
    try:
        handle = os.open(home.lock, os.O_RDWR | os.O_CREAT, PRIVATE_FILE)
    except OSError as error:
        message = f"the file {str(home.lock)!r} cannot be opened ({error.strerror}); make it ours"
        raise Unusable(message) from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise AlreadyUp(_already(home)) from error
        yield
    finally:
        os.close(handle)


def process(pid: int) -> Process | None:
    """Return the process with this number, or None where there is none."""
    started = _started(pid)
    return None if started is None else Process(pid, started)


def is_alive(one: Process) -> bool:
    """Say whether this very process, and not a later one with its number, still runs."""
    return _started(one.pid) == one.started


def own_pid() -> int:
    """Return this process's number."""
    return os.getpid()


def wait_gone(one: Process, *, wait_s: float) -> bool:
    """Wait until the process is gone; say whether it is."""
    until = time.monotonic() + wait_s
    while is_alive(one):
        if time.monotonic() >= until:
            return False
        time.sleep(LOOK_S)
    return True


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only the user can read, in one step."""
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, PRIVATE_FILE)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
    fresh.replace(path)


def _already(home: Home) -> str:
    state = running(home)
    if state is None:
        return f"another mainstem is starting or stopping in {str(home.root)!r}; try again shortly"
    return (
        f"mainstem is already up (process {state.up.pid}): dashboard {state.dashboard_url}, gateway"
        f" {state.gateway_url}; `mainstem down` stops it"
    )


def _started(pid: int) -> str | None:
    if PROC.exists():
        try:
            stat = (PROC / str(pid) / "stat").read_text()
        except OSError:
            return None
        state, *fields = stat.rpartition(")")[2].split()
        return None if state == "Z" else fields[18]
    asked = ["ps", "-o", "lstart=", "-p", str(pid)]
    said = subprocess.run(asked, capture_output=True, text=True, timeout=PS_WAIT_S, check=False)
    return said.stdout.strip() or None
