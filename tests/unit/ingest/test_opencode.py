"""opencode's history as two genuine versions keep it, and made ones: each fact counts once."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.contracts.agent_events import (
    AgentEvent,
    ContextCompacted,
    PromptSubmitted,
    RequestFailed,
    RequestFinished,
    SessionStarted,
    ToolDecided,
    ToolFinished,
)
from apps.transcripts import opencode
from apps.transcripts.files import found
from tests.support.facts import arrivals
from tests.support.folding import fold_all
from tests.support.opencode import FOLDER, database, imported, read_messages, storage
from tests.support.rollouts import NOW_MS

Row = dict[str, Any]
BEGAN_MS = 1_796_000_000_000


def genuine() -> dict[str, list[Row]]:
    rows: dict[str, list[Row]] = json.loads((FOLDER / "1.18.33.json").read_text())["rows"]
    return rows


@pytest.mark.requirement("one-identity")
def test_a_database_comes_to_what_opencode_itself_counted_less_what_forks_copied(
    tmp_path: Path,
) -> None:
    rows = genuine()
    own = {  # by what copies keep
        (data["time"]["created"], data["time"]["completed"]): data
        for data in (json.loads(row["data"]) for row in rows["message"])
        if data["role"] == "assistant"
    }

    reader, events = imported([database(tmp_path / "opencode.db")])

    spent = reader.totals.spent
    tokens = [data["tokens"] for data in own.values()]
    assert spent.input_tokens == sum(one["input"] for one in tokens) == 4_800
    assert spent.output_tokens == sum(one["output"] + one["reasoning"] for one in tokens)
    assert spent.cache_read_tokens == sum(one["cache"]["read"] for one in tokens)
    assert spent.reported_nanousd == round(sum(data["cost"] for data in own.values()) * 10**9)
    assert reader.totals.sessions == len(rows["session"]) == 5
    assert reader.totals.prompts == sum(isinstance(e, PromptSubmitted) for e in events) == 6
    assert reader.totals.failures == sum(isinstance(e, RequestFailed) for e in events) == 1


def test_tools_that_ran_and_one_that_was_refused_are_told(tmp_path: Path) -> None:
    _, events = imported([database(tmp_path / "opencode.db")])

    assert [(e.tool, e.succeeded) for e in events if isinstance(e, ToolFinished)] == [
        ("bash", True)
    ]
    assert [(e.tool, e.accepted) for e in events if isinstance(e, ToolDecided)] == [("read", False)]
    assert {e.project for e in events if isinstance(e, SessionStarted)} == {"plant"}
    assert {e.version for e in events if isinstance(e, SessionStarted)} == {"1.18.33"}
    assert not any(e.text for e in events if isinstance(e, PromptSubmitted))


def test_folders_of_older_versions_come_to_what_opencode_itself_says(tmp_path: Path) -> None:
    reader, events = imported([storage(tmp_path)])

    spent = reader.totals.spent
    assert (spent.input_tokens, spent.output_tokens, spent.cache_read_tokens) == (1_600, 155, 435)
    assert spent.reported_nanousd == 5_417_500
    totals = reader.totals
    assert (totals.sessions, totals.prompts) == (2, 2)
    assert (totals.tool_calls, totals.tool_calls_open) == (1, 1)
    assert [e.succeeded for e in events if isinstance(e, ToolFinished)] == [True]


def test_a_file_of_a_store_that_cannot_be_read_is_told_and_the_others_count(tmp_path: Path) -> None:
    folder = storage(tmp_path)
    message = sorted((folder / "message").rglob("*.json"))[1]
    message.unlink()
    message.mkdir()
    (message.parent / "broken.json").symlink_to(message)
    part = min((folder / "part").rglob("*.json"))
    part.write_bytes(b"torn")
    (message.parent / "torn.json").write_bytes(b"torn\n")

    reader, _ = imported([folder])

    assert sum(reader.totals.skipped.values()) == 1
    assert 0 < reader.totals.requests <= 2


def test_a_store_is_found_and_read_once_however_often_it_is_told(tmp_path: Path) -> None:
    database(tmp_path / "opencode.db")
    storage(tmp_path)

    every = found([tmp_path]).transcripts
    reader, events = imported([one.path for one in (*every, *reversed(every))])

    assert [(one.agent, one.path.name) for one in every] == [
        ("opencode", "opencode.db"),
        ("opencode", "storage"),
    ]
    assert all(one.size > 1_000 for one in every)
    assert reader.totals.requests == sum(isinstance(e, RequestFinished) for e in events) == 8
    assert reader.totals.sessions == 7


def answer(created_ms: int, output: int, *, session: str = "ses_a", **more: Any) -> Row:
    tokens = {"input": 10 * output, "output": output, "reasoning": 0,
              "cache": {"read": output, "write": 0}}  # fmt: skip
    message = {"id": f"msg_{session}_{created_ms}", "sessionID": session, "role": "assistant",
               "modelID": "tiny-1", "providerID": "fake", "cost": output / 1000, "tokens": tokens,
               "time": {"created": created_ms, "completed": created_ms + 5}, **more}  # fmt: skip
    return {"message": message, "parts": []}


@given(
    outputs=st.lists(st.integers(1, 3), min_size=1, max_size=5),
    forks=st.lists(st.integers(0, 5), max_size=3),
    order=st.randoms(use_true_random=False),
)
def test_forks_in_any_order_add_nothing(outputs: list[int], forks: list[int], order: Any) -> None:
    own = [answer(BEGAN_MS + 1_000 * place, output) for place, output in enumerate(outputs)]
    copies = [
        {**row, "message": {**row["message"], "id": f"msg_{fork}", "sessionID": f"ses_{fork}"}}
        for fork, kept in enumerate(forks)
        for row in own[:kept]
    ]
    every = [*own, *copies, *own]
    order.shuffle(every)

    reader, made = read_messages(*every)
    again = list(every)
    order.shuffle(again)
    _, more = read_messages(*again)

    assert (reader.totals.requests, reader.totals.spent.output_tokens) == (
        len(outputs),
        sum(outputs),
    )
    assert folded(made, more) == sum(outputs)


def folded(*batches: list[AgentEvent]) -> int:
    number, logs = 0, []
    for batch in batches:
        logs.append(arrivals(batch, first_offset=number, received_ms=NOW_MS))
        number += len(batch)
    rows = fold_all(logs, now_ms=NOW_MS).sessions.values()
    return sum(row.totals.output_tokens for row in rows)


def test_each_step_of_a_message_that_has_several_is_a_request() -> None:
    row = answer(BEGAN_MS, 2)
    tokens = row["message"]["tokens"]
    row["parts"] = [
        {"type": "step-finish", "reason": "tool-calls", "tokens": tokens, "cost": 0.25},
        {"type": "step-finish", "reason": "stop", "tokens": tokens, "cost": 0.5},
    ]

    reader, _ = read_messages(row)

    assert (reader.totals.requests, reader.totals.spent.output_tokens) == (2, 4)
    assert reader.totals.spent.reported_nanousd == 750_000_000


def test_a_cost_of_nothing_is_no_cost_that_it_knows() -> None:
    reader, made = read_messages(answer(BEGAN_MS, 2, cost=0))

    assert [e.cost_nanousd for e in made if isinstance(e, RequestFinished)] == [None]
    assert reader.totals.spent.unpriced == 1


def test_reasoning_that_the_total_shows_apart_is_part_of_the_output() -> None:
    cache = {"read": 5, "write": 0}
    apart = {"input": 10, "output": 3, "reasoning": 4, "cache": cache, "total": 22}
    inside = {"input": 10, "output": 7, "reasoning": 4, "cache": cache}

    _, made = read_messages(
        answer(BEGAN_MS, 1, tokens=apart), answer(BEGAN_MS + 1, 1, tokens=inside)
    )

    told = [(e.output_tokens, e.reasoning_tokens) for e in made if isinstance(e, RequestFinished)]
    assert told == [(7, 4), (7, 4)]


def test_what_a_subagent_is_asked_is_no_prompt_and_a_compaction_is_one() -> None:
    asked = {"role": "user", "time": {"created": BEGAN_MS}, "sessionID": "ses_b"}
    text = {"type": "text", "text": "look"}

    reader, made = read_messages(
        {"session": {"id": "ses_b", "parentID": "ses_a", "directory": "/home/dev/plant"}},
        {"message": asked, "parts": [text]},
        {"message": {**asked, "sessionID": "ses_a"}, "parts": [{**text, "synthetic": True}]},
        {"message": {**asked, "sessionID": "ses_a"}, "parts": [{"type": "compaction"}]},
        {"message": {**asked, "sessionID": "ses_a"}, "parts": [text]},
    )

    assert reader.totals.prompts == 1
    assert sum(isinstance(e, ContextCompacted) for e in made) == 1
    subagent = next(e for e in made if e.session_id == "ses_b")
    assert (subagent.agent_type, subagent.project) == ("subagent", "plant")


def test_a_stop_by_a_person_is_no_failure() -> None:
    reader, _ = read_messages(answer(BEGAN_MS, 1, error={"name": "MessageAbortedError"}))

    assert (reader.totals.failures, reader.totals.requests) == (0, 1)


@pytest.mark.parametrize(
    ("record", "skipped"),
    [
        ({}, {"no-type": 1}),
        ({"message": {"role": "assistant"}}, {"no-timestamp": 1}),
        ({"message": {"role": "else"}}, {"no-message": 1}),
        ({"session": None}, {}),
        ({"message": {"role": "user", "time": {"created": 1}}, "parts": [1, None, {}]}, {}),
    ],
)
def test_odd_records_are_named_or_passed_over(record: Row, skipped: dict[str, int]) -> None:
    reader, _ = read_messages(record)

    assert {str(key): number for key, number in reader.totals.skipped.items()} == skipped
    assert reader.totals.requests == 0


def test_a_row_that_is_no_json_is_named_and_its_neighbours_count(tmp_path: Path) -> None:
    rows = genuine()
    torn = {**rows["message"][0], "id": "msg_zzz", "data": '{"role": "assis'}
    torn_part = {**rows["part"][0], "id": "prt_zzz", "data": '{"type": "text", "te'}
    path = database(
        tmp_path / "opencode.db",
        {**rows, "message": [*rows["message"], torn], "part": [*rows["part"], torn_part]},
    )

    reader, _ = imported([path])

    assert {str(key): number for key, number in reader.totals.skipped.items()} == {
        "torn-last-line": 1
    }
    assert reader.totals.requests == 6


def test_a_message_whose_parts_are_too_large_loses_parts_and_not_its_tokens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opencode, "LINE_BYTES_MAX", 11_000)

    reader, _ = imported([database(tmp_path / "opencode.db")])

    assert reader.totals.requests == 6


def test_a_database_of_something_else_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "opencode.db"
    path.write_bytes(b"SQLite format 3\0 torn")

    with pytest.raises(OSError, match="no history of opencode"):
        imported([path])
