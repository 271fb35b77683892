"""Apache Kafka on this machine: one node in KRaft mode, its log kept in a folder.

The jars come from an installed Kafka (KAFKA_HOME) or, once, from Maven into the user's cache
folder. Needs Java 17 or newer. Nothing is started here: `prepare` formats the folder when it is new
and returns the command to run.
"""

import base64
import os
import shutil
import subprocess
import uuid
from pathlib import Path
from typing import Final

from msgspec import Struct

from analytics.contracts.errors import MissingPart
from apps.local.ports import LOOPBACK

VERSION: Final = "4.1.0"
MAVEN_WAIT_S: Final = 600
FORMAT_WAIT_S: Final = 120
OUTPUT_SHOWN: Final = 400
"""Characters of a failed program's output that an error quotes."""

_POM: Final = f"""<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>mainstem</groupId><artifactId>kafka</artifactId><version>1</version>
  <dependencies><dependency>
    <groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{VERSION}</version>
  </dependency></dependencies>
</project>
"""

_PROPERTIES: Final = """process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{host}:{controller_port}
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller_port}
advertised.listeners=PLAINTEXT://{host}:{port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs={logs}
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
group.initial.rebalance.delay.ms=0
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=3000
"""
"""A node that was killed is taken back once the session of the one before has run out."""


class KafkaNode(Struct, frozen=True, kw_only=True):
    """Where the one node keeps its files and listens."""

    folder: Path
    port: int
    controller_port: int
    cluster_id: str
    heap_mib: int = 512


def new_cluster_id() -> str:
    """Return a fresh cluster id in Kafka's own form: 16 random bytes in URL-safe base64.

    One that begins with a dash would be read as an option; Kafka makes none such either.
    """
    made = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    return new_cluster_id() if made.startswith("-") else made


def libraries(cache: Path) -> Path:
    """Return the folder with Kafka's jars, fetched by Maven when needed; raise `MissingPart`."""
    _program("java", "Java 17 or newer, such as the package openjdk-17-jre-headless")
    home = os.environ.get("KAFKA_HOME")
    if home:
        libs = Path(home) / "libs"
        if not any(libs.glob("kafka_2.13-*.jar")):
            raise MissingPart(f"KAFKA_HOME={home!r} holds no libs/kafka_2.13-*.jar; set it right")
        return libs
    libs = cache / f"kafka-{VERSION}"
    if not (libs / f"kafka_2.13-{VERSION}.jar").exists():
        _fetch(libs)
    return libs


def prepare(node: KafkaNode, libs: Path) -> list[str]:
    """Format the node's folder when it is new; return the command that starts the node."""
    node.folder.mkdir(parents=True, exist_ok=True)
    logs = node.folder / "log"
    properties = node.folder / "server.properties"
    properties.write_text(
        _PROPERTIES.format(
            host=LOOPBACK, port=node.port, controller_port=node.controller_port, logs=logs
        )
    )
    if not (logs / "meta.properties").exists():
        tool = _java(libs, "kafka.tools.StorageTool", heap_mib=128)
        _run([*tool, "format", "-t", node.cluster_id, "-c", str(properties)], FORMAT_WAIT_S)
    return [*_java(libs, "kafka.Kafka", heap_mib=node.heap_mib), str(properties)]


def _fetch(libs: Path) -> None:
    maven = _program("mvn", "Maven, or set KAFKA_HOME to an installed Kafka")
    work = libs.with_name(f"{libs.name}.{os.getpid()}")
    work.mkdir(parents=True, exist_ok=True)
    try:
        (work / "pom.xml").write_text(_POM)
        goal = "dependency:copy-dependencies"
        where = f"-DoutputDirectory={work / 'jars'}"
        _run([maven, "-B", "-q", "-f", str(work / "pom.xml"), goal, where], MAVEN_WAIT_S)
        if not libs.exists():
            (work / "jars").rename(libs)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _java(libs: Path, program: str, *, heap_mib: int) -> list[str]:
    return ["java", f"-Xmx{heap_mib}m", "-XX:+UseSerialGC", "-cp", str(libs / "*"), program]


def _program(name: str, what: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise MissingPart(f"Apache Kafka needs {name!r}, which is not here: install {what}")
    return found


def _run(command: list[str], wait_s: float) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=wait_s)
    except subprocess.CalledProcessError as error:
        said = f"{error.stdout}{error.stderr}".strip()[-OUTPUT_SHOWN:]
        raise MissingPart(f"{command[0]!r} failed while Kafka was set up: {said!r}") from error
    except subprocess.TimeoutExpired as error:
        message = f"{command[0]!r} did not set Kafka up within {wait_s:.0f} s; try again"
        raise MissingPart(message) from error
