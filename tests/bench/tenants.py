"""A tenant's share: what one that floods the stack costs another, quiet, under attack and after.

On the stack as `mainstem up` starts it. A calm tenant sends one event after another, each of which
is timed from its sending until its row is there, while a loud one sends 100,000 events: each with
labels that nobody had before, or each in a session of its own, or, as the control, none of either.
Memory is the resident memory of the
worker, the gateway and the database. In the end every measure of the loud tenant has to equal what
was sent: in its windows, in its sessions and raw.

`MAINSTEM_BENCH_SHARE` (such as 0.1) makes the attack smaller; `MAINSTEM_BENCH_ATTACKS` names those
to run, comma separated.
"""

import asyncio
import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import httpx
import psutil
import psycopg
from msgspec import Struct

from apps.bench.report import BenchReport, Figure, percentile, report
from apps.local import state, tokens
from apps.local.home import Home
from tests.bench import flooding
from tests.support.stack import ROOT, Stack, started_stack

SHARE: Final = float(os.environ.get("MAINSTEM_BENCH_SHARE", "1"))
LOUD_EVENTS: Final = int(100_000 * SHARE)
SENDERS: Final = 2
EVERY_S: Final = 0.1
ASK_S: Final = 0.005
QUIET_S: Final = 20.0
LAST_S: Final = 180.0
"""How long the last rows are waited for."""
ATTACK_S: Final = 1_200.0
"""The most that an attack takes: on a machine that is busy its sender waits much."""
SETTLE_S: Final = 45.0
"""How long after the attack memory is read: windows have closed, and the store has caught up."""
SLOWER_GOAL: Final = 2.0
MEMORY_GOAL: Final = 1.5
MIB: Final = 1024 * 1024
WANTED: Final = os.environ.get("MAINSTEM_BENCH_ATTACKS", ",".join(flooding.ATTACKS)).split(",")
Senders = Sequence["subprocess.Popen[bytes]"]
CALM: Final = "calm"
LOUD: Final = "loud"
_ROWS: Final = "select session_id from events where tenant = %s and session_id = any(%s)"
_STORED: Final = "select count(*) from events where tenant = %s"
_SUMS: Final = (
    "select (select count(*) from events where tenant = %(tenant)s),"
    " (select coalesce(sum(events), 0) from sessions where tenant = %(tenant)s),"
    " (select coalesce(sum(w.events), 0) from window_1m w join series using (series_id)"
    "   where tenant = %(tenant)s and grain = 'fleet'),"
    " (select count(*) from series where tenant = %(tenant)s)"
)


class Phase(Struct, frozen=True, kw_only=True):
    """What was seen in one phase."""

    name: str
    took_ms: list[float]
    memory_mib: dict[str, float]
    peak_mib: dict[str, float]


def run() -> BenchReport:
    """Measure each attack on a stack of its own."""
    figures = [figure for attack in WANTED for figure in _attacked(attack)]
    about = f"One tenant's {LOUD_EVENTS:,} events, and another's way to its row."
    return report("tenants", about, figures=tuple(figures))


def _attacked(attack: str) -> Sequence[Figure]:
    with (
        tempfile.TemporaryDirectory(prefix="mainstem-bench-") as home,
        started_stack(Path(home), options=("--no-open", "--no-import")) as stack,
    ):
        asyncio.run(_probed(stack, seconds=5.0))
        quiet = _phase(stack, "quiet", seconds=QUIET_S)
        began = time.monotonic()
        senders = _senders(stack, attack)
        try:
            under = _phase(stack, "under attack", seconds=ATTACK_S, senders=senders)
            assert [sender.wait(LAST_S) for sender in senders] == [0] * SENDERS, "a sender failed"
        finally:
            for sender in senders:
                sender.kill()
        took_s = time.monotonic() - began
        time.sleep(SETTLE_S)
        after = _phase(stack, "after", seconds=QUIET_S)
        raw, in_sessions, in_windows, series = _sums(stack)
    return (
        *_figures(attack, (quiet, under, after)),
        Figure(name=f"{attack}: events stored", value=raw, unit="", note=f"in {took_s:.0f} s"),
        Figure(
            name=f"{attack}: sums that are off",
            value=abs(raw - LOUD_EVENTS) + abs(raw - in_sessions) + abs(raw - in_windows),
            unit="",
            goal=0,
            note=f"{in_sessions:,} in sessions, {in_windows:,} in windows",
        ),
        Figure(name=f"{attack}: series of the loud tenant", value=series, unit=""),
    )


def _figures(attack: str, phases: Sequence[Phase]) -> Iterator[Figure]:
    quiet = phases[0]
    for phase in phases:
        for share in (50, 99):
            limit = percentile(quiet.took_ms, share / 100)
            yield Figure(
                name=f"{attack}, {phase.name}: to the row p{share}",
                value=percentile(phase.took_ms, share / 100),
                unit="ms",
                limit=None if phase is quiet else limit,
                goal=None if phase is quiet else SLOWER_GOAL * limit,
                note=f"{len(phase.took_ms)} events",
            )
        for name, value in phase.memory_mib.items():
            yield Figure(
                name=f"{attack}, {phase.name}: memory of the {name}",
                value=value,
                unit="MiB",
                limit=None if phase is quiet else quiet.memory_mib[name],
                goal=MEMORY_GOAL * quiet.memory_mib[name] if phase is phases[-1] else None,
                note=f"at most {phase.peak_mib[name]:,.0f}",
            )


def _phase(stack: Stack, name: str, *, seconds: float, senders: "Senders" = ()) -> Phase:
    """Probe for a while, or until the senders have ended and all they sent is stored."""
    seen: list[dict[str, float]] = []
    took_ms = asyncio.run(_probed(stack, seconds=seconds, senders=senders, seen=seen))
    memory = _memory_mib(stack)
    peak = {name: max([memory[name], *(one[name] for one in seen)]) for name in memory}
    return Phase(name=name, took_ms=took_ms, memory_mib=memory, peak_mib=peak)


async def _probed(
    stack: Stack,
    *,
    seconds: float,
    senders: "Senders" = (),
    seen: list[dict[str, float]] | None = None,
) -> list[float]:
    flying: dict[str, float] = {}
    took_ms: list[float] = []
    ended = asyncio.Event()
    watching = asyncio.ensure_future(_watch(stack, flying, took_ms, ended))
    headers = {"authorization": f"Bearer {_token(stack, CALM)}"}
    limit = time.monotonic() + seconds
    async with httpx.AsyncClient(base_url=stack.gateway_url, headers=headers, timeout=60) as http:
        sending: set[asyncio.Task[None]] = set()
        while time.monotonic() < limit and not (senders and _are_done(stack, senders)):
            task = asyncio.ensure_future(_send(http, flying))
            sending.add(task)
            task.add_done_callback(sending.discard)
            if seen is not None and not len(took_ms) % 5:
                seen.append(_memory_mib(stack))
            await asyncio.sleep(EVERY_S)
        await asyncio.gather(*sending)
    ended.set()
    await watching
    return took_ms


async def _send(http: httpx.AsyncClient, flying: dict[str, float]) -> None:
    name = f"calm-{uuid.uuid4().hex}"
    event = {
        "type": "prompt.submitted", "id": name, "session_id": name, "length": 4,
        "at_ms": time.time_ns() // 1_000_000, "project": "quiet", "agent": "claude-code",
    }  # fmt: skip
    flying[name] = time.monotonic()
    answer = await http.post("/v1/events", json=[event])
    answer.raise_for_status()


async def _watch(
    stack: Stack, flying: dict[str, float], took_ms: list[float], ended: asyncio.Event
) -> None:
    limit_s = float("inf")
    async with await psycopg.AsyncConnection.connect(stack.store_url, autocommit=True) as db:
        while time.monotonic() < limit_s:
            if ended.is_set() and not flying:
                return
            if ended.is_set() and limit_s == float("inf"):
                limit_s = time.monotonic() + LAST_S
            asked = list(flying)
            rows = await (await db.execute(_ROWS, [CALM, asked])).fetchall() if asked else []
            now = time.monotonic()
            took_ms.extend((now - flying.pop(name)) * 1_000 for (name,) in rows)
            await asyncio.sleep(ASK_S)
    raise TimeoutError(f"{len(flying)} events did not reach the store within {LAST_S:g} s")


def _senders(stack: Stack, attack: str) -> "Senders":
    environment = {**os.environ, flooding.TOKEN: _token(stack, LOUD)}
    module = "tests.bench.flooding"
    numbers = [(str(number), str(SENDERS), str(LOUD_EVENTS)) for number in range(SENDERS)]
    return [
        subprocess.Popen(
            [sys.executable, "-m", module, stack.gateway_url, attack, *told],
            cwd=ROOT, env=environment,
        )
        for told in numbers
    ]  # fmt: skip


def _are_done(stack: Stack, senders: "Senders") -> bool:
    """Say whether the senders have ended, and all that they sent is stored."""
    if any(sender.poll() is None for sender in senders):
        return False
    with psycopg.connect(stack.store_url, autocommit=True) as db:
        row = db.execute(_STORED, [LOUD]).fetchone()
    return row is not None and int(row[0]) >= LOUD_EVENTS


def _sums(stack: Stack) -> tuple[int, int, int, int]:
    with psycopg.connect(stack.store_url, autocommit=True) as db:
        row = db.execute(_SUMS, {"tenant": LOUD}).fetchone()
    assert row is not None
    raw, in_sessions, in_windows, series = map(int, row)
    return raw, in_sessions, in_windows, series


def _token(stack: Stack, tenant: str) -> str:
    return tokens.issue(
        tokens.key(Home(stack.home)),
        tenant=tenant,
        user=tenant,
        scopes=("publish",),
        now_s=int(time.time()),
    )


def _memory_mib(stack: Stack) -> dict[str, float]:
    said = state.read(Home(stack.home))
    assert said is not None
    found = {
        name: psutil.Process(said.children[name].pid).memory_info().rss / MIB
        for name in ("worker", "gateway")
    }
    database = 0.0
    for one in stack.processes():
        try:
            if "postgres" in one.name():
                database += one.memory_full_info().pss / MIB
        except psutil.Error:
            continue
    return found | {"database": database}
