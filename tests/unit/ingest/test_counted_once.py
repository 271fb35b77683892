"""What the ingest paths tell of the same facts, folded by the core: each counts once."""

import json

import pytest

from analytics.contracts.agent_events import AgentEvent
from analytics.contracts.ids import DEFAULT_TENANT
from analytics.measures.rows import Measures
from gateway.hooks.claude_code import read_hook
from gateway.otlp.intake import OtlpSignal
from gateway.transcripts.reader import TranscriptReader
from tests.support.facts import arrivals
from tests.support.folding import fold_all
from tests.support.ingest import DATA, NOW_MS, log, metric, point, span, taken

FILES = sorted((DATA / "transcripts").glob("*.jsonl"))
RESOURCE = {"service.name": "claude-code"}


def imported(reader: TranscriptReader) -> list[AgentEvent]:
    made: list[AgentEvent] = []
    for file in FILES:
        reader.open(str(file), session_id=file.stem)
        with file.open("rb") as lines:
            for number, raw in enumerate(lines, start=1):
                made += reader.line(raw, number)
        made += reader.close()
    return [*made, *reader.finish()]


def folded(*batches: list[AgentEvent]) -> Measures:
    """Return what all sessions add up to once the batches are folded, one after the other."""
    number = 0
    logs = []
    for batch in batches:
        logs.append(arrivals(batch, first_offset=number, received_ms=NOW_MS))
        number += len(batch)
    rows = fold_all(logs, now_ms=NOW_MS).sessions.values()
    return Measures(
        *(sum(getattr(row.totals, name) for row in rows) for name in Measures.__struct_fields__)
    )


@pytest.mark.requirement("import-idempotent")
@pytest.mark.parametrize("times", [1, 2, 3])
def test_the_core_counts_of_an_import_what_the_import_says(times: int) -> None:
    readers = [TranscriptReader(tenant=DEFAULT_TENANT, now_ms=NOW_MS) for _ in range(times)]

    measures = folded(*(imported(reader) for reader in readers))

    totals = readers[0].totals
    assert measures.calls == totals.requests == 18
    assert measures.prompts == totals.prompts
    assert measures.input_tokens == totals.spent.input_tokens
    assert measures.output_tokens == totals.spent.output_tokens
    assert measures.sessions == totals.sessions


@pytest.mark.requirement("counted-once-by-id")
def test_a_request_told_by_log_span_metric_and_transcript_counts_once() -> None:
    given: dict[str, object] = {
        "session.id": "s-1",
        "request_id": "req_1",
        "model": "claude-sonnet-4-5",
        "input_tokens": 10,
        "output_tokens": 20,
        "cache_read_tokens": 30,
        "cache_creation_tokens": 40,
    }
    counted = metric("claude_code.token.usage", "sum", [point(20, {**given, "type": "output"})])
    usage = {"input_tokens": 10, "output_tokens": 20, "cache_read_input_tokens": 30,
             "cache_creation_input_tokens": 40}  # fmt: skip
    line = {
        "type": "assistant",
        "uuid": "u-1",
        "sessionId": "s-1",
        "requestId": "req_1",
        "timestamp": "2026-01-01T00:00:00Z",
        "message": {"id": "m-1", "model": "claude-sonnet-4-5", "content": "x", "usage": usage},
    }
    reader = TranscriptReader(tenant=DEFAULT_TENANT, now_ms=NOW_MS)
    reader.open("f", session_id="s-1")
    reader.line(json.dumps(line).encode(), 1)

    measures = folded(
        list(taken(OtlpSignal.TRACES, [span("claude_code.llm_request", given)], RESOURCE).events),
        list(
            taken(
                OtlpSignal.LOGS, [log("api_request", {**given, "cost_usd": 0.5})], RESOURCE
            ).events
        ),
        list(taken(OtlpSignal.METRICS, [counted], RESOURCE).events),
        reader.close(),
    )

    assert (measures.calls, measures.input_tokens, measures.output_tokens) == (1, 10, 20)
    assert (measures.cache_read_tokens, measures.cache_write_tokens) == (30, 40)
    assert (measures.cost_nanousd, measures.cost_estimated_nanousd) == (500_000_000, 0)
    assert measures.usage_output_tokens == 20


def test_a_tool_call_told_by_hooks_and_log_counts_once() -> None:
    hook = {
        "hook_event_name": "PostToolUse",
        "session_id": "s-1",
        "tool_use_id": "t-1",
        "tool_name": "Edit",
        "tool_input": {"file_path": "a"},
        "tool_response": {"structuredPatch": [{"lines": ["+a", "-b", "+c"]}]},
    }
    told: dict[str, object] = {
        "session.id": "s-1",
        "tool_use_id": "t-1",
        "tool_name": "Edit",
        "success": "true",
        "duration_ms": 5,
    }
    by_hook = read_hook(json.dumps(hook).encode(), tenant=DEFAULT_TENANT, received_ms=NOW_MS)
    by_log = taken(OtlpSignal.LOGS, [log("tool_result", told)], RESOURCE).events

    measures = folded(list(by_hook), list(by_log), list(by_hook))

    assert (measures.tool_calls, measures.tool_errors) == (1, 0)
    assert (measures.lines_added, measures.lines_removed) == (2, 1)


def test_a_prompt_told_by_hook_and_log_counts_once() -> None:
    hook = {
        "hook_event_name": "UserPromptSubmit",
        "session_id": "s-1",
        "prompt_id": "p-1",
        "prompt": "hi",
    }
    told: dict[str, object] = {"session.id": "s-1", "prompt.id": "p-1", "prompt_length": 2}
    by_hook = read_hook(json.dumps(hook).encode(), tenant=DEFAULT_TENANT, received_ms=NOW_MS)
    by_log = taken(OtlpSignal.LOGS, [log("user_prompt", told)], RESOURCE).events

    assert folded(list(by_hook), list(by_log)).prompts == 1
