"""The dashboard ends when it is told to, whoever still reads from it, and with its parent."""

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import pytest

from apps.local import state
from tests.support.up import wait_until

DASHBOARD: Final = (sys.executable, "-m", "apps.cli.main", "dashboard", "--port", "0")
ENDS_S: Final = 15.0
PARENT: Final = """
import os, subprocess, sys
from apps.local import parent_guard
child = subprocess.Popen(
    parent_guard.command(sys.argv[1:]), stdin=subprocess.PIPE,
    env={**os.environ, parent_guard.PARENT: str(os.getpid())},
)
print(child.pid, flush=True)
child.wait()
"""


def _environment(home: Path) -> dict[str, str]:
    return {
        **os.environ, "MAINSTEM_HOME": str(home), "PYTHONUNBUFFERED": "1",
        "MAINSTEM_DASHBOARD_STORE_URL": "postgresql://nobody@127.0.0.1:1/x",
    }  # fmt: skip


def _address(process: "subprocess.Popen[str]") -> tuple[str, int]:
    assert process.stdout is not None
    for line in process.stdout:
        if found := re.search(r"http://\S+", line):
            next(process.stdout)  # the empty line that Streamlit's words end with
            parts = urlsplit(found.group())
            assert parts.hostname is not None
            assert parts.port is not None
            return parts.hostname, parts.port
    raise AssertionError(f"the dashboard ended with code {process.wait()} and said no address")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_dashboard_that_nobody_reads_from_ends_though_a_browser_stays(
    number: signal.Signals, tmp_path: Path
) -> None:
    process = subprocess.Popen(
        DASHBOARD, env=_environment(tmp_path), stdout=subprocess.PIPE, text=True
    )
    try:
        address = _address(process)
        wait_until(lambda: _answers(address))
        assert process.stdout is not None
        process.stdout.close()
        with _browser(address):
            process.send_signal(number)

            assert process.wait(timeout=ENDS_S) == 0
    finally:
        process.kill()
        process.wait()


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel ends a child with its parent")
def test_a_dashboard_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, *DASHBOARD], env=_environment(tmp_path),
        stdout=subprocess.PIPE, text=True,
    ) as parent:  # fmt: skip
        assert parent.stdout is not None
        child = state.process(int(parent.stdout.readline()))
        assert child is not None
        _address(parent)

        parent.kill()

        assert state.wait_gone(child, wait_s=ENDS_S)


def _answers(address: tuple[str, int]) -> bool:
    try:
        socket.create_connection(address, timeout=1).close()
    except OSError:
        return False
    return True


def _browser(address: tuple[str, int]) -> socket.socket:
    """Open a WebSocket as a page does, and leave it open."""
    opened = socket.create_connection(address, timeout=5)
    host = f"{address[0]}:{address[1]}"
    opened.sendall(
        f"GET /_stcore/stream HTTP/1.1\r\nHost: {host}\r\nOrigin: http://{host}\r\n"
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
    )
    said = opened.recv(64)
    if not said.startswith(b"HTTP/1.1 101"):
        opened.close()
        pytest.fail(f"the dashboard took no WebSocket: {said!r}")
    return opened
