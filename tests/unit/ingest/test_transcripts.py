"""Transcripts: each fact counted once, bad lines told, growth sent again."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.contracts import events
from analytics.contracts.agent_events import (
    AgentEvent,
    AgentFinished,
    AgentObserved,
    AgentStarted,
    ContextCompacted,
    PromptSubmitted,
    RequestFailed,
    RequestFinished,
    SessionEnded,
    SessionStarted,
    ToolDecided,
    ToolFinished,
    ToolStarted,
)
from analytics.contracts.ids import DEFAULT_TENANT
from gateway.transcripts.reader import ENDED_AFTER_MS, TranscriptReader
from gateway.transcripts.totals import Totals
from tests.support.ingest import of_kind

FAR_MS = 4_000_000_000_000
T = "2026-01-01T00:00:{:02d}.000Z"


def told(
    *files: Sequence[dict[str, Any] | bytes], now_ms: int = FAR_MS, keep_content: bool = False
) -> tuple[list[AgentEvent], Totals]:
    """Return what lines, file by file, become."""
    reader = TranscriptReader(tenant=DEFAULT_TENANT, now_ms=now_ms, keep_content=keep_content)
    made: list[AgentEvent] = []
    for index, lines in enumerate(files):
        reader.open(f"f{index}", session_id=f"file-{index}")
        for number, line in enumerate(lines, start=1):
            raw = line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n"
            made += reader.line(raw, number)
        made += reader.close()
    return [*made, *reader.finish()], reader.totals


def answer(uuid: str, output: int, second: int = 1, **fields: Any) -> dict[str, Any]:
    message: dict[str, Any] = {"id": "m-1", "role": "assistant", "model": "claude-sonnet-4-5"}
    message |= {"usage": {"input_tokens": 3, "output_tokens": output, "cache_read_input_tokens": 5,
                          "cache_creation_input_tokens": 7}}  # fmt: skip
    message |= {"content": [{"type": "text", "text": "secret"}], **fields.pop("message", {})}
    return {"type": "assistant", "uuid": uuid, "timestamp": T.format(second), "sessionId": "s-1",
            "requestId": "r-1", "message": message, **fields}  # fmt: skip


def asked(uuid: str, content: object, second: int = 0, **fields: Any) -> dict[str, Any]:
    return {"type": "user", "uuid": uuid, "timestamp": T.format(second), "sessionId": "s-1",
            "cwd": "/home/ada/shop", "version": "2.1.0",
            "message": {"role": "user", "content": content}, **fields}  # fmt: skip


def tool_use(tool: str, given: object) -> list[dict[str, Any]]:
    return [{"type": "tool_use", "id": "t-1", "name": tool, "input": given}]


def tool_result(content: object, **fields: Any) -> list[dict[str, Any]]:
    return [{"type": "tool_result", "tool_use_id": "t-1", "content": content, **fields}]


def test_the_last_usage_of_a_pair_counts() -> None:
    made, totals = told([answer("u-1", 1), answer("u-2", 8, 2), answer("u-3", 31, 3)])

    (event,) = of_kind(RequestFinished, made)
    assert (event.output_tokens, event.input_tokens) == (31, 3)
    assert (event.cache_read_tokens, event.cache_write_tokens) == (5, 7)
    assert (event.request_id, event.query_source) == ("r-1", "main")
    assert (totals.requests, totals.spent.output_tokens) == (1, 31)


def test_a_pair_that_has_grown_is_sent_again_under_a_new_id() -> None:
    before, _ = told([answer("u-1", 1)])
    after, _ = told([answer("u-1", 1), answer("u-2", 31, 2)])

    (small,) = of_kind(RequestFinished, before)
    (grown,) = of_kind(RequestFinished, after)
    assert small.id != grown.id
    assert small.request_id == grown.request_id


def test_a_session_that_repeats_another_counts_only_what_is_new() -> None:
    first = [asked("u-0", "hello"), answer("u-1", 31)]
    fork = [{**line, "sessionId": "s-2"} for line in first]
    new = answer("u-9", 5, 9, sessionId="s-2", requestId="r-2", message={"id": "m-2"})

    made, totals = told(first, [*fork, new])

    assert (totals.requests, totals.prompts, totals.spent.output_tokens) == (2, 1, 36)
    by_session = {event.session_id: event.output_tokens for event in of_kind(RequestFinished, made)}
    assert by_session == {"s-1": 31, "s-2": 5}


def test_a_pair_that_grows_in_another_sessions_file_is_told_of_both() -> None:
    made, totals = told([answer("u-1", 3)], [answer("u-2", 31, 2, sessionId="s-2")])

    assert totals.spent.output_tokens == 31
    assert [event.session_id for event in of_kind(RequestFinished, made)] == [
        "s-1",
        "s-1",
        "s-2",
    ]


def test_lines_without_a_request_go_by_message_and_then_by_line() -> None:
    by_message = [answer(uuid, 5, requestId=None) for uuid in ("u-1", "u-2")]
    by_line = [answer(uuid, 5, requestId=None, message={"id": None}) for uuid in ("u-3", "u-4")]

    _, totals = told([*by_message, *by_line])

    assert totals.requests == 3


def test_a_torn_last_line_is_told_and_counts_once_it_is_whole() -> None:
    whole = json.dumps(answer("u-2", 31, 2)).encode()

    _, torn = told([answer("u-1", 3), whole[:40]])
    _, later = told([answer("u-1", 3), whole])

    assert {str(reason): number for reason, number in torn.skipped.items()} == {"torn-last-line": 1}
    assert (torn.spent.output_tokens, later.spent.output_tokens) == (3, 31)


def test_a_tool_call_has_a_beginning_an_end_and_a_duration() -> None:
    patch = {"structuredPatch": [{"lines": ["+a", "+b", "-c"]}]}
    made, _ = told(
        [
            answer("u-1", 3, 1, message={"content": tool_use("Edit", {"b": 1, "a": 2})}),
            asked("u-2", tool_result("ok"), 4, toolUseResult=patch),
        ]
    )

    (started,) = of_kind(ToolStarted, made)
    (finished,) = of_kind(ToolFinished, made)
    assert (started.tool, started.tool_use_id) == ("Edit", "t-1")
    assert (finished.tool, finished.duration_ms, finished.succeeded) == ("Edit", 3_000, True)
    assert (finished.lines_added, finished.lines_removed) == (2, 1)
    assert started.input_digest == finished.input_digest != ""
    assert of_kind(PromptSubmitted, made) == []


def test_a_tool_call_that_failed_and_one_that_was_not_allowed() -> None:
    def result(text: str) -> list[AgentEvent]:
        call = answer("u-1", 3, 1, message={"content": tool_use("Bash", {})})
        return told([call, asked("u-2", tool_result(text, is_error=True), 4)])[0]

    (failed,) = of_kind(ToolFinished, result("exit 1\nmore"))
    (refused,) = of_kind(ToolDecided, result("The user doesn't want to proceed with this"))
    assert (failed.succeeded, failed.error) == (False, "exit 1")
    assert (refused.accepted, refused.tool) == (False, "Bash")


@pytest.mark.parametrize(
    ("content", "fields"),
    [
        ("Caveat: The messages below were generated", {}),
        ("<local-command-stdout>x</local-command-stdout>", {}),
        ("hello", {"isMeta": True}),
        ("summary of it", {"isCompactSummary": True}),
        ("[Request interrupted by user]", {}),
        ([], {}),
    ],
)
def test_lines_that_nobody_asked_with_are_no_prompts(
    content: object, fields: dict[str, Any]
) -> None:
    _, totals = told([asked("u-1", content, **fields)])

    assert totals.prompts == 0


def test_a_prompt_has_its_length_its_command_and_its_place() -> None:
    text = "<command-name>/review</command-name> the cart"
    made, _ = told([asked("u-1", text)])
    kept, _ = told([asked("u-1", text)], keep_content=True)

    (prompt,) = of_kind(PromptSubmitted, made)
    assert (prompt.length, prompt.command, prompt.text) == (len(text), "review", "")
    assert (prompt.project, prompt.version, prompt.message_id) == ("shop", "2.1.0", "u-1")
    assert of_kind(PromptSubmitted, kept)[0].text == text


def test_a_session_and_a_subagent_begin_and_end() -> None:
    side = {"isSidechain": True}
    made, totals = told(
        [
            asked("u-0", "hello"),
            asked("u-1", "look for it", 1, **side),
            answer(
                "u-2", 3, 2, parentUuid="u-1", **side, message={"content": tool_use("Grep", {})}
            ),
            asked("u-3", tool_result("found"), 5, parentUuid="u-2", **side),
        ]
    )

    (begun,) = of_kind(AgentStarted, made)
    (ended,) = of_kind(AgentFinished, made)
    (request,) = of_kind(RequestFinished, made)
    assert begun.agent_id == ended.agent_id == request.agent_id == "u-1"
    assert (ended.duration_ms, ended.tools, request.query_source) == (4_000, 1, "subagent")
    assert totals.prompts == 1
    (started,) = of_kind(SessionStarted, made)
    (over,) = of_kind(SessionEnded, made)
    assert (started.cwd, over.at_ms - started.at_ms) == ("/home/ada/shop", 5_000)


def test_a_session_whose_last_line_is_fresh_has_not_ended() -> None:
    last_ms = 1_767_225_600_000

    fresh, _ = told([asked("u-0", "hello")], now_ms=last_ms + ENDED_AFTER_MS - 1)
    past, _ = told([asked("u-0", "hello")], now_ms=last_ms + ENDED_AFTER_MS)

    assert of_kind(SessionEnded, fresh) == []
    assert len(of_kind(SessionEnded, past)) == 1


def test_an_error_in_a_models_place_is_a_failure() -> None:
    content = [{"type": "text", "text": "API Error: 529 overloaded"}]
    message = {"model": "<synthetic>", "content": content}

    made, totals = told([answer("u-1", 0, isApiErrorMessage=True, message=message)])

    (failed,) = of_kind(RequestFailed, made)
    assert (failed.kind, failed.model) == ("overloaded", "")
    assert (totals.failures, totals.requests) == (1, 0)


def test_what_the_agent_wrote_in_a_models_place_is_no_answer() -> None:
    _, totals = told([answer("u-1", 0, message={"model": "<synthetic>"})])

    assert totals.requests == 0
    assert totals.uncounted == {"<synthetic>": 1}


def test_lines_without_a_name_are_told_apart_by_what_they_say() -> None:
    line = {"type": "system", "timestamp": T.format(1), "sessionId": "s-1", "subtype": "x"}

    made, _ = told(
        [{**line, "level": "info"}, {**line, "level": "warn"}, {**line, "level": "warn"}]
    )

    assert len({event.id for event in of_kind(AgentObserved, made)}) == 2


def test_lines_about_the_session_itself_are_kept() -> None:
    line = {"type": "system", "timestamp": T.format(1), "sessionId": "s-1", "uuid": "u-1"}
    squeezed = {"trigger": "auto", "preTokens": 900}

    made, _ = told(
        [
            {**line, "subtype": "compact_boundary", "compactMetadata": squeezed},
            {**line, "uuid": "u-2", "subtype": "turn_duration", "durationMs": 5, "content": "x"},
        ]
    )

    (compacted,) = of_kind(ContextCompacted, made)
    (observed,) = of_kind(AgentObserved, made)
    assert (compacted.trigger, compacted.before_tokens) == ("auto", 900)
    assert observed.name == "transcript.system.turn_duration"
    assert observed.attributes == {"durationMs": 5, "content.length": 1}


@settings(max_examples=80, deadline=None)
@given(outputs=st.lists(st.integers(0, 9_999), min_size=1, max_size=6), copies=st.integers(1, 3))
def test_lines_of_a_pair_count_once_however_often_their_file_is_copied(
    outputs: list[int], copies: int
) -> None:
    lines = [answer(f"u-{index}", output) for index, output in enumerate(sorted(outputs))]

    made, totals = told(*[lines] * copies)

    assert totals.spent.output_tokens == max(outputs)
    assert len({event.id for event in of_kind(RequestFinished, made)}) == 1


@settings(max_examples=150, deadline=None)
@given(raw=st.binary(max_size=80))
def test_any_bytes_are_a_line_or_a_bad_one(raw: bytes) -> None:
    made, totals = told([raw])

    assert totals.lines == (1 if raw.strip() else 0)
    assert made == [] or totals.skipped == {}


line_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["type", "id", "content", "text", "usage", "name", "input", "tool_use_id",
                         "output_tokens", "structuredPatch", "lines", "role", "model"]),
        inner, max_size=5,
    ),
    max_leaves=10,
)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(
    kind=st.sampled_from(["user", "assistant", "system"]),
    fields=st.dictionaries(
        st.sampled_from(["message", "uuid", "sessionId", "requestId", "cwd", "toolUseResult",
                         "isSidechain", "agentId", "costUSD", "subtype", "compactMetadata"]),
        line_values, max_size=6,
    ),
)  # fmt: skip
def test_any_line_becomes_events_that_pass_their_contract(
    kind: str, fields: dict[str, object]
) -> None:
    made, _ = told([{**fields, "type": kind, "timestamp": T.format(0)}])

    for event in made:
        assert events.decode(events.encode(event)) == event
