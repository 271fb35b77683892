"""Gemini CLI's chats as two genuine versions wrote them, and made ones: each counts once."""

import itertools
import json
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.contracts.agent_events import (
    AgentEvent,
    ContextCompacted,
    PromptSubmitted,
    RequestFinished,
    SessionStarted,
    ToolDecided,
    ToolFinished,
)
from analytics.contracts.ids import DEFAULT_TENANT
from analytics.measures.rows import Measures
from apps.transcripts.files import found, lines
from gateway.otlp.intake import OtlpSignal, read
from gateway.transcripts.gemini import GeminiReader
from tests.support.facts import arrivals
from tests.support.folding import fold_all
from tests.support.ingest import DATA
from tests.support.rollouts import NOW_MS

FOLDER = DATA / "chats"
OWN = {"0.20.0": [975, 978, 984, 987], "0.61.0": [1_080, 1_083, 1_110, 1_113, 1_119]}
"""The total that Gemini itself says of each answer."""
Record = dict[str, object]


def imported(folder: Path) -> tuple[GeminiReader, list[AgentEvent]]:
    """Return what an import of a folder makes of it."""
    reader, made = GeminiReader(tenant=DEFAULT_TENANT, now_ms=NOW_MS), list[AgentEvent]()
    for chat in found([folder]).transcripts:
        reader.open(str(chat.path), session_id=chat.session_id, agent_id=chat.agent_id)
        for number, raw in enumerate(lines(chat.path), start=1):
            made += reader.line(raw, number)
        made += reader.close()
    return reader, [*made, *reader.finish()]


def read_records(
    *files: Iterable[Record], agent_id: str = ""
) -> tuple[GeminiReader, list[AgentEvent]]:
    reader, made = GeminiReader(tenant=DEFAULT_TENANT, now_ms=NOW_MS), list[AgentEvent]()
    for records in files:
        reader.open("f", session_id="of-the-file", agent_id=agent_id)
        for number, record in enumerate(records, start=1):
            made += reader.line(json.dumps(record).encode() + b"\n", number)
    return reader, made


def live() -> list[AgentEvent]:
    body = (FOLDER / "0.61.0" / "otlp_logs.json").read_bytes()
    told = read(OtlpSignal.LOGS, body, as_json=True, tenant=DEFAULT_TENANT, received_ms=NOW_MS)
    return list(told.events)


def folded(*batches: list[AgentEvent]) -> Measures:
    number, logs = 0, []
    for batch in batches:
        logs.append(arrivals(batch, first_offset=number, received_ms=NOW_MS))
        number += len(batch)
    rows = fold_all(logs, now_ms=NOW_MS).sessions.values()
    names = Measures.__struct_fields__
    return Measures(*(sum(getattr(row.totals, name) for row in rows) for name in names))


@pytest.mark.requirement("one-identity")
@pytest.mark.parametrize("version", OWN)
def test_each_answer_comes_to_what_gemini_itself_counted(version: str) -> None:
    reader, events = imported(FOLDER / version)

    totals = [
        event.input_tokens + event.cache_read_tokens + event.output_tokens
        for event in events
        if isinstance(event, RequestFinished)
    ]
    assert sorted(totals) == sorted(OWN[version])
    assert reader.totals.spent.requests == len(totals)
    assert not reader.totals.skipped


def test_prompts_and_tools_are_told_and_what_a_resume_writes_anew_is_not() -> None:
    reader, events = imported(FOLDER / "0.61.0")

    prompts = [event.length for event in events if isinstance(event, PromptSubmitted)]
    tools = [event for event in events if isinstance(event, ToolFinished)]
    assert prompts == [20, 15, 11, 12]
    assert [(tool.tool, tool.succeeded) for tool in tools] == [
        ("list_directory", True),
        ("read_file", False),
    ]
    started = [event for event in events if isinstance(event, SessionStarted)]
    assert [event.project for event in started] == ["plant"] * 3
    assert reader.totals.sessions == 3
    assert not any(event.text for event in events if isinstance(event, PromptSubmitted))


@pytest.mark.requirement("one-identity")
def test_live_telemetry_and_the_import_of_the_same_sessions_count_once() -> None:
    _, events = imported(FOLDER / "0.61.0")

    alone, after, before = folded(live()), folded(live(), events), folded(events, live())

    for measure in ("input_tokens", "cache_read_tokens", "output_tokens", "prompts", "sessions",
                    "tool_calls", "tool_errors", "calls", "call_errors"):  # fmt: skip
        told = getattr(alone, measure)
        assert (getattr(after, measure), getattr(before, measure)) == (told, told), measure


def head(session: str = "6f1c0a52-0001", **more: object) -> Record:
    began = "2026-11-30T10:00:00.000Z"
    return {"sessionId": session, "projectHash": "ab", "startTime": began, "kind": "main", **more}


def message(kind: str, number: int, **more: object) -> Record:
    at = f"2026-11-30T10:00:{number:02d}.000Z"
    return {"id": f"5b0f7c1e-{number:04d}", "timestamp": at, "type": kind, **more}


def tokens(number: int) -> Record:
    return {"input": 10 * number, "output": number, "cached": number, "thoughts": 0, "tool": 0,
            "total": 11 * number}  # fmt: skip


def answered(number: int, **more: object) -> Record:
    return message(
        "gemini", number, content="x", model="gemini-3-pro", tokens=tokens(number), **more
    )


@given(
    numbers=st.lists(st.integers(1, 5), min_size=1, max_size=6),
    order=st.randoms(use_true_random=False),
    old=st.booleans(),
)
def test_messages_told_again_in_any_way_add_nothing(
    numbers: list[int], order: object, *, old: bool
) -> None:
    assert hasattr(order, "shuffle")
    every = [answered(number) for number in numbers]
    again = list(every)
    order.shuffle(again)
    bare = [{key: value for key, value in one.items() if key != "tokens"} for one in every]
    document: list[Record] = [{**head(), "messages": every}]
    anew: Record = {"$set": {"messages": bare}}
    chat: list[Record] = [head(), *every, anew, *again, {"$set": {"messages": every}}]

    reader, made = read_records(*([document, chat] if old else [chat, document]))

    known = set(numbers)
    assert reader.totals.requests == len(known)
    assert reader.totals.spent.output_tokens == sum(known)
    assert folded(made, made).output_tokens == sum(known)


def test_other_tokens_under_one_id_are_another_request() -> None:
    first = answered(1)

    reader, _ = read_records([head(), first, {**first, "tokens": tokens(2)}])

    assert (reader.totals.requests, reader.totals.spent.output_tokens) == (2, 3)


def test_a_subagents_chat_belongs_to_the_session_that_its_folder_names(tmp_path: Path) -> None:
    folder = tmp_path / "tmp" / "plant" / "chats"
    (folder / "6f1c0a52-0001").mkdir(parents=True)
    asked = message("user", 1, content=[{"text": "look"}])
    for path, session in ((folder / "session-a.jsonl", "6f1c0a52-0001"),
                          (folder / "6f1c0a52-0001" / "helper-1.jsonl", "helper-1")):  # fmt: skip
        records = [head(session), {**asked, "id": session}, answered(len(session))]
        path.write_text("".join(json.dumps(record) + "\n" for record in records))

    reader, events = imported(tmp_path)

    requests = [event for event in events if isinstance(event, RequestFinished)]
    assert {event.session_id for event in events} == {"6f1c0a52-0001"}
    assert [event.query_source for event in requests] == ["subagent", "main"]
    assert (reader.totals.sessions, reader.totals.prompts) == (1, 1)


def test_what_a_person_refused_and_a_summary_are_no_calls_and_no_prompts() -> None:
    call = {"id": "a-1", "name": "shell", "args": {}, "status": "cancelled"}
    summary = message("user", 2, content=[{"text": "<state_snapshot>short</state_snapshot>"}])

    _, events = read_records([head(), answered(1, toolCalls=[call]), summary])

    assert [event.tool for event in events if isinstance(event, ToolDecided)] == ["shell"]
    assert not any(isinstance(event, ToolFinished | PromptSubmitted) for event in events)
    assert sum(isinstance(event, ContextCompacted) for event in events) == 1


@pytest.mark.parametrize(
    ("raw", "skipped"),
    [
        (b"[]\n", {"not-an-object": 1}),
        (b"{\n", {"not-json": 1}),
        (b'{"id":"x"}\n', {"no-type": 1}),
        (b'{"type":"gemini","tokens":{}}\n', {"no-timestamp": 1}),
        (b'{"$rewindTo":"x"}\n', {}),
        (b'{"type":"info","content":"x"}\n', {}),
        (b'{"$set":{"messages":[1,{"type":"user"},null]}}\n', {}),
        (b'{"type":"gemini","timestamp":"2026-11-30","toolCalls":[1,{}],"tokens":3}\n', {}),
    ],
)  # fmt: skip
def test_odd_records_are_named_or_passed_over(raw: bytes, skipped: dict[str, int]) -> None:
    reader = GeminiReader(tenant=DEFAULT_TENANT, now_ms=NOW_MS)
    reader.open("f", session_id="s")

    reader.line(raw, 1)

    assert {str(key): number for key, number in reader.totals.skipped.items()} == skipped
    assert reader.totals.requests == 0


def test_two_prompts_of_a_session_without_a_terminal_are_two_live_too() -> None:
    told = [event for event in live() if isinstance(event, PromptSubmitted)]
    pairs = itertools.groupby(sorted(event.session_id for event in told))

    assert [len(list(group)) for _, group in pairs] == [1, 1, 2]
    assert folded(live()).prompts == 4
