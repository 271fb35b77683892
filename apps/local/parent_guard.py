"""A child process that does not outlive the `mainstem up` that started it, however that one dies.

`up` starts each child by `python parent_guard.py COMMAND…`, with one end of a pipe whose
other end only `up` holds. On Linux the kernel kills the child with its parent; elsewhere this
process stays, watches the pipe and kills the child when the pipe closes. Standard library only and
runnable without our package, so that it costs a child some 20 ms. The embedded PostgreSQL, which
leaves its parent by design, gets a watcher on such a pipe instead.
"""

import ctypes
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Final

PARENT: Final = "MAINSTEM_LOCAL_PARENT"
"""Names the process id of the `up` that holds a child; set in the child's environment."""
PIPE: Final = 0
"""The file descriptor that closes with the parent: the child's standard input."""
STOP_POSTGRES: Final = "--stop-postgres"
"""With a pid file: waits for the pipe to close, then asks that PostgreSQL server to stop."""
_PR_SET_PDEATHSIG: Final = 1


def is_held(environment: Mapping[str, str]) -> bool:
    """Say whether this process was started by `mainstem up`."""
    return PARENT in environment


def command(arguments: Sequence[str]) -> list[str]:
    """Return the command that runs `arguments` so that it ends with its parent."""
    return [sys.executable, "-I", "-S", __file__, *arguments]


def main() -> None:
    """Run the command that the arguments name until it ends or the parent does."""
    arguments = sys.argv[1:]
    if arguments[0] == STOP_POSTGRES:
        _await_parent()
        _stop_postgres(arguments[1])
        return
    if sys.platform == "linux":
        _die_with_parent(int(os.environ[PARENT]))
        os.execvp(arguments[0], arguments)  # noqa: S606 - our own command
    sys.exit(_watch(arguments))


def _die_with_parent(parent: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def _watch(arguments: Sequence[str]) -> int:
    child = subprocess.Popen(arguments, stdin=subprocess.DEVNULL)

    def forward(number: int, _frame: FrameType | None) -> None:
        child.send_signal(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, forward)

    def end_with_parent() -> None:
        _await_parent()
        child.kill()

    threading.Thread(target=end_with_parent, daemon=True).start()
    return child.wait()


def _await_parent() -> None:
    while os.read(PIPE, 1):
        pass


def _stop_postgres(pid_file: str) -> None:
    """Ask for a fast stop (SIGINT); without the file the server is gone already."""
    try:
        pid = int(Path(pid_file).read_text().split()[0])
        os.kill(pid, signal.SIGINT)
    except (OSError, ValueError, IndexError):
        return


if __name__ == "__main__":
    main()
