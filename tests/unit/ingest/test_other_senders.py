"""Codex CLI, Gemini CLI, and whoever follows the GenAI conventions."""

import pytest

from analytics.contracts.agent_events import (
    AgentFinished,
    AgentObserved,
    AgentStarted,
    ContextCompacted,
    ModeChanged,
    PromptSubmitted,
    RequestFailed,
    RequestFinished,
    SessionStarted,
    ToolDecided,
    ToolFinished,
    TurnFinished,
)
from analytics.contracts.facts import Source
from gateway.otlp.intake import Intake, OtlpSignal
from tests.support.ingest import log, only, span, taken

CODEX = {"service.name": "codex_cli_rs"}
GEMINI = {"service.name": "gemini-cli", "service.version": "0.9"}


def codex(name: str, given: dict[str, object], *, keep_content: bool = False) -> Intake:
    common = {"conversation.id": "c-1", "app.version": "0.50", "model": "gpt-5-codex"}
    record = log(f"codex.{name}", {**common, **given})
    return taken(OtlpSignal.LOGS, [record], CODEX, keep_content=keep_content)


def gemini(name: str, given: dict[str, object]) -> Intake:
    record = log(name, {"session.id": "g-1", **given}, body="A sentence for people.")
    return taken(OtlpSignal.LOGS, [record], GEMINI)


def genai(given: dict[str, object], **fields: object) -> Intake:
    return taken(OtlpSignal.TRACES, [span("chat gpt-5", given, **fields)])


@pytest.mark.parametrize("name", ["sse_event", "websocket_event"])
def test_codex_tells_its_tokens_when_a_response_is_completed(name: str) -> None:
    event = only(
        RequestFinished,
        codex(
            name,
            {
                "event.kind": "response.completed",
                "duration_ms": 0,
                "input_token_count": 1000,
                "cached_token_count": 900,
                "output_token_count": "50",
                "reasoning_token_count": 30,
                "tool_token_count": 1050,
            },
        ),
    )

    assert (event.input_tokens, event.cache_read_tokens) == (100, 900)
    assert (event.output_tokens, event.reasoning_tokens) == (50, 30)
    assert event.cost_nanousd is None
    assert (event.source, event.agent, event.session_id) == (Source.CODEX, "codex", "c-1")
    assert (event.version, event.model) == ("0.50", "gpt-5-codex")


def test_other_stream_events_of_codex_are_kept_and_not_counted() -> None:
    given: dict[str, object] = {"event.kind": "response.created", "input_token_count": 1000}

    event = only(AgentObserved, codex("sse_event", given))

    assert event.attributes["event.kind"] == "response.created"


def test_codex_requests_count_where_they_failed() -> None:
    worked = codex("api_request", {"http.response.status_code": 200, "success": "true"})
    failed = codex("api_request", {"http.response.status_code": "429", "attempt": 2})
    broken = codex("sse_event", {"event.kind": "response.failed", "error.message": "timed out"})

    assert isinstance(worked.events[0], AgentObserved)
    assert only(RequestFailed, failed).kind == "rate_limit"
    assert only(RequestFailed, failed).attempts == 2
    assert only(RequestFailed, broken).kind == "network"


def test_codex_tells_conversations_prompts_and_tools() -> None:
    started = only(SessionStarted, codex("conversation_starts", {"provider_name": "openai"}))
    prompt = only(PromptSubmitted, codex("user_prompt", {"prompt_length": 7, "prompt": "secret!"}))
    denied = only(
        ToolDecided,
        codex("tool_decision", {"tool_name": "shell", "call_id": "k", "decision": "denied"}),
    )
    result = only(
        ToolFinished,
        codex("tool_result", {"tool_name": "shell", "call_id": "k", "success": "false",
                              "duration_ms": 5, "output": "exit 2"}),
    )  # fmt: skip

    assert started.model == "gpt-5-codex"
    assert (prompt.length, prompt.text) == (7, "")
    assert (denied.accepted, denied.tool_use_id) == (False, "k")
    assert (result.succeeded, result.tool_use_id, result.error) == (False, "k", "exit 2")


def test_two_codex_records_of_one_moment_and_kind_are_two() -> None:
    given = {"conversation.id": "c-1", "event.timestamp": "2026-01-01T00:00:00Z"}
    records = [log("codex.user_prompt", {**given, "prompt_length": 3})] * 2

    intake = taken(OtlpSignal.LOGS, records, CODEX)

    assert len({event.id for event in intake.events}) == 2


@pytest.mark.parametrize(
    ("thoughts", "tool", "total", "expected"),
    [
        (30, 5, 185, (105, 80)),
        (30, 0, 150, (100, 50)),
        (30, 5, 155, (105, 50)),
        (30, 5, 180, (100, 80)),
        (0, 0, 150, (100, 50)),
    ],
)
def test_gemini_tokens_add_up_to_the_total(
    thoughts: int, tool: int, total: int, expected: tuple[int, int]
) -> None:
    event = only(
        RequestFinished,
        gemini(
            "gemini_cli.api_response",
            {
                "model": "gemini-3-pro",
                "status_code": "200",
                "duration_ms": 800,
                "input_token_count": 100,
                "output_token_count": 50,
                "cached_content_token_count": 40,
                "thoughts_token_count": thoughts,
                "tool_token_count": tool,
                "total_token_count": total,
                "prompt_id": "g-1########2",
                "finish_reasons": ["STOP"],
            },
        ),
    )

    given = event.input_tokens + event.cache_read_tokens
    assert (given, event.output_tokens) == expected
    assert event.cache_read_tokens == 40
    assert (event.prompt_id, event.stop_reason) == ("g-1########2", "STOP")
    assert (event.source, event.agent, event.version) == (Source.GEMINI, "gemini-cli", "0.9")


def test_a_gemini_error_has_other_names_for_the_same() -> None:
    given: dict[str, object] = {
        "model_name": "gemini-3-pro",
        "error.message": "quota exceeded",
        "duration": 700,
        "status_code": 429,
    }

    event = only(RequestFailed, gemini("gemini_cli.api_error", given))

    assert (event.model, event.duration_ms, event.status_code) == ("gemini-3-pro", 700, 429)
    assert (event.kind, event.error) == ("rate_limit", "quota exceeded")


def test_gemini_tools_agents_and_the_rest() -> None:
    call = {"function_name": "write_file", "function_args": '{"secret":1}', "duration_ms": 4}
    finished = only(
        ToolFinished,
        gemini("gemini_cli.tool_call", {**call, "success": True, "decision": "auto_accept"}),
    )
    refused = only(
        ToolDecided,
        gemini("gemini_cli.tool_call", {**call, "success": False, "decision": "reject"}),
    )
    agent: dict[str, object] = {"agent_id": "a-1", "agent_name": "codebase", "duration_ms": 70}
    begun = only(AgentStarted, gemini("gemini_cli.agent.start", agent))
    ended = only(AgentFinished, gemini("gemini_cli.agent.finish", agent))
    squeezed = only(
        ContextCompacted,
        gemini("gemini_cli.chat_compression", {"tokens_before": 9, "tokens_after": 3}),
    )
    mode = only(ModeChanged, gemini("approval_mode_switch", {"from_mode": "a", "to_mode": "b"}))

    assert (finished.tool, finished.succeeded, finished.summary) == ("write_file", True, "")
    assert not refused.accepted
    assert (begun.agent_id, begun.agent_type) == ("a-1", "codebase")
    assert ended.duration_ms == 70
    assert (squeezed.before_tokens, squeezed.after_tokens) == (9, 3)
    assert (mode.from_mode, mode.to_mode) == ("a", "b")
    assert only(SessionStarted, gemini("gemini_cli.config", {"model": "m"})).model == "m"
    only(TurnFinished, gemini("gemini_cli.conversation_finished", {"turnCount": 3}))
    only(AgentObserved, gemini("gemini_cli.model_routing", {"failed": False}))


def test_what_gemini_says_twice_is_counted_once() -> None:
    given: dict[str, object] = {
        "gen_ai.response.id": "r",
        "gen_ai.usage.input_tokens": 5,
        "prompt": "secret",
    }

    event = only(AgentObserved, gemini("gen_ai.client.inference.operation.details", given))

    assert "prompt" not in event.attributes
    assert event.attributes["prompt.length"] == 6


@pytest.mark.parametrize(
    "usage",
    [
        {
            "gen_ai.usage.input_tokens": 1000,
            "gen_ai.usage.output_tokens": 50,
            "gen_ai.usage.cache_read.input_tokens": 700,
            "gen_ai.usage.cache_write.input_tokens": 200,
        },
        {
            "gen_ai.usage.prompt_tokens": 1000,
            "gen_ai.usage.completion_tokens": 50,
            "gen_ai.usage.cache_read.input_tokens": 700,
            "gen_ai.usage.cache_creation.input_tokens": 200,
        },
        {
            "gen_ai.usage.input_tokens": 100,
            "gen_ai.usage.output_tokens": 50,
            "gen_ai.usage.cache_read.input_tokens": 700,
            "gen_ai.usage.cache_write.input_tokens": 200,
        },
    ],
    ids=["today", "before", "disjoint already"],
)
def test_a_genai_request_has_disjoint_tokens_by_names_new_and_old(usage: dict[str, object]) -> None:
    event = only(
        RequestFinished,
        genai(
            {
                "gen_ai.operation.name": "chat",
                "gen_ai.request.model": "gpt-5",
                "gen_ai.response.model": "gpt-5-2026",
                "gen_ai.response.id": "resp_1",
                "gen_ai.conversation.id": "conv-1",
                "gen_ai.agent.name": "planner",
                "gen_ai.agent.id": "a-7",
                "gen_ai.response.finish_reasons": ["stop"],
                "user.id": "ada",
                **usage,
            }
        ),
    )

    assert (event.input_tokens, event.output_tokens) == (100, 50)
    assert (event.cache_read_tokens, event.cache_write_tokens) == (700, 200)
    assert (event.model, event.request_id, event.session_id) == ("gpt-5-2026", "resp_1", "conv-1")
    assert (event.agent, event.agent_type, event.agent_id) == ("tester", "planner", "a-7")
    assert (event.duration_ms, event.stop_reason, event.user) == (1500, "stop", "ada")
    assert event.source is Source.OTEL


def test_a_genai_log_is_counted_where_its_response_is_named() -> None:
    given: dict[str, object] = {"gen_ai.usage.input_tokens": 5, "gen_ai.response.model": "m"}
    name = "gen_ai.client.inference.operation.details"

    named = taken(OtlpSignal.LOGS, [log(name, {**given, "gen_ai.response.id": "resp_1"})])
    unnamed = taken(OtlpSignal.LOGS, [log(name, given)])

    assert only(RequestFinished, named).request_id == "resp_1"
    assert only(AgentObserved, unnamed).name == name


def test_genai_tools_and_agents() -> None:
    tool = only(
        ToolFinished,
        genai(
            {
                "gen_ai.operation.name": "execute_tool",
                "gen_ai.tool.name": "search",
                "gen_ai.tool.call.id": "call_1",
                "error.type": "Timeout",
            }
        ),
    )
    agent = only(
        AgentFinished,
        genai(
            {
                "gen_ai.operation.name": "invoke_agent",
                "gen_ai.agent.id": "a-1",
                "gen_ai.usage.input_tokens": 5,
            }
        ),
    )
    other = only(AgentObserved, genai({"gen_ai.operation.name": "retrieval"}))

    assert (tool.tool, tool.tool_use_id, tool.succeeded) == ("search", "call_1", False)
    assert (agent.agent_id, agent.duration_ms) == ("a-1", 1500)
    assert other.name == "chat gpt-5"


def test_a_genai_request_that_failed_is_a_failure() -> None:
    event = only(
        RequestFailed,
        genai(
            {"gen_ai.operation.name": "chat", "error.type": "429"},
            status={"code": 2, "message": "slow down"},
        ),
    )

    assert (event.kind, event.status_code) == ("rate_limit", 429)


def test_a_span_without_a_session_has_its_traces() -> None:
    spans = [
        span(
            "execute_tool x", {"gen_ai.operation.name": "execute_tool"}, spanId="00f067aa0ba902b1"
        ),
        span("chat m", {"gen_ai.operation.name": "chat", "gen_ai.conversation.id": "conv-1"}),
    ]

    intake = taken(OtlpSignal.TRACES, spans)

    assert {event.session_id for event in intake.events} == {"conv-1"}


def test_a_program_that_names_no_session_is_one() -> None:
    def session(resource: dict[str, object]) -> str:
        return taken(OtlpSignal.LOGS, [log("", {}, body="hello")], resource).events[0].session_id

    one: dict[str, object] = {
        "service.name": "svc",
        "service.instance.id": "1",
        "telemetry.sdk.version": "1",
    }

    assert session(one) == session({**one, "telemetry.sdk.version": "2"})
    assert session(one) != session({**one, "service.instance.id": "2"})
    assert session({}).startswith("unknown@")


def test_a_completed_response_of_codex_without_counts_is_a_word_before_the_real_one() -> None:
    given: dict[str, object] = {"event.kind": "response.completed", "duration_ms": "15"}

    only(AgentObserved, codex("sse_event", given))


def test_what_codex_wrote_into_the_cache_is_apart() -> None:
    given: dict[str, object] = {
        "event.kind": "response.completed", "input_token_count": 1_000, "cached_token_count": 600,
        "cache_write_token_count": 300, "output_token_count": 5,
    }  # fmt: skip

    event = only(RequestFinished, codex("sse_event", given))

    assert (event.input_tokens, event.cache_read_tokens, event.cache_write_tokens) == (
        100,
        600,
        300,
    )


@pytest.mark.parametrize("endpoint", ["/models", "/wham/usage", "https://h/v1/models/"])
def test_what_codex_asks_beside_the_model_is_no_request(endpoint: str) -> None:
    given: dict[str, object] = {"http.response.status_code": 503, "endpoint": endpoint}

    only(AgentObserved, codex("api_request", given))


@pytest.mark.parametrize("endpoint", ["/responses", "/v1/responses/compact", "/chat/completions"])
def test_what_codex_asks_the_model_in_vain_is_a_failure(endpoint: str) -> None:
    given: dict[str, object] = {"http.response.status_code": 503, "endpoint": endpoint}

    assert only(RequestFailed, codex("api_request", given)).status_code == 503


@pytest.mark.parametrize("service", ["codex_cli_rs", "codex-tui", "codex_exec", "Codex Desktop"])
def test_spans_of_codex_repeat_its_logs_and_are_counted_from_neither(service: str) -> None:
    told = [span("handle_responses", {"gen_ai.usage.input_tokens": 9})]

    assert (
        only(AgentObserved, taken(OtlpSignal.TRACES, told, {"service.name": service})).agent
        == "codex"
    )
