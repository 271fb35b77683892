"""Rows as the stream would have left them, written by COPY: for tests of whoever reads the store.

`Seeds` collects facts of sessions (prompts, calls, tools, waits) and writes events, windows of all
widths, sessions, progress, dead_letters and jobs that agree with each other. `fleet` is a
believable day of a team; `endless` is one session with as many events as asked for.
"""

import hashlib
import json
import random
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final

from msgspec import structs
from psycopg import Connection, sql

from analytics.measures import sketch
from analytics.measures.rows import MEASURES, ON_TIME, WIDTHS_MS, Measures
from tests.support import minutes

_TABLES: Final = dict(zip(WIDTHS_MS, ("window_10s", "window_1m"), strict=True))
MODELS: Final = ("claude-sonnet-4-5", "claude-haiku-4-5", "claude-opus-4-5", "gpt-5.2-codex")
TOOLS: Final = ("Read", "Edit", "Bash", "Grep", "WebFetch", "Task")
_SERIES: Final = ("tenant", "grain", "project", "session_id", "agent", "model", "tool", "skill",
                  "query_source")  # fmt: skip


class Seeds:
    """Facts of sessions, and the rows they amount to."""

    def __init__(self, *, tenant: str = "local", log_id: int = 1) -> None:
        self.tenant = tenant
        self.log_id = log_id
        self.partition = 0
        self.events: list[tuple[Any, ...]] = []
        self.cells: dict[tuple[Any, ...], tuple[Measures, sketch.Counts]] = {}
        self.sessions: dict[str, dict[str, Any]] = {}

    def session(self, session_id: str, *, at_ms: int, **fields: Any) -> None:
        """Begin a session."""
        self.sessions[session_id] = {
            "project": "atlas", "agent": "claude-code", "version": "2.1.0", "user_name": "ada",
            "team": "core", "model": MODELS[0], "state": "running", "attention": "",
            "first_prompt": "", "ended_at": None, "state_since": at_ms, "started_at": at_ms,
            "last_at": at_ms, "totals": Measures(), "latency": {}, **fields,
        }  # fmt: skip
        self._event(session_id, at_ms, "session.started", {})
        self._count(session_id, at_ms, {}, sessions=1)

    def prompt(self, session_id: str, at_ms: int, text: str) -> None:
        """Say something to a session."""
        row = self.sessions[session_id]
        row["first_prompt"] = row["first_prompt"] or text
        self._event(session_id, at_ms, "prompt.submitted", {"text": text, "prompt_id": str(at_ms)})
        self._count(session_id, at_ms, {}, prompts=1)

    def call(
        self, session_id: str, at_ms: int, *, model: str, duration_ms: int, agent_id: str = "",
        skill: str = "", estimated: bool = False, **counts: int,
    ) -> None:  # fmt: skip
        """Let a model answer."""
        cost = counts.get("cost_nanousd", 0)
        self._event(
            session_id, at_ms, "request.finished",
            {"request_id": f"{session_id}-{at_ms}-{agent_id}", **counts},
            agent_id=agent_id, model=model, duration_ms=duration_ms, cost_nanousd=cost,
        )  # fmt: skip
        self._count(
            session_id, at_ms, {"model": model, "skill": skill, "query_source": "main"},
            duration_ms=duration_ms, calls=1, latency_sum_ms=duration_ms, latency_count=1,
            cost_estimated_nanousd=cost if estimated else 0, **counts,
            **minutes.unpriced(counts),
        )  # fmt: skip

    def failure(self, session_id: str, at_ms: int, *, model: str, kind: str) -> None:
        """Let a model request fail."""
        payload = {"kind": kind, "error": f"request failed: {kind}"}
        self._event(session_id, at_ms, "request.failed", payload, model=model, failed=True)
        self._count(
            session_id,
            at_ms,
            {"model": model},
            call_errors=1,
            rate_limits=int(kind == "rate_limit"),
        )

    def tool(
        self, session_id: str, at_ms: int, *, tool: str, duration_ms: int, agent_id: str = "",
        failed: bool = False, summary: str = "",
    ) -> None:  # fmt: skip
        """Let a tool run."""
        payload = {"tool_use_id": f"{session_id}-{at_ms}-{tool}", "summary": summary}
        if failed:
            payload |= {"error_type": "exit_code", "error": "command exited with status 1"}
        self._event(
            session_id, at_ms, "tool.finished", payload,
            agent_id=agent_id, tool=tool, duration_ms=duration_ms, failed=failed,
        )  # fmt: skip
        self._count(
            session_id, at_ms, {"tool": tool}, tool_calls=1, tool_errors=int(failed),
            lines_added=12 if tool == "Edit" else 0, lines_removed=3 if tool == "Edit" else 0,
        )  # fmt: skip

    def subagent(self, session_id: str, at_ms: int, *, agent_id: str, parent: str = "") -> None:
        """Let a subagent begin."""
        payload = {"agent_id": agent_id, "parent_agent_id": parent, "agent_type": "explorer"}
        self._event(session_id, at_ms, "agent.started", payload, agent_id=agent_id)

    def usage(self, session_id: str, at_ms: int, **counts: int) -> None:
        """Report the sender's own metric, after all that events tell: the fuller account counts."""
        self._event(session_id, at_ms, "usage.reported", {"metric": "token.usage", "value": 1.0})
        totals = self.sessions[session_id]["totals"]
        told = {f"usage_{key}": n for key, n in counts.items()}
        grown = {
            key: max(0, getattr(totals, f"usage_{key}") + n - getattr(totals, key))
            for key, n in counts.items()
        }
        self._count(session_id, at_ms, {}, **told, **grown)

    def wait(self, session_id: str, at_ms: int, message: str) -> None:
        """Let a session wait for permission."""
        payload = {"reason": "permission", "message": message}
        self._event(session_id, at_ms, "attention.needed", payload)
        self._count(session_id, at_ms, {})
        self.sessions[session_id] |= {
            "state": "waiting",
            "state_since": at_ms,
            "attention": message,
        }

    def state(self, session_id: str, at_ms: int, state: str, attention: str = "") -> None:
        """Set what a session is doing."""
        row = self.sessions[session_id]
        row |= {"state": state, "state_since": at_ms, "attention": attention}
        if state == "ended":
            row["ended_at"] = at_ms

    def write(self, db: Connection[Any]) -> None:
        """Write everything and forget it; the next write is another partition's."""
        self._write_series(db)
        self._write_cells(db)
        self._write_sessions(db)
        columns = (
            "received_at", "at", "tenant", "session_id", "id", "type", "source", "project", "agent",
            "agent_id", "model", "tool", "duration_ms", "cost_nanousd", "failed", "log_id",
            "partition", "log_offset", "payload",
        )  # fmt: skip
        _copy(db, "events", columns, self.events)
        db.commit()
        self.events, self.cells, self.sessions = [], {}, {}
        self.partition += 1

    def _event(
        self, session_id: str, at_ms: int, kind: str, payload: dict[str, Any], **columns: Any
    ) -> None:
        row = self.sessions[session_id]
        row["last_at"] = max(row["last_at"], at_ms)
        number = len(self.events)
        self.events.append((
            _time(at_ms), _time(at_ms), self.tenant, session_id, f"{session_id}-{number}", kind,
            "otel", row["project"], row["agent"], columns.get("agent_id", ""),
            columns.get("model", ""), columns.get("tool", ""), columns.get("duration_ms"),
            columns.get("cost_nanousd"), columns.get("failed", False), self.log_id,
            self.partition, number, json.dumps({"type": kind, **payload}),
        ))  # fmt: skip

    def _count(
        self, session_id: str, at_ms: int, dims: dict[str, str], *, duration_ms: int | None = None,
        **counts: int,
    ) -> None:  # fmt: skip
        row = self.sessions[session_id]
        shared = {"tenant": self.tenant, "project": row["project"], "agent": row["agent"]}
        fleet = {"grain": "fleet", **shared, **dims}
        single = {
            "grain": "session", **shared, "session_id": session_id, "model": dims.get("model", ""),
        }  # fmt: skip
        _add(row["totals"], counts)
        if duration_ms is not None:
            sketch.add(row["latency"], duration_ms)
        for width in WIDTHS_MS:
            for series in (fleet, single):
                key = (width, at_ms // width * width, tuple(series.get(n, "") for n in _SERIES))
                measures, latency = self.cells.setdefault(key, (Measures(), {}))
                _add(measures, counts)
                if duration_ms is not None:
                    sketch.add(latency, duration_ms)

    def _write_series(self, db: Connection[Any]) -> None:
        known = {key[2] for key in self.cells}
        rows = [(_series_id(dims), *dims) for dims in known]
        db.execute("create temp table if not exists new_series (like series including defaults)")
        db.execute("truncate new_series")
        _copy(db, "new_series", ("series_id", *_SERIES), rows)
        db.execute("insert into series select * from new_series on conflict do nothing")

    def _write_cells(self, db: Connection[Any]) -> None:
        columns = ("start_at", "series_id", "log_id", "partition", "batch_offset", *MEASURES,
                   "latency", "closed")  # fmt: skip
        newest = max((key[1] for key in self.cells), default=0)
        for width, table in _TABLES.items():
            rows = [
                (_time(start), _series_id(dims), self.log_id, self.partition, ON_TIME,
                 *structs.astuple(measures), sketch.to_bytes(latency), start + width < newest)
                for (own, start, dims), (measures, latency) in self.cells.items() if own == width
            ]  # fmt: skip
            _copy(db, table, columns, rows)
        periods = sorted({key[1] // 300_000 * 300 for key in self.cells})
        db.execute(
            "insert into rollup_due (start_at) select to_timestamp(at) from unnest(%s::int8[]) at",
            [periods],
        )

    def _write_sessions(self, db: Connection[Any]) -> None:
        plain = ("project", "agent", "version", "user_name", "team", "model", "state", "attention",
                 "first_prompt")  # fmt: skip
        times = ("state_since", "started_at", "last_at", "ended_at")
        rows = [
            (self.tenant, session_id, *(row[name] for name in plain),
             *(None if row[name] is None else _time(row[name]) for name in times),
             *structs.astuple(row["totals"]), sketch.to_bytes(row["latency"]))
            for session_id, row in self.sessions.items()
        ]  # fmt: skip
        _copy(db, "sessions", ("tenant", "session_id", *plain, *times, *MEASURES, "latency"), rows)


def fleet(seeds: Seeds, *, now_ms: int, sessions: int = 36, seed: int = 7) -> None:
    """Add a believable day of a team: most sessions over, a few running, one of each trouble."""
    chance = random.Random(seed)
    for number in range(sessions):
        age_ms = int(chance.uniform(0, 1) ** 2 * 23 * 3_600_000) + 60_000
        live = number < 9
        start_ms = now_ms - (chance.randrange(8, 50) * 60_000 if live else age_ms + 900_000)
        session_id = f"{chance.getrandbits(64):016x}"
        codex = number % 5 == 4
        seeds.session(
            session_id, at_ms=start_ms, agent="codex" if codex else "claude-code",
            project=("atlas", "checkpoints-api", "mobile", "atlas")[number % 4],
            user_name=("ada", "grace", "linus", "barbara")[number % 4],
            model=MODELS[3] if codex else MODELS[number % 3],
            version="0.98.0" if codex else "2.1.0",
        )  # fmt: skip
        end_ms = now_ms - chance.randrange(2_000, 40_000) if live else now_ms - age_ms
        _work(seeds, chance, session_id, start=start_ms, end=end_ms)
        _leave(seeds, session_id, end_ms, number)


def endless(seeds: Seeds, *, now_ms: int, events: int, session_id: str = "endless") -> None:
    """Add one session of about `events` events: prompts, calls, tools, errors and 12 subagents."""
    step_ms = 250
    start_ms = now_ms - events * step_ms
    seeds.session(session_id, at_ms=start_ms)
    names = ["", *(f"agent-{n}" for n in range(12))]
    for number, name in enumerate(names[1:]):
        parent = names[number // 2] if number else ""
        seeds.subagent(session_id, start_ms + number, agent_id=name, parent=parent)
    for n in range(events - len(names)):
        at_ms, agent_id = start_ms + n * step_ms + 100, names[n // 40 % len(names)]
        if n % 500 == 0:
            seeds.prompt(session_id, at_ms, f"Step {n // 500}: make the build green again")
        elif n % 3 == 0:
            seeds.call(
                session_id, at_ms, model=MODELS[0], duration_ms=200 + n % 3_000, agent_id=agent_id,
                input_tokens=40, output_tokens=200, cost_nanousd=1_000_000,
            )  # fmt: skip
        elif n % 997 == 0:
            seeds.failure(session_id, at_ms, model=MODELS[0], kind="overloaded")
        else:
            seeds.tool(
                session_id, at_ms, tool=TOOLS[n % 5], duration_ms=20 + n % 900, agent_id=agent_id,
                failed=n % 211 == 0, summary=f"file_{n}.py",
            )  # fmt: skip


def machinery(db: Connection[Any], *, now_ms: int, tenant: str = "local") -> None:
    """Write progress, dead_letters and jobs of a stream that is well."""
    db.execute("insert into logs (cluster_id, topic) values ('seed', 'agents.v1')")
    for partition in range(4):
        db.execute(
            "insert into checkpoints values (1, %s, 1, %s, %s, %s, %s, %s, %s, to_timestamp(%s))",
            (
                partition,
                5_000 + partition,
                now_ms - 12_000,
                5_000,
                partition,
                7,
                120,
                now_ms / 1000,
            ),
        )
    for number, reason in enumerate(("not an event: JSON is malformed", "type 'x.y' is not known")):
        db.execute(
            "insert into dead_letters values "
            "(to_timestamp(%s), 'agents.v1', 0, %s, %s, 'otlp', %s, %s)",
            (now_ms / 1000 - 60 * number, number, tenant, reason, b'{"type": "<b>x.y</b>"}'),
        )
    for name in ("partitions", "retention"):
        db.execute(
            "insert into jobs (name, last_started, last_finished, next_due) values "
            "(%s, to_timestamp(%s), to_timestamp(%s), to_timestamp(%s))",
            (name, now_ms / 1000 - 60, now_ms / 1000 - 59, now_ms / 1000 + 3_540),
        )
    db.commit()


_ASKS: Final = (
    "Find out why the nightly import drops rows with an empty tenant, and fix it with a test",
    "Move the retry policy into its own module and bound every queue",
    "The p99 of /v1/events doubled since Tuesday: profile it and say why",
    "Write the migration that adds `closed` to the windows; keep it safe to run twice",
    "Review the diff on branch fix/late-events",
)


def _work(seeds: Seeds, chance: random.Random, session_id: str, *, start: int, end: int) -> None:
    row = seeds.sessions[session_id]
    at_ms = start + 500
    agents = ["", "explore-1", "explore-2"]
    for number, name in enumerate(agents[1:]):
        seeds.subagent(
            session_id, start + 40_000, agent_id=name, parent="" if number == 0 else agents[1]
        )
    while at_ms < end - 1_000:
        if chance.random() < 0.06 or at_ms == start + 500:
            seeds.prompt(session_id, at_ms, chance.choice(_ASKS))
        agent_id = chance.choice(agents) if at_ms > start + 60_000 else ""
        took = int(chance.lognormvariate(8.1, 0.6))
        at_ms += took
        if at_ms >= end:
            break
        if chance.random() < 0.02:
            seeds.failure(session_id, at_ms, model=row["model"], kind="overloaded")
            continue
        seeds.call(
            session_id, at_ms, model=row["model"], duration_ms=took, agent_id=agent_id,
            skill=chance.choice(("", "", "", "test-writer", "sql-review")),
            estimated=row["agent"] == "codex", input_tokens=chance.randrange(20, 900),
            output_tokens=chance.randrange(80, 1_900),
            cache_read_tokens=chance.randrange(8_000, 60_000),
            cache_write_tokens=chance.randrange(200, 4_000),
            cost_nanousd=chance.randrange(4_000_000, 90_000_000),
        )  # fmt: skip
        tool = chance.choice(TOOLS)
        took = int(chance.lognormvariate(6, 1.2))
        at_ms += took + chance.randrange(500, 30_000)
        if at_ms < end:
            seeds.tool(
                session_id, at_ms, tool=tool, duration_ms=took, agent_id=agent_id,
                failed=chance.random() < 0.05, summary=f"src/{chance.choice(TOOLS).lower()}.py",
            )  # fmt: skip


def _leave(seeds: Seeds, session_id: str, end_ms: int, number: int) -> None:
    match number:
        case 0:
            seeds.wait(session_id, end_ms, "Claude needs your permission to use Bash")
        case 1:
            seeds.wait(session_id, end_ms, "Claude needs your permission to use Edit")
        case 2:
            seeds.state(session_id, end_ms, "stuck", "Bash with the same input 6 times")
        case 3:
            seeds.failure(session_id, end_ms, model=MODELS[2], kind="rate_limit")
            seeds.state(session_id, end_ms, "rate_limited", "rate_limit on claude-opus-4-5")
        case 4 | 5:
            seeds.state(session_id, end_ms, "idle")
        case 6 | 7 | 8:
            seeds.state(session_id, end_ms, "running")
        case _:
            seeds.state(session_id, end_ms, "ended")


def _add(measures: Measures, counts: dict[str, int]) -> None:
    measures.events += 1
    for name, count in counts.items():
        setattr(measures, name, getattr(measures, name) + count)


def _series_id(dims: Iterable[str]) -> int:
    digest = hashlib.blake2b("\0".join(dims).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


def _time(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, tz=UTC).isoformat()


def _copy(
    db: Connection[Any], table: str, columns: tuple[str, ...], rows: Iterable[tuple[Any, ...]]
) -> None:
    statement = sql.SQL("copy {} ({}) from stdin").format(
        sql.Identifier(table), sql.SQL(", ").join(sql.Identifier(name) for name in columns)
    )
    with db.cursor() as cursor, cursor.copy(statement) as copy:
        for row in rows:
            copy.write_row(row)
