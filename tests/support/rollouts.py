"""Codex's rollouts for tests: captures of the genuine client, and made ones of each version's form.

A made history is what truly happened; `written` says how a version of Codex writes it: with copies
of a parent's lines or without, with ids of turns or without, told in records of their own or not.
"""

import json
import uuid
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from analytics.contracts.agent_events import AgentEvent
from analytics.contracts.ids import DEFAULT_TENANT
from gateway.otlp.intake import OtlpSignal
from gateway.transcripts.codex import CodexReader
from tests.support.ingest import DATA, log, taken

FOLDER: Final = DATA / "rollouts"
VERSIONS: Final = ("0.50.0", "0.98.0", "0.130.0", "0.171.0")
NOW_MS: Final = 1_796_100_000_000
"""Some hours after the captures were made."""
BEGAN_MS: Final = 1_796_000_000_000
MODEL: Final = "gpt-5.2-codex"
Line = dict[str, Any]


def captured(version: str) -> list[Path]:
    """Return the rollouts that one version wrote."""
    return sorted((FOLDER / version).glob("rollout-*.jsonl"))


def lines_of(path: Path) -> list[Line]:
    """Return a file's lines."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def imported(files: Iterable[Sequence[Line]]) -> tuple[CodexReader, list[AgentEvent]]:
    """Return what one import makes of rollouts, read in this order."""
    reader, made = CodexReader(tenant=DEFAULT_TENANT, now_ms=NOW_MS), list[AgentEvent]()
    for place, lines in enumerate(files):
        reader.open(f"rollout-{place}", session_id=f"rollout-{place}")
        for number, line in enumerate(lines, start=1):
            made += reader.line(json.dumps(line).encode() + b"\n", number)
        made += reader.close()
    return reader, [*made, *reader.finish()]


class Turn(Struct, frozen=True, kw_only=True):
    """A prompt and the answers to it; each but the last calls a tool."""

    number: int
    text: str
    answers: tuple[int, ...]
    """The output of each answer; what goes in is a hundred times that, half of it cached."""
    began_ms: int

    @property
    def turn_id(self) -> str:
        """An id that holds its time, as Codex gives it."""
        return _uuid7(self.began_ms, self.number)


class Thread(Struct, frozen=True, kw_only=True):
    """A thread: what it was forked from and after how many turns, and its own turns."""

    number: int
    began_ms: int
    turns: tuple[Turn, ...]
    parent: "Thread | None" = None
    kept: tuple[Turn, ...] = ()
    """The turns that it has from its parent."""

    @property
    def thread_id(self) -> str:
        """Its id."""
        return _uuid7(self.began_ms, 0xF000 + self.number)


class Form(Struct, frozen=True, kw_only=True):
    """How a version writes."""

    turn_ids: bool = True
    copies: bool = True
    records: bool = False


def written(thread: Thread, form: Form) -> list[Line]:
    """Return the lines of a thread's rollout."""
    line = thread.parent
    made = [_head(thread, thread.began_ms)]
    total = [0, 0, 0]
    if form.copies:
        while line is not None:
            made.append(_head(line, thread.began_ms))
            line = line.parent
    for turn in thread.kept:
        told = _turn(turn, form, total)
        if form.copies:
            made += [{**each, "timestamp": _stamp(thread.began_ms + 1)} for each in told]
    for turn in thread.turns:
        made += _turn(turn, form, total)
    return made


def logged(thread: Thread) -> list[AgentEvent]:
    """Return what a thread's own telemetry tells while it runs."""
    records = []
    for turn in thread.turns:
        asked: dict[str, object] = {"conversation.id": thread.thread_id, "model": MODEL}
        stamp = {"event.timestamp": _stamp(turn.began_ms)}
        records.append(
            log("codex.user_prompt", {**asked, **stamp, "prompt_length": len(turn.text)})
        )
        for place, output in enumerate(turn.answers):
            stamp = {"event.timestamp": _stamp(turn.began_ms + 100 * place + 50)}
            counts = {"input_token_count": 100 * output, "cached_token_count": 50 * output,
                      "output_token_count": output}  # fmt: skip
            kind = {"event.kind": "response.completed"}
            records.append(log("codex.sse_event", {**asked, **stamp, **kind, **counts}))
            if place + 1 < len(turn.answers):
                ran = {"call_id": _call(turn, place), "tool_name": "shell", "success": "true"}
                records.append(log("codex.tool_result", {**asked, **stamp, **ran}))
    return list(taken(OtlpSignal.LOGS, records, {"service.name": "codex_exec"}).events)


def _head(thread: Thread, at_ms: int) -> Line:
    payload = {"id": thread.thread_id, "timestamp": _stamp(thread.began_ms), "cwd": "/home/dev/a"}
    if thread.parent is not None:
        payload["forked_from_id"] = thread.parent.thread_id
    return {"timestamp": _stamp(at_ms), "type": "session_meta", "payload": payload}


def _turn(turn: Turn, form: Form, total: list[int]) -> list[Line]:
    """Return the lines of a turn; `total` is the thread's running one, which goes on."""
    named = {"turn_id": turn.turn_id} if form.turn_ids else {}
    at_ms = turn.began_ms
    made = [_line(at_ms, "event_msg", {"type": "task_started", **named})] if named else []
    made.append(_line(at_ms, "event_msg", {"type": "user_message", "message": turn.text}))
    made.append(_line(at_ms, "turn_context", {"model": MODEL, **named}))
    for place, output in enumerate(turn.answers):
        at_ms = turn.began_ms + 100 * place + 50
        last = [100 * output, 50 * output, output]
        told = {"last_token_usage": _counts(total), "total_token_usage": _counts(total)}
        if any(total):
            made.append(_line(at_ms, "event_msg", {"type": "token_count", "info": told}))
        total[:] = [a + b for a, b in zip(total, last, strict=True)]
        calls = place + 1 < len(turn.answers)
        key = {"call_id": _call(turn, place)}
        if calls:
            call = {"type": "function_call", "name": "shell", "arguments": "{}", **key}
            made.append(_line(at_ms, "response_item", call))
        said = {"type": "agent_message", "message": f"answer {place} of {turn.number}"}
        made.append(_line(at_ms, "event_msg", said))
        if form.records:
            used = {"thread_token_usage": _counts(total), "usage": _counts(last)}
            made.append(_line(at_ms, "token_usage_record", used))
        told = {"last_token_usage": _counts(last), "total_token_usage": _counts(total)}
        made.append(_line(at_ms, "event_msg", {"type": "token_count", "info": told}))
        if calls:
            done = {"type": "function_call_output", "output": "ok", **key}
            made.append(_line(at_ms + 20, "response_item", done))
    return made


def _line(at_ms: int, kind: str, payload: Line) -> Line:
    return {"timestamp": _stamp(at_ms), "type": kind, "payload": payload}


def _counts(given: Sequence[int]) -> Line:
    return {
        "input_tokens": given[0],
        "cached_input_tokens": given[1],
        "output_tokens": given[2],
        "total_tokens": given[0] + given[2],
    }


def _call(turn: Turn, place: int) -> str:
    return f"call_5e1f0b{turn.number:04d}{place:02d}c9d1"


def _stamp(at_ms: int) -> str:
    at = datetime.fromtimestamp(at_ms / 1000, tz=UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _uuid7(at_ms: int, number: int) -> str:
    return str(uuid.UUID(int=(at_ms << 80) | (7 << 76) | (2 << 62) | number))
