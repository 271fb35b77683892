"""A process that does not answer is noticed, by itself or by `up`, and started anew."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from apps.local.http_probe import status
from apps.local.lifecycle import Pacing
from apps.local.parts import python
from apps.local.ports import free_port
from apps.local.supervisor import Command, SupervisedProcess, Supervisor
from tests.support.up import is_gone, started, wait_until

DEADLINE_S: Final = 60
REPLACED_S: Final = 30.0
STUCK_LOOP: Final = """
import asyncio, time
from apps.runtime import watchdog
async def main():
    async with watchdog.watched(0.5):
        await asyncio.sleep(0.2)
        time.sleep(300)
asyncio.run(main())
"""
STUCK_INTERPRETER: Final = """
import asyncio, re
from apps.runtime import watchdog
async def main():
    async with watchdog.watched(0.5):
        await asyncio.sleep(0.2)
        re.fullmatch("((a+)+)+b", "a" * 60)
asyncio.run(main())
"""
STUCK_PART: Final = """
import asyncio, time
from apps.runtime import watchdog
async def main():
    still = watchdog.Moving(lambda: 0.0, still_s=0)
    async with watchdog.watched(0.5, lambda: still() or time.monotonic() < begun + 0.3):
        await asyncio.sleep(300)
begun = time.monotonic()
asyncio.run(main())
"""
SILENT_SERVER: Final = """
import http.server, threading, time
from apps.runtime import watchdog
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
server = http.server.HTTPServer(("127.0.0.1", 0), Page)
threading.Thread(target=server.serve_forever, daemon=True).start()
with watchdog.watched_server(1.0, f"http://127.0.0.1:{server.server_port}/"):
    time.sleep(0.5)
    server.shutdown()
    time.sleep(300)
"""
WELL: Final = """
import asyncio
from apps.runtime import watchdog
async def main():
    async with watchdog.watched(0.5):
        await asyncio.sleep(1.5)
asyncio.run(main())
"""
SERVER: Final = """
import http.server, sys, time
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/hang":
            time.sleep(300)
        self.send_response(200)
        self.end_headers()
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Page).serve_forever()
"""


def _ran(code: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=False)


@pytest.mark.parametrize("code", [STUCK_LOOP, STUCK_INTERPRETER, STUCK_PART, SILENT_SERVER])
@pytest.mark.requirement("supervised")
def test_a_process_that_is_stuck_ends_itself_and_says_where(code: str) -> None:
    ended = _ran(code)

    assert ended.returncode == 1
    assert "Timeout" in ended.stderr
    assert "most recent call first" in ended.stderr


def test_a_process_that_goes_on_is_left_alone() -> None:
    ended = _ran(WELL)

    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.requirement("supervised")
@pytest.mark.parametrize("how", ["stopped", "hanging"])
async def test_a_part_that_does_not_answer_is_started_anew(tmp_path: Path, how: str) -> None:
    port, restarted = free_port(), asyncio.Event()

    async def answers() -> bool:
        return await status(port, "/") == 200

    part = SupervisedProcess(
        name="server",
        command=lambda: Command(python("server", str(port)), {"PYTHONPATH": str(tmp_path)}),
        is_ready=answers,
        is_alive=answers,
        on_restart=restarted.set,
    )
    (tmp_path / "server.py").write_text(SERVER)
    pacing = Pacing(first_ms=10, max_ms=10, steady_ms=10)
    log = tmp_path / "server.log"
    keeper = Supervisor(part, pacing=pacing, log_path=log, log_bytes_max=10**6, hung_s=0.5)
    running = asyncio.create_task(keeper.run())
    async with asyncio.timeout(DEADLINE_S):
        await keeper.ready.wait()
        first = keeper.pid
        assert first is not None
        if how == "stopped":
            os.kill(first, signal.SIGSTOP)
        else:
            await status(port, "/hang")
        await restarted.wait()
    await keeper.stop(1)
    await running

    assert keeper.starts == 2


@pytest.mark.embedded
@pytest.mark.requirement("supervised")
@pytest.mark.parametrize("name", ["gateway", "worker", "api", "dashboard"])
def test_up_replaces_a_process_that_hangs(tmp_path: Path, name: str) -> None:
    with started(tmp_path, "--no-import", MAINSTEM_LOCAL_API_PORT="0") as up:
        hung = up.state.children[name].pid
        os.kill(hung, signal.SIGSTOP)

        def is_replaced() -> bool:
            now = up.state.children.get(name)
            return now is not None and now.pid != hung

        wait_until(is_replaced, seconds=REPLACED_S)
        report = up.run("doctor", "--json")

    assert is_gone(hung)
    assert report.returncode == 0, report.stdout
