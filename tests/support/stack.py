"""The whole stack as a person starts it: `mainstem up` in a process, with a data folder of its own.

Ports are free ones, nothing is shared with the person's own stack, and leaving stops it with
`mainstem down`. Waiting is for a condition, bounded by a time with a name.
"""

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import psutil
from msgspec import Struct

from apps.local import state
from apps.local.home import Home

READY_S: Final = 120.0
DOWN_S: Final = 90.0
POLL_S: Final = 0.02
ANSWER_S: Final = 30.0
MAINSTEM: Final = (sys.executable, "-m", "apps.cli.main")
ROOT: Final = Path(__file__).resolve().parents[2]


class Stack(Struct, frozen=True, kw_only=True):
    """A stack that is up."""

    home: Path
    process: subprocess.Popen[bytes]
    gateway_url: str
    dashboard_url: str
    store_url: str
    output: Path

    @property
    def token(self) -> str:
        """The first-run token of this stack."""
        return (self.home / "token").read_text().strip()

    def processes(self) -> list[psutil.Process]:
        """Return `up`, every process below it, and the database's, which stands on its own."""
        roots = [self.process.pid, *_postmasters(self.home)]
        found: dict[int, psutil.Process] = {}
        for root in map(psutil.Process, roots):
            found |= {one.pid: one for one in (root, *root.children(recursive=True))}
        return list(found.values())

    def post(self, path: str, body: bytes, *, content_type: str = "application/json") -> bytes:
        """Send a body to the gateway as an agent would; return the answer."""
        request = urllib.request.Request(self.gateway_url.rstrip("/") + path, data=body)
        request.add_header("content-type", content_type)
        request.add_header("authorization", f"Bearer {self.token}")
        with urllib.request.urlopen(request, timeout=ANSWER_S) as answer:
            content: bytes = answer.read()
        return content

    def publish(self, events: Sequence[Mapping[str, object]]) -> list[dict[str, object]]:
        """Publish events; return the verdict of each, which comes after Kafka's acknowledgement."""
        answer = self.post("/v1/events", json.dumps(list(events)).encode())
        results: list[dict[str, object]] = json.loads(answer)["results"]
        return results


@contextmanager
def started_stack(
    home: Path,
    *,
    command: Sequence[str] = MAINSTEM,
    options: Sequence[str] = (),
    cwd: Path = ROOT,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Stack]:
    """Run `mainstem up` with its data in `home`; stop it on leaving.

    `environment` replaces this process's own, but for what keeps the stack to itself.
    """
    home.mkdir(parents=True, exist_ok=True)
    output = home / "up.log"
    asked = {
        **(os.environ if environment is None else environment),
        "MAINSTEM_HOME": str(home),
        "MAINSTEM_LOCAL_PORT": "0",
        "MAINSTEM_LOCAL_DASHBOARD_PORT": "0",
        "BROWSER": "true",
    }
    with output.open("wb") as log:
        process = subprocess.Popen(
            [*command, "up", *options],
            cwd=cwd, env=asked, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        yield _up(home, process, output)
    finally:
        down(home, process, command=command, cwd=cwd, environment=environment)


def down(
    home: Path,
    process: subprocess.Popen[bytes],
    *,
    command: Sequence[str] = MAINSTEM,
    cwd: Path = ROOT,
    environment: Mapping[str, str] | None = None,
) -> int:
    """Stop the stack with `mainstem down`; return the exit code of `up`."""
    if process.poll() is None:
        base = os.environ if environment is None else environment
        asked = {**base, "MAINSTEM_HOME": str(home)}
        subprocess.run(
            [*command, "down"],
            cwd=cwd, env=asked, stdin=subprocess.DEVNULL, capture_output=True,
            timeout=DOWN_S, check=False,
        )  # fmt: skip
    try:
        return process.wait(DOWN_S)
    except subprocess.TimeoutExpired:
        process.terminate()
        return process.wait(DOWN_S)


def wait_for(condition: Callable[[], bool], *, what: str, seconds: float = ANSWER_S) -> None:
    """Wait until `condition` holds; fail with `what` after `seconds`."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, f"{what} did not happen within {seconds} s"
        time.sleep(POLL_S)


def answers(url: str) -> bool:
    """Say whether a GET of `url` is answered with success."""
    try:
        with urllib.request.urlopen(url, timeout=ANSWER_S) as answer:
            return bool(answer.status < 400)
    except (urllib.error.URLError, OSError):
        return False


def _postmasters(home: Path) -> list[int]:
    """Return the process number of each database server whose data is below `home`."""
    return [int(file.read_text().split()[0]) for file in home.rglob("postmaster.pid")]


def _up(home: Path, process: subprocess.Popen[bytes], output: Path) -> Stack:
    found: list[state.RunState] = []

    def is_up() -> bool:
        assert process.poll() is None, f"`up` ended: {output.read_text()[-4000:]}"
        said = state.read(Home(home))
        if said is None or said.phase != "up":
            return False
        found.append(said)
        return True

    wait_for(is_up, what=f"`mainstem up` in {home}", seconds=READY_S)
    said = found[-1]
    return Stack(
        home=home,
        process=process,
        gateway_url=said.gateway_url,
        dashboard_url=said.dashboard_url,
        store_url=said.store_url,
        output=output,
    )
