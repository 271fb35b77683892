"""Claude Code's log events, spans and metrics."""

import pytest

from analytics.contracts.agent_events import (
    AgentFinished,
    AgentObserved,
    ContextCompacted,
    McpChanged,
    ModeChanged,
    PromptSubmitted,
    RequestFailed,
    RequestFinished,
    SessionStarted,
    SkillUsed,
    ToolDecided,
    ToolFinished,
    UsageReported,
)
from analytics.contracts.facts import Source
from gateway.otlp.intake import Intake, OtlpSignal
from tests.support.ingest import log, metric, of_kind, only, point, span, taken

RESOURCE = {"service.name": "claude-code", "service.version": "2.1.230", "team.id": "payments"}
SESSION = {
    "session.id": "s-1",
    "prompt.id": "p-1",
    "user.email": "ada@example.com",
    "workspace.host_paths": ["/home/ada/work/shop"],
}


def told(name: str, given: dict[str, object], *, keep_content: bool = False) -> Intake:
    record = log(name, {**SESSION, **given}, body=f"claude_code.{name}")
    return taken(OtlpSignal.LOGS, [record], RESOURCE, keep_content=keep_content)


def test_a_request_has_its_disjoint_tokens_its_exact_cost_and_who_asked() -> None:
    event = only(
        RequestFinished,
        told(
            "api_request",
            {
                "model": "claude-sonnet-4-5",
                "cost_usd": 0.01234567,
                "cost_usd_micros": 12346,
                "duration_ms": "1800",
                "input_tokens": 10,
                "output_tokens": "20",
                "cache_read_tokens": 3000,
                "cache_creation_tokens": 400,
                "request_id": "req_1",
                "client_request_id": "c-1",
                "query_source": "subagent",
                "agent.name": "Explore",
                "skill.name": "custom_skill",
                "mcp_server.name": "jira",
            },
        ),
    )

    assert event.cost_nanousd == 12_345_670
    assert (event.input_tokens, event.output_tokens) == (10, 20)
    assert (event.cache_read_tokens, event.cache_write_tokens) == (3000, 400)
    assert (event.request_id, event.duration_ms) == ("req_1", 1800)
    assert (event.query_source, event.agent_type) == ("subagent", "Explore")
    assert (event.skill, event.mcp_server) == ("custom_skill", "jira")
    assert (event.source, event.agent) == (Source.CLAUDE_CODE, "claude-code")
    assert (event.session_id, event.prompt_id) == ("s-1", "p-1")
    assert (event.version, event.user, event.team) == ("2.1.230", "ada@example.com", "payments")
    assert event.project == "shop"


def test_a_request_without_its_own_id_goes_by_the_clients() -> None:
    event = only(RequestFinished, told("api_request", {"client_request_id": "c-1"}))

    assert (event.request_id, event.client_request_id) == ("", "c-1")


def test_a_cost_in_millionths_counts_where_there_is_no_other() -> None:
    event = only(RequestFinished, told("api_request", {"cost_usd_micros": "12346"}))

    assert event.cost_nanousd == 12_346_000


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ({"status_code": 429, "error": "x"}, "rate_limit"),
        ({"status_code": "529", "error": "x"}, "overloaded"),
        ({"status_code": 401, "error": "x"}, "auth"),
        ({"status_code": 400, "error": "x"}, "invalid"),
        ({"status_code": 500, "error": "x"}, "server"),
        ({"error": "Connection error."}, "network"),
        ({"error": "strange"}, "unknown"),
    ],
)
def test_a_failure_tells_its_kind(given: dict[str, object], kind: str) -> None:
    event = only(RequestFailed, told("api_error", {"attempt": 11, **given}))

    assert event.kind == kind
    assert event.attempts == 11


def test_used_up_retries_are_kept_and_fail_no_second_time() -> None:
    event = only(AgentObserved, told("api_retries_exhausted", {"total_attempts": 11}))

    assert event.name == "claude_code.api_retries_exhausted"
    assert event.attributes["total_attempts"] == 11


def test_only_the_last_word_of_a_refusal_is_a_failure() -> None:
    hop = told("api_refusal", {"request_id": "r", "server_fallback_hop": "true"})
    final = told("api_refusal", {"request_id": "r", "server_fallback_hop": "false"})

    assert isinstance(hop.events[0], AgentObserved)
    assert only(RequestFailed, final).kind == "refusal"


def test_a_prompts_text_is_kept_only_where_contents_are() -> None:
    given: dict[str, object] = {
        "prompt": "secret plan",
        "prompt_length": 11,
        "command_name": "plan",
    }

    event = only(PromptSubmitted, told("user_prompt", given))
    kept = only(PromptSubmitted, told("user_prompt", given, keep_content=True))

    assert (event.length, event.command, event.text) == (11, "plan", "")
    assert kept.text == "secret plan"


def test_a_tools_result_and_decision_are_told_by_the_calls_id() -> None:
    result = only(
        ToolFinished,
        told(
            "tool_result",
            {
                "tool_name": "Bash",
                "tool_use_id": "t-1",
                "success": "false",
                "duration_ms": 40,
                "error_type": "ShellError",
                "error": "exit 1\nsecret output",
                "tool_input_size_bytes": "20",
                "tool_result_size_bytes": 30,
            },
        ),
    )
    decision = only(
        ToolDecided,
        told(
            "tool_decision",
            {
                "tool_name": "Bash",
                "tool_use_id": "t-1",
                "decision": "reject",
                "source": "user_reject",
            },
        ),
    )

    assert (result.tool, result.tool_use_id, result.succeeded) == ("Bash", "t-1", False)
    assert (result.input_bytes, result.result_bytes, result.error) == (20, 30, "exit 1")
    assert (decision.accepted, decision.by) == (False, "user_reject")


def test_other_log_events_become_what_they_are() -> None:
    mode = only(ModeChanged, told("permission_mode_changed", {"from_mode": "a", "to_mode": "b"}))
    agent = only(
        AgentFinished,
        told("subagent_completed", {"agent_type": "Plan", "total_tool_uses": 4, "duration_ms": 9}),
    )
    compacted = only(ContextCompacted, told("compaction", {"pre_tokens": 900, "post_tokens": 90}))
    skill = only(SkillUsed, told("skill_activated", {"skill.name": "third-party"}))
    server = only(
        McpChanged, told("mcp_server_connection", {"status": "failed", "server_name": "jira"})
    )

    assert (mode.from_mode, mode.to_mode) == ("a", "b")
    assert (agent.agent_type, agent.tools, agent.duration_ms) == ("Plan", 4, 9)
    assert (compacted.before_tokens, compacted.after_tokens) == (900, 90)
    assert (skill.skill, server.status, server.mcp_server) == ("third-party", "failed", "jira")


@pytest.mark.parametrize("name", ["hook_execution_complete", "auth", "a_name_of_next_year"])
def test_a_log_event_that_maps_to_nothing_is_kept_with_its_attributes(name: str) -> None:
    event = only(AgentObserved, told(name, {"num_hooks": 3}))

    assert event.name == f"claude_code.{name}"
    assert event.attributes["num_hooks"] == 3
    assert event.session_id == "s-1"


def test_a_resent_log_event_has_its_id_from_session_time_and_sequence() -> None:
    def sent(sequence: int, extra: str) -> str:
        given = {"event.timestamp": "2026-01-01T00:00:00Z", "event.sequence": sequence, "x": extra}
        return told("api_request", given).events[0].id

    assert sent(1, "a") == sent(1, "b") != sent(2, "a")


def test_the_desktop_app_is_the_same_agent() -> None:
    resource = {"service.name": "claude-code-desktop"}

    intake = taken(OtlpSignal.LOGS, [log("user_prompt", SESSION)], resource)

    assert only(PromptSubmitted, intake).agent == "claude-code"


def test_a_requests_span_has_the_id_of_its_log_event_and_the_time_to_first_token() -> None:
    given = {**SESSION, "model": "m", "request_id": "req_1", "ttft_ms": 300, "output_tokens": 5}
    given |= {"agent_id": "a-1", "parent_agent_id": "a-0", "success": True}

    event = only(
        RequestFinished,
        taken(OtlpSignal.TRACES, [span("claude_code.llm_request", given)], RESOURCE),
    )

    assert (event.request_id, event.ttft_ms, event.duration_ms) == ("req_1", 300, 1500)
    assert (event.agent_id, event.parent_agent_id) == ("a-1", "a-0")


def test_a_requests_span_that_failed_is_a_failure() -> None:
    given = {**SESSION, "client_request_id": "c-1", "success": False, "status_code": 429}

    event = only(
        RequestFailed, taken(OtlpSignal.TRACES, [span("claude_code.llm_request", given)], RESOURCE)
    )

    assert (event.client_request_id, event.kind) == ("c-1", "rate_limit")


def test_a_requests_span_that_cannot_be_told_from_its_log_event_is_not_counted() -> None:
    intake = taken(OtlpSignal.TRACES, [span("claude_code.llm_request", SESSION)], RESOURCE)

    assert only(AgentObserved, intake).duration_ms == 1500


def test_the_spans_of_a_tool_call_give_its_end_and_the_wait_for_a_person() -> None:
    call = {**SESSION, "tool_name": "Edit", "tool_use_id": "t-1", "duration_ms": 9000}
    wait = {**SESSION, "duration_ms": 8500, "decision": "accept", "source": "user_temporary"}
    run = {**SESSION, "duration_ms": 400, "success": "false", "error": "no such file"}
    child = {"parentSpanId": "b7ad6b7169203331"}
    spans = [
        span("claude_code.tool.blocked_on_user", wait, spanId="00f067aa0ba902b1", **child),
        span("claude_code.tool.execution", run, spanId="00f067aa0ba902b2", **child),
        span("claude_code.tool", call),
    ]

    events = taken(OtlpSignal.TRACES, spans, RESOURCE).events

    (decided,) = of_kind(ToolDecided, events)
    (finished,) = of_kind(ToolFinished, events)
    assert (decided.tool_use_id, decided.waited_ms, decided.accepted) == ("t-1", 8500, True)
    assert (finished.tool_use_id, finished.duration_ms) == ("t-1", 400)
    assert (finished.succeeded, finished.error) == (False, "no such file")
    assert len(of_kind(AgentObserved, events)) == 1


def test_a_tool_call_that_was_not_run_has_no_end() -> None:
    call = {**SESSION, "tool_name": "Edit", "tool_use_id": "t-1"}

    intake = taken(OtlpSignal.TRACES, [span("claude_code.tool", call)], RESOURCE)

    assert only(AgentObserved, intake).name == "claude_code.tool"


def test_tokens_and_cost_are_the_senders_own_metrics() -> None:
    who = {**SESSION, "model": "m", "query_source": "main", "type": "cacheRead"}
    points = [
        metric("claude_code.token.usage", "sum", [point(120, who)]),
        metric("claude_code.cost.usage", "sum", [point(0.5, who)]),
    ]

    tokens, cost = of_kind(UsageReported, taken(OtlpSignal.METRICS, points, RESOURCE).events)

    assert (tokens.kind, tokens.value, tokens.model) == ("cacheRead", 120.0, "m")
    assert (tokens.cumulative, tokens.session_id) == (False, "s-1")
    assert (cost.metric, cost.value) == ("claude_code.cost.usage", 0.5)


@pytest.mark.parametrize("how", ["fresh", "resume", "continue"])
def test_a_counted_session_has_started_once_however_often_its_total_comes(how: str) -> None:
    def started(seconds: int) -> SessionStarted:
        given = point(1, {**SESSION, "start_type": how}, startTimeUnixNano="1767225500000000000")
        given["timeUnixNano"] = str(1_767_225_600_000_000_000 + seconds * 1_000_000_000)
        counted = metric("claude_code.session.count", "sum", [given], aggregationTemporality=2)
        (event,) = of_kind(SessionStarted, taken(OtlpSignal.METRICS, [counted], RESOURCE).events)
        return event

    assert started(0).how == how
    assert started(0).id == started(60).id


def test_a_screen_is_no_session() -> None:
    given = point(1, {**SESSION, "start_type": "agents_view"})
    counted = metric("claude_code.session.count", "sum", [given])

    event = only(AgentObserved, taken(OtlpSignal.METRICS, [counted], RESOURCE))

    assert event.attributes["start_type"] == "agents_view"


def test_a_point_without_a_session_belongs_to_its_program() -> None:
    counted = metric("claude_code.commit.count", "sum", [point(1)])

    event = only(UsageReported, taken(OtlpSignal.METRICS, [counted], RESOURCE))

    assert event.session_id.startswith("claude-code@")
