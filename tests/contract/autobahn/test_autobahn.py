"""All cases of sections 1 to 7, echoed through the gateway's own server, guard and frames.

The suite is Java's: two jars from Maven, kept in the user's cache. It takes some minutes, so it
runs in the lane of Apache Kafka, which needs the same tools.
"""

import asyncio
import json
import logging
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import platformdirs
import pytest
from starlette.routing import WebSocketRoute

from gateway.http.connections import WIRE
from gateway.protocol.codec_json import JsonCodec
from gateway.protocol.codec_protobuf import ProtobufCodec
from gateway.websocket.frames import Framer
from tests.support.gateway import listening
from tests.support.publisher_memory import MemoryPublisher

pytestmark = pytest.mark.kafka

PATH: Final = "/echo"
CASES: Final = 246
FRAME_MAX: Final = 1_048_576
"""A case of section 7 sends a quarter of this in one frame."""
MAVEN_WAIT_S: Final = 300
SUITE_WAIT_S: Final = 280
RUN: Final = Path(__file__).with_name("run.jython")
GOOD: Final = {"OK", "NON-STRICT", "INFORMATIONAL"}
JARS: Final = Path(platformdirs.user_cache_dir("mainstem")) / "autobahn-0.1.5"
POM: Final = """<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>mainstem</groupId><artifactId>autobahn</artifactId><version>1</version>
  <dependencies>
    <dependency><groupId>me.normanmaurer.maven.autobahntestsuite</groupId>
      <artifactId>autobahntestsuite-maven-plugin</artifactId><version>0.1.5</version></dependency>
    <dependency><groupId>org.python</groupId>
      <artifactId>jython-standalone</artifactId><version>2.7.1</version></dependency>
  </dependencies>
</project>
"""


class Echo:
    """Sends back what comes, by the wire where the peer takes bytes; an ASGI application."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        wire = scope["extensions"][WIRE]
        text = Framer(JsonCodec(commands_max=1))
        binary = Framer(ProtobufCodec(commands_max=1))
        await receive()
        await send({"type": "websocket.accept"})
        while True:
            message = await receive()
            if message["type"] == "websocket.disconnect":
                return
            said = message.get("text")
            frame = binary.frame(message["bytes"]) if said is None else text.frame(said.encode())
            await wire.drained()
            if wire.ready:
                wire.write(frame)


@pytest.fixture(scope="session")
def suite() -> list[Path]:
    """Return the suite's jars, fetched once."""
    if not JARS.is_dir():
        for program in ("java", "mvn"):
            assert shutil.which(program), f"the suite needs {program!r}: install Java and Maven"
        work = JARS.with_name(f"{JARS.name}.part")
        work.mkdir(parents=True, exist_ok=True)
        (work / "pom.xml").write_text(POM)
        goal = ["dependency:copy-dependencies", f"-DoutputDirectory={work / 'jars'}"]
        command = ["mvn", "-B", "-q", "-f", str(work / "pom.xml"), *goal, "-DexcludeTransitive"]
        subprocess.run(command, check=True, timeout=MAVEN_WAIT_S)
        (work / "jars").rename(JARS)
        shutil.rmtree(work)
    return sorted(JARS.glob("*.jar"))


@contextmanager
def _complaints() -> Iterator[list[str]]:
    """Gather what is logged as a warning or worse."""
    said: list[str] = []

    class Ear(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(record.getMessage())

    ear = Ear(logging.WARNING)
    logging.getLogger().addHandler(ear)
    try:
        yield said
    finally:
        logging.getLogger().removeHandler(ear)


@pytest.mark.requirement("websocket-conformant")
async def test_no_case_fails_and_nothing_is_logged(suite: list[Path], tmp_path: Path) -> None:
    with _complaints() as complaints:
        async with listening(MemoryPublisher(), frame_bytes_max=FRAME_MAX) as (under_test, url):
            under_test.api.router.routes.append(WebSocketRoute(PATH, Echo()))
            address = url.rsplit("/connection", 1)[0] + PATH
            await _run(suite, address, tmp_path)

    told: dict[str, dict[str, str]] = json.loads((tmp_path / "index.json").read_text())["gateway"]
    assert len(told) == CASES
    assert _those(told, lambda one: one["behavior"] not in GOOD) == {}
    assert _those(told, lambda one: one["behaviorClose"] not in GOOD) == {}
    assert complaints == []


async def _run(suite: list[Path], address: str, out: Path) -> None:
    jars = ":".join(str(jar) for jar in suite)
    program = ["-Dpython.cachedir.skip=true", "-cp", jars, "org.python.util.jython", str(RUN)]
    process = await asyncio.create_subprocess_exec(
        "java", "-Xmx512m", *program, address, str(out), stdout=asyncio.subprocess.DEVNULL
    )
    try:
        async with asyncio.timeout(SUITE_WAIT_S):
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def _those(
    told: dict[str, dict[str, str]], fits: Callable[[dict[str, str]], bool]
) -> dict[str, dict[str, str]]:
    return {name: one for name, one in told.items() if fits(one)}
