"""The parts of the stack as commands: what is run, with which environment, and when it is ready.

Every part is the command that a container would run (`mainstem gateway`, `mainstem worker`,
`mainstem dashboard`, `mainstem api`), told by environment variables where its neighbours are.
"""

import os
import sys
import uuid
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from msgspec import Struct

from analytics.contracts.ids import DEFAULT_TENANT
from apps.local import broker, http_probe, kafka, record_signing, tenants
from apps.local.broker import BrokerKind, Choice
from apps.local.home import Home, cache_folder
from apps.local.ports import LOOPBACK, free_port
from apps.local.supervisor import Command, SupervisedProcess

TANSU_REBALANCE_S: Final = 2
"""Tansu waits out a whole rebalance timeout; with one worker there is nobody to wait for."""
DASHBOARD_TENANT: Final = "MAINSTEM_DASHBOARD_TENANT"
INSTANCE: Final = "local"
"""The one worker's name in its group: restarted, it keeps its partitions."""


class Wiring(Struct, frozen=True, kw_only=True):
    """Where everything is; `store_url` is empty until the store runs."""

    home: Home
    broker: Choice
    broker_address: str
    broker_port: int
    gateway_port: int
    dashboard_port: int
    api_port: int
    metrics_port: int
    partitions: int
    store_url: str = ""
    is_demo: bool = False

    @property
    def gateway_url(self) -> str:
        """Where agents send to."""
        return f"http://{LOOPBACK}:{self.gateway_port}"

    @property
    def dashboard_url(self) -> str:
        """Where a person looks."""
        return f"http://{LOOPBACK}:{self.dashboard_port}"

    @property
    def api_url(self) -> str:
        """Where programs and Grafana ask."""
        return f"http://{LOOPBACK}:{self.api_port}"


def python(*arguments: str) -> list[str]:
    """Return the command that runs our own code with this interpreter, whatever the folder."""
    return [sys.executable, "-P", "-m", *arguments]


def environment(wiring: Wiring) -> dict[str, str]:
    """Return what every part of ours is told."""
    told = {
        "MAINSTEM_HOME": str(wiring.home.root),
        "MAINSTEM_GATEWAY_PORT": str(wiring.gateway_port),
        "MAINSTEM_GATEWAY_BROKER": wiring.broker_address,
        "MAINSTEM_STREAMS_BROKER": wiring.broker_address,
        "MAINSTEM_STREAMS_STORE_URL": wiring.store_url,
        "MAINSTEM_STREAMS_METRICS_PORT": str(wiring.metrics_port),
        "MAINSTEM_STREAMS_DASHBOARD_URL": wiring.dashboard_url,
        "MAINSTEM_STREAMS_NOTIFY_PRIVATE": "true",
        "MAINSTEM_DASHBOARD_STORE_URL": wiring.store_url,
        "MAINSTEM_API_PORT": str(wiring.api_port),
        "MAINSTEM_API_STORE_URL": wiring.store_url,
        "MAINSTEM_DASHBOARD_PORT": str(wiring.dashboard_port),
        "MAINSTEM_DASHBOARD_GATEWAY_URL": wiring.gateway_url,
        "MAINSTEM_DASHBOARD_WORKER_METRICS_URL": (
            f"http://{LOOPBACK}:{wiring.metrics_port}/metrics"
        ),
        "PYTHONUNBUFFERED": "1",
        "PYTHONFAULTHANDLER": "1",
    }
    given = broker.without_otel(dict(os.environ))
    for name in ("MAINSTEM_STREAMS_ALERTS_FOLDER", "MAINSTEM_STREAMS_NOTIFY_FILES"):
        told |= {} if given.get(name) else {name: str(wiring.home.alerts)}
    if not given.get("MAINSTEM_STREAMS_ALERTS_TENANT"):
        shown = tenants.DEMO if wiring.is_demo else DEFAULT_TENANT
        told["MAINSTEM_STREAMS_ALERTS_TENANT"] = given.get(DASHBOARD_TENANT) or shown
    if DASHBOARD_TENANT not in given:
        told[DASHBOARD_TENANT] = tenants.DEMO if wiring.is_demo else DEFAULT_TENANT
        told["MAINSTEM_DASHBOARD_TENANTS"] = ",".join(tenants.ALL)
    if wiring.broker.kind is not BrokerKind.EXTERNAL:
        told["MAINSTEM_GATEWAY_PARTITIONS"] = str(wiring.partitions)
        told["MAINSTEM_STREAMS_PARTITIONS"] = str(wiring.partitions)
    if wiring.broker.kind is BrokerKind.TANSU:
        told["MAINSTEM_STREAMS_REBALANCE_TIMEOUT_S"] = str(TANSU_REBALANCE_S)
    if wiring.broker.kind is BrokerKind.KAFKA:
        told["MAINSTEM_STREAMS_INSTANCE"] = INSTANCE
    return given | told | record_signing.environment(wiring.home, wiring.broker.kind)


def own(wiring: Wiring, *arguments: str) -> Command:
    """Return one of our own commands, wired."""
    return Command(python("apps.cli.main", *arguments), environment(wiring))


def broker_part(wiring: Wiring, *, on_restart: Callable[[], None]) -> SupervisedProcess:
    """Return the broker that `up` starts; a memory-only one gets a fresh cluster id each time."""
    return SupervisedProcess(
        name="broker",
        command=partial(_broker_command, wiring),
        is_ready=partial(http_probe.accepts, wiring.broker_port),
        is_alive=partial(http_probe.answers_kafka, wiring.broker_port),
        on_restart=on_restart,
    )


def gateway_part(wiring: Wiring) -> SupervisedProcess:
    """Return the gateway."""
    return SupervisedProcess(
        name="gateway",
        command=partial(own, wiring, "gateway"),
        is_ready=_is_ok(wiring.gateway_port, "/health/ready"),
        is_alive=_answers(wiring.gateway_port, "/health/live"),
    )


def worker_part(wiring: Callable[[], Wiring], metrics_port: int) -> SupervisedProcess:
    """Return the worker; it asks for the wiring at each start, since the store may have moved."""
    return SupervisedProcess(
        name="worker",
        command=lambda: own(wiring(), "worker"),
        is_ready=_is_ok(metrics_port, "/health/ready"),
        is_alive=_answers(metrics_port, "/health/live"),
    )


def dashboard_part(wiring: Callable[[], Wiring], port: int) -> SupervisedProcess:
    """Return the dashboard, wired again at each start as the worker is."""
    return SupervisedProcess(
        name="dashboard",
        command=lambda: own(wiring(), "dashboard"),
        is_ready=_is_ok(port, "/_stcore/health"),
        is_alive=_answers(port, "/_stcore/health"),
    )


def api_part(wiring: Callable[[], Wiring], port: int) -> SupervisedProcess:
    """Return the query API, wired again at each start as the worker is."""
    return SupervisedProcess(
        name="api",
        command=lambda: own(wiring(), "api"),
        is_ready=_is_ok(port, "/health/ready"),
        is_alive=_answers(port, "/health/live"),
    )


def demo_part(wiring: Wiring, *, speed: float, rate_max: int) -> SupervisedProcess:
    """Return the demo: a bundled fleet, replayed through the gateway."""
    told = {"MAINSTEM_DEMO_SPEED": str(speed), "MAINSTEM_DEMO_RATE_MAX": str(rate_max)}
    return SupervisedProcess(
        name="demo",
        command=lambda: Command(
            python("apps.load.demo", wiring.gateway_url), environment(wiring) | told
        ),
        is_ready=_at_once,
    )


def _broker_command(wiring: Wiring) -> Command:
    told = broker.without_otel(dict(os.environ))
    if wiring.broker.kind is BrokerKind.TANSU:
        made = broker.tansu_command(port=wiring.broker_port, cluster_id=uuid.uuid4().hex)
        return Command(made, told)
    node = kafka.KafkaNode(
        folder=wiring.home.kafka,
        port=wiring.broker_port,
        controller_port=free_port(),
        cluster_id=kafka.new_cluster_id(),
    )
    return Command(kafka.prepare(node, kafka.libraries(cache_folder())), told)


def _is_ok(port: int, path: str) -> Callable[[], Awaitable[bool]]:
    async def is_ok() -> bool:
        return await http_probe.status(port, path) == 200

    return is_ok


def _answers(port: int, path: str) -> Callable[[], Awaitable[bool]]:
    async def answers() -> bool:
        return await http_probe.status(port, path) is not None

    return answers


async def _at_once() -> bool:
    return True
