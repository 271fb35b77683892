"""What others notice while one sender is hostile: an ordinary publish before, under and after it.

Every attack runs in a process of its own against a gateway over the embedded broker: sockets that
say a byte a second, bodies that do, bombs, depths, bodies beyond the limit and up to it, packed and
plain, and batches of records that cannot be read. Beside it one client of another tenant connects
anew and publishes an event some twenty times a second. `MAINSTEM_BENCH_SHARE` (such as 0.3) makes
the times shorter, `MAINSTEM_BENCH_ATTACKS` names some of the attacks.
"""

import asyncio
import os
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import psutil
import uvloop
from msgspec import Struct

from apps.bench.report import BenchReport, Figure, percentile, report
from apps.local.ports import LOOPBACK
from tests.bench import gateway_parts
from tests.bench.gateway_parts import Server
from tests.support.broker import started_tansu

REQUIREMENTS = ("gateway-attacks",)
SHARE: Final = float(os.environ.get("MAINSTEM_BENCH_SHARE", "1"))
QUIET_S: Final = max(10.0 * SHARE, 3.0)
UNDER_S: Final = max(20.0 * SHARE, 8.0)
SETTLE_S: Final = 5.0
BEGIN_S: Final = 4.0
"""How long an attacker has to make what it sends."""
EACH_S: Final = 0.05
GIVE_UP_S: Final = 10.0
GOAL: Final = 2.0
GOAL_LEAST_MS: Final = 25.0
"""Below this a p99 is good, however quiet it was before."""
ATTACKS: Final = (
    "slowloris", "slow_bodies", "bombs", "depths", "large", "full", "packed", "bad_records",
)  # fmt: skip


class Phase(Struct, frozen=True):
    """What was seen in one phase."""

    took_ms: list[float]
    refused: int
    memory_mib: float
    sockets: int

    @property
    def p99(self) -> float:
        """How long an ordinary publish took, at the 99th percentile."""
        return percentile(self.took_ms, 0.99)


def run() -> BenchReport:
    """Measure each attack."""
    asked = os.environ.get("MAINSTEM_BENCH_ATTACKS", "")
    kinds = tuple(asked.split(",")) if asked else ATTACKS
    with TemporaryDirectory(prefix="bench-") as folder, started_tansu() as broker:
        figures = uvloop.run(_all(Path(folder), broker.address, kinds))
    about = "An ordinary publish over a new connection, while another sender is hostile."
    return report("gateway-attacks", about, figures=tuple(figures))


async def _all(folder: Path, broker: str, kinds: tuple[str, ...]) -> list[Figure]:
    figures: list[Figure] = []
    for kind in kinds:
        with gateway_parts.gateway(folder, broker) as server:
            hostile, server.token = server.token, gateway_parts.token_of("ordinary")
            await _published(server, seconds=1.0)
            quiet = await _published(server, seconds=QUIET_S)
            attacker = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "tests.bench.gateway_attackers", kind, str(server.port),
                hostile, str(BEGIN_S + UNDER_S), stdout=asyncio.subprocess.PIPE,
            )  # fmt: skip
            await asyncio.sleep(BEGIN_S)
            under = await _published(server, seconds=UNDER_S)
            said, _ = await attacker.communicate()
            await asyncio.sleep(SETTLE_S)
            after = await _published(server, seconds=QUIET_S)
        figures += _figures(kind, quiet, under, after, done=int(said or b"0"))
    return figures


def _figures(kind: str, quiet: Phase, under: Phase, after: Phase, *, done: int) -> list[Figure]:
    name = kind.replace("_", " ")
    goal = max(GOAL * quiet.p99, GOAL_LEAST_MS)
    about = (
        f"{done:,} requests or sockets of the attacker; p50 {percentile(under.took_ms, 0.5):.1f} ms"
    )
    return [
        Figure(name=f"{name}: p99 quiet", value=quiet.p99, unit="ms"),
        Figure(name=f"{name}: p99 under it", value=under.p99, unit="ms", limit=quiet.p99,
               goal=goal, note=about),
        Figure(name=f"{name}: p99 after it", value=after.p99, unit="ms", limit=quiet.p99),
        Figure(name=f"{name}: publishes refused or late", value=under.refused + after.refused,
               unit="", goal=0, note=f"of {len(under.took_ms) + len(after.took_ms):,}"),
        Figure(name=f"{name}: memory quiet, under, after", value=under.memory_mib, unit="MiB",
               limit=quiet.memory_mib, note=f"{quiet.memory_mib:.0f}, {under.memory_mib:.0f}, "
               f"{after.memory_mib:.0f} MiB"),
        Figure(name=f"{name}: sockets under it", value=under.sockets, unit="",
               note=f"{quiet.sockets} before, {after.sockets} after"),
    ]  # fmt: skip


async def _published(server: Server, *, seconds: float) -> Phase:
    """Publish for so long at a steady pace, each over a connection of its own.

    How long it took counts from when it was due, so that what held up one counts for the next.
    """
    took: list[float] = []
    refused = memory = sockets = 0
    process = psutil.Process(server.pid)
    start = time.perf_counter()
    number = 0
    while time.perf_counter() < start + seconds:
        refused += not await _publish(server, number)
        took.append((time.perf_counter() - (start + number * EACH_S)) * 1e3)
        if number % 10 == 0:
            memory = max(memory, server.memory_bytes())
            sockets = max(sockets, process.num_fds())
        number += 1
        await asyncio.sleep(max(0.0, start + number * EACH_S - time.perf_counter()))
    return Phase(took, refused, memory / 2**20, sockets)


async def _publish(server: Server, number: int) -> bool:
    """Publish one event; say whether it was acknowledged in time."""
    event = (
        b'{"type":"prompt.submitted","id":"a-%d-%d","at_ms":%d,"source":"websocket",'
        b'"session_id":"ordinary","project":"bench","agent":"claude-code","length":1,"text":""}'
        % (time.time_ns(), number, time.time_ns() // 1_000_000)
    )
    try:
        async with asyncio.timeout(GIVE_UP_S):
            reader, writer = await asyncio.open_connection(LOOPBACK, server.port)
            writer.write(
                b"POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                b"Authorization: Bearer %b\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b"
                % (server.token.encode(), len(event), event)
            )
            said = await reader.read()
            writer.close()
    except (OSError, TimeoutError):
        return False
    return b'"accepted"' in said
