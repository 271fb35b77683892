"""What `doctor` finds out: whether events arrive by every ingest path, and how the parts stand.

An arrival is a row in the store, looked for by the session that the sent event names; the time is
from before sending until the row was seen. Nothing here changes anything but for those few events,
whose tenant is `doctor` and whose project is
`mainstem-doctor`: no figure of the user's own fleet moves.
"""

import asyncio
import json
import platform
import shutil
import time
from importlib.metadata import version
from pathlib import Path
from typing import Final
from uuid import uuid4

from msgspec import Struct

from analytics.contracts import topics
from analytics.contracts.errors import MainstemError
from apps.local import broker, drain, ingest_paths, state
from apps.local.home import Home
from apps.local.ingest_paths import Sender
from apps.local.state import RunState
from apps.local.tenants import DOCTOR
from apps.local.topics import cluster_id, reaches
from streams.clients.reader import Reader
from streams.maintenance import complaints, facts
from streams.maintenance.facts import StoreFacts
from streams.queries import session_events
from streams.queries.session_events import Stretch

ARRIVAL_WAIT_S: Final = 15.0
LOOK_S: Final = 0.01
DAY_MS: Final = 86_400_000
MANAGED: Final = (
    Path("/etc/claude-code/managed-settings.json"),
    Path("/Library/Application Support/ClaudeCode/managed-settings.json"),
)
"""Where an administrator's settings for Claude Code are; they win over the user's."""
PROCESSES: Final = ("gateway", "worker", "dashboard", "api")
"""What every stack runs, whoever brings the broker and the store."""


class ProbeArrival(Struct, frozen=True, kw_only=True):
    """How one event fared; times are None where it got no further."""

    ingest_path: str
    answered_ms: int | None = None
    stored_ms: int | None = None
    problem: str = ""


class Lag(Struct, frozen=True, kw_only=True):
    """How many records of a topic are not in the store yet."""

    topic: str
    records: int


class DoctorReport(Struct, frozen=True, kw_only=True):
    """All that `doctor` says."""

    mainstem: str
    python: str
    machine: str
    phase: str
    gateway_url: str
    dashboard_url: str
    broker: str
    broker_kind: str
    broker_version: str
    cluster_id: str
    store_kind: str
    store: StoreFacts | None
    """How the store is; None where it did not say."""
    data: str
    disk_free_bytes: int
    arrivals: tuple[ProbeArrival, ...]
    lags: tuple[Lag, ...]
    complaints: tuple[str, ...]
    """What the store's upkeep lacks, and what to do; events arrive all the same."""
    problems: tuple[str, ...]

    @property
    def is_well(self) -> bool:
        """Whether everything arrived and nothing else is wrong."""
        return not self.problems and all(one.stored_ms is not None for one in self.arrivals)


def examine(home: Home, running: RunState, token: str) -> DoctorReport:
    """Send one event by every ingest path, and look at every part."""
    problems: list[str] = [*_managed(), *_absent(home, running)]
    reader = Reader(running.store_url, size_max=2)
    try:
        arrivals = _arrivals(reader, Sender(running.gateway_url, token))
        cluster, lags = _stream(reader, running, problems)
        store = _store(reader, problems)
    finally:
        reader.close()
    problems += _explained(home, arrivals, lags)
    return DoctorReport(
        mainstem=version("mainstem"),
        python=platform.python_version(),
        machine=f"{platform.system()} {platform.machine()}",
        phase=running.phase,
        gateway_url=running.gateway_url,
        dashboard_url=running.dashboard_url,
        broker=running.broker,
        broker_kind=running.broker_kind,
        broker_version=broker.tansu_version() if running.broker_kind == "tansu" else "",
        cluster_id=cluster,
        store_kind=running.store_kind,
        store=store,
        data=str(home.root),
        disk_free_bytes=shutil.disk_usage(home.root).free,
        arrivals=arrivals,
        lags=lags,
        complaints=() if store is None else complaints.of(store),
        problems=tuple(problems),
    )


def _arrivals(reader: Reader, sender: Sender) -> tuple[ProbeArrival, ...]:
    ingest_paths.warm()
    return tuple(_arrival(reader, sender, ingest_path) for ingest_path in ingest_paths.INGEST_PATHS)


def _arrival(reader: Reader, sender: Sender, ingest_path: str) -> ProbeArrival:
    session_id = f"doctor-{ingest_path}-{uuid4()}"
    began = time.perf_counter()
    try:
        ingest_paths.INGEST_PATHS[ingest_path](sender, session_id)
    except MainstemError as error:
        return ProbeArrival(ingest_path=ingest_path, problem=str(error))
    answered_ms = _since_ms(began)
    try:
        stored = _wait_stored(reader, session_id)
    except MainstemError as error:
        return ProbeArrival(ingest_path=ingest_path, answered_ms=answered_ms, problem=str(error))
    if not stored:
        problem = f"answered, but not in the store after {ARRIVAL_WAIT_S:g} s"
        return ProbeArrival(ingest_path=ingest_path, answered_ms=answered_ms, problem=problem)
    return ProbeArrival(
        ingest_path=ingest_path, answered_ms=answered_ms, stored_ms=_since_ms(began)
    )


def _wait_stored(reader: Reader, session_id: str) -> bool:
    now_ms = time.time_ns() // 1_000_000
    part = Stretch(session_id=session_id, from_ms=now_ms - DAY_MS, until_ms=now_ms + DAY_MS)
    until = time.monotonic() + ARRIVAL_WAIT_S
    while time.monotonic() < until:
        with reader.connection("looking for an event") as db:
            if session_events.count(db, DOCTOR, part, limit=1):
                return True
        time.sleep(LOOK_S)
    return False


def _stream(reader: Reader, running: RunState, problems: list[str]) -> tuple[str, tuple[Lag, ...]]:
    try:
        cluster = asyncio.run(cluster_id(running.broker))
        ends = asyncio.run(reaches(running.broker, [topic.address for topic in topics.FACTS]))
        done = drain.offsets(reader, cluster)
    except MainstemError as error:
        problems.append(str(error))
        return "", ()
    lags = tuple(
        Lag(
            topic=topic.name,
            records=drain.unread([end for end in ends if end.topic == topic.address], done),
        )
        for topic in topics.FACTS
    )
    return cluster, lags


def _store(reader: Reader, problems: list[str]) -> StoreFacts | None:
    try:
        with reader.connection("looking at the store") as db:
            return facts.facts(db)
    except MainstemError as error:
        problems.append(str(error))
        return None


def _explained(home: Home, arrivals: tuple[ProbeArrival, ...], lags: tuple[Lag, ...]) -> list[str]:
    """Say what to do about events that did not arrive."""
    lost = [one for one in arrivals if one.stored_ms is None]
    if not lost:
        return []
    if all(one.answered_ms is None for one in lost):
        return [f"the gateway did not take them; its log is {home.logs / 'gateway.log'}"]
    behind = sum(lag.records for lag in lags)
    if behind:
        worker_log = home.logs / "worker.log"
        advice = f"its log is {worker_log}; `mainstem down`, then `mainstem up`, restarts it"
        return [f"the worker is {behind} records behind: {advice}"]
    return [
        (
            "what was answered may be among the dead letters: "
            "`mainstem tail deadletters.v1 --from 10m` prints them"
        )
    ]


def _absent(home: Home, running: RunState) -> list[str]:
    """Say which processes of the stack do not run."""
    return [
        f"the {name} does not run; its log is {home.logs / f'{name}.log'}"
        for name in PROCESSES
        if name not in running.children or not state.is_alive(running.children[name])
    ]


def _managed() -> list[str]:
    """Say where an administrator's settings overrule what `connect` wrote."""
    found = []
    for path in MANAGED:
        try:
            settings = json.loads(path.read_text())
        except (OSError, ValueError):
            continue
        names = [name for name in settings.get("env", {}) if name.startswith("OTEL_EXPORTER_OTLP")]
        if names:
            found.append(
                f"{path} sets {', '.join(sorted(names))}, which overrules what `mainstem connect"
                " claude-code` wrote; ask the administrator of this machine"
            )
    return found


def running(home: Home) -> RunState:
    """Return what runs here; raise where nothing does."""
    found = state.running(home)
    if found is None:
        raise NothingRuns("nothing runs here to look at; start it with `mainstem up`")
    return found


class NothingRuns(MainstemError):
    """There is no running `mainstem up`."""

    code = "nothing-runs"


def _since_ms(began: float) -> int:
    return round((time.perf_counter() - began) * 1000)
