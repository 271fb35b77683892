"""Every hook of Claude Code."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.contracts import events
from analytics.contracts.agent_events import (
    AgentEvent,
    AgentObserved,
    AttentionNeeded,
    PromptSubmitted,
    RequestFailed,
    SessionStarted,
    ToolFinished,
    ToolStarted,
    TurnFinished,
)
from analytics.contracts.errors import BadBody
from analytics.contracts.facts import Source
from analytics.contracts.ids import DEFAULT_TENANT, TenantId
from gateway.hooks.claude_code import HOOKS, read_hook
from tests.support.ingest import DATA, NOW_MS

EXAMPLES: list[dict[str, Any]] = json.loads((DATA / "hooks" / "claude.json").read_bytes())
NAMES = [example["payload"]["hook_event_name"] for example in EXAMPLES]


def named(name: str) -> dict[str, Any]:
    return dict(EXAMPLES[NAMES.index(name)]["payload"])


def read(payload: object, *, at_ms: int = NOW_MS, keep_content: bool = False) -> AgentEvent:
    event, *_ = read_hook(
        json.dumps(payload).encode(),
        tenant=DEFAULT_TENANT,
        received_ms=at_ms,
        keep_content=keep_content,
    )
    return event


def test_the_examples_are_the_hooks_there_are() -> None:
    assert len(NAMES) == 31
    assert set(NAMES) == set(HOOKS)


@pytest.mark.requirement("hooks-land")
@pytest.mark.parametrize("example", EXAMPLES, ids=NAMES)
def test_a_hook_becomes_its_event_with_who_and_where(example: dict[str, Any]) -> None:
    event = read(example["payload"])

    assert events.type_of(event) == example["becomes"]
    assert (event.session_id, event.prompt_id, event.project) == ("s-1", "p-1", "shop")
    assert (event.source, event.agent, event.at_ms) == (Source.HOOK, "claude-code", NOW_MS)
    assert events.decode(events.encode(event)) == event


@pytest.mark.parametrize("example", EXAMPLES, ids=NAMES)
def test_a_hook_brings_no_contents_unless_they_are_kept(example: dict[str, Any]) -> None:
    contents = (
        "Review the cart",
        "rm -r build",
        "old_string",
        "Found it.",
        "We edited a.py.",
        "Hel",
    )

    shown = events.encode(read(example["payload"])).decode()

    assert not any(text in shown for text in contents)


def test_contents_are_kept_where_they_are_asked_for() -> None:
    prompt = read(named("UserPromptSubmit"), keep_content=True)
    batch = read(named("PostToolBatch"), keep_content=True)

    assert isinstance(prompt, PromptSubmitted)
    assert prompt.text == "/review the cart"
    assert isinstance(batch, AgentObserved)
    assert "old_string" in str(batch.attributes["tool_calls"])


@pytest.mark.parametrize(
    "name", ["PreToolUse", "PermissionDenied", "PostToolUse", "PostToolUseFailure"]
)
def test_a_tool_hook_that_runs_twice_is_one_fact(name: str) -> None:
    first = read(named(name))
    copy = read({**named(name), "permission_mode": "plan"}, at_ms=NOW_MS + 40)
    other = read({**named(name), "tool_use_id": "toolu_2"})

    assert first.id == copy.id != other.id


def test_hooks_of_one_tool_call_are_facts_of_their_own() -> None:
    ids = {read(named(name)).id for name in ("PreToolUse", "PostToolUse", "PermissionDenied")}

    assert len(ids) == 3


def test_another_hook_is_told_by_its_receipt_and_its_payload() -> None:
    first = read(named("Stop"))

    assert read(named("Stop")).id == first.id
    assert read(named("Stop"), at_ms=NOW_MS + 1).id != first.id
    assert read({**named("Stop"), "stop_hook_active": True}).id != first.id


@pytest.mark.requirement("tenant-isolated")
def test_the_same_hook_of_another_tenant_is_another_fact() -> None:
    payload = json.dumps(named("PreToolUse")).encode()

    event, *_ = read_hook(payload, tenant=TenantId("other"), received_ms=NOW_MS)

    assert event.tenant == "other"
    assert event.id != read(named("PreToolUse")).id


def test_a_tools_input_has_one_digest_whatever_the_order_of_its_keys() -> None:
    started = read(named("PreToolUse"))
    finished = read(named("PostToolUse"))
    given = dict(reversed(named("PreToolUse")["tool_input"].items()))
    turned = read({**named("PreToolUse"), "tool_input": given})
    other = read({**named("PreToolUse"), "tool_input": {"x": 1}})

    assert isinstance(started, ToolStarted)
    assert isinstance(finished, ToolFinished)
    assert isinstance(turned, ToolStarted)
    assert isinstance(other, ToolStarted)
    assert started.input_digest == finished.input_digest == turned.input_digest != ""
    assert other.input_digest != started.input_digest


@pytest.mark.parametrize(
    ("tool", "given", "response", "lines"),
    [
        ("Edit", {}, {"structuredPatch": [{"lines": ["-a", "+b", "+c", " d"]}]}, (2, 1)),
        ("MultiEdit", {}, {"structuredPatch": [{"lines": ["+a"]}, {"lines": ["-b"]}]}, (1, 1)),
        ("Write", {"content": "a\nb\n"}, {"type": "create", "structuredPatch": []}, (2, 0)),
        ("Write", {"content": "a\nb\n"}, {"type": "update", "structuredPatch": []}, (0, 0)),
        ("Edit", {}, "done", (0, 0)),
        ("Edit", {}, {"structuredPatch": [3, {"lines": 4}, {"lines": [5]}]}, (0, 0)),
        ("Bash", {}, {"structuredPatch": [{"lines": ["+a"]}]}, (0, 0)),
    ],
)
def test_changed_lines_are_counted_from_what_the_tool_answered(
    tool: str, given: object, response: object, lines: tuple[int, int]
) -> None:
    event = read(
        {**named("PostToolUse"), "tool_name": tool, "tool_input": given, "tool_response": response}
    )

    assert isinstance(event, ToolFinished)
    assert (event.lines_added, event.lines_removed) == lines


def test_a_tools_failure_shows_the_first_line_of_its_error() -> None:
    event = read({**named("PostToolUseFailure"), "is_interrupt": True})

    assert isinstance(event, ToolFinished)
    assert not event.succeeded
    assert (event.error, event.error_type) == ("String to replace not found", "interrupt")


def test_a_servers_tool_names_its_server() -> None:
    event = read({**named("PreToolUse"), "tool_name": "mcp__jira__create_issue"})

    assert isinstance(event, ToolStarted)
    assert event.mcp_server == "jira"


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("permission_prompt", "permission"),
        ("idle_prompt", "idle"),
        ("agent_needs_input", "input"),
        ("elicitation_dialog", "elicitation_dialog"),
    ],
)
def test_a_notification_says_why_it_asks(kind: str, reason: str) -> None:
    event = read({**named("Notification"), "notification_type": kind})

    assert isinstance(event, AttentionNeeded)
    assert event.reason == reason


def test_a_notification_that_asks_nothing_is_kept() -> None:
    event = read({**named("Notification"), "notification_type": "auth_success"})

    assert isinstance(event, AgentObserved)
    assert event.name == "hook.Notification"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ("rate_limit", "rate_limit"),
        ("overloaded", "overloaded"),
        ("oauth_org_not_allowed", "auth"),
        ("billing_error", "billing"),
        ("max_output_tokens", "invalid"),
        ("server_error", "server"),
        ("unknown", "unknown"),
    ],
)
def test_a_turn_that_failed_tells_its_kind(error: str, kind: str) -> None:
    event = read({**named("StopFailure"), "error": error, "error_details": None})

    assert isinstance(event, RequestFailed)
    assert event.kind == kind


def test_the_ends_and_beginnings_tell_what_they_know() -> None:
    started = read(named("SessionStart"))
    stopped = read(named("Stop"))
    prompt = read(named("UserPromptSubmit"))

    assert isinstance(started, SessionStarted)
    assert isinstance(stopped, TurnFinished)
    assert isinstance(prompt, PromptSubmitted)
    assert (started.how, started.model) == ("startup", "claude-sonnet-4-5")
    assert started.cwd == "/home/ada/work/shop"
    assert stopped.background_tasks == 1
    assert (prompt.length, prompt.command, prompt.text) == (16, "review", "")


@pytest.mark.parametrize("payload", [{}, {"hook_event_name": "OfNextYear", "session_id": "s-1"}])
def test_a_hook_that_is_not_known_is_kept(payload: dict[str, Any]) -> None:
    event = read(payload)

    assert isinstance(event, AgentObserved)
    assert event.name.startswith("hook.")
    assert event.session_id


@pytest.mark.requirement("bad-input-answered")
@pytest.mark.parametrize("payload", [b"", b"[]", b'"x"', b"7", b"{", b"\xff", b"[" * 100_000])
def test_what_is_no_object_is_a_bad_body(payload: bytes) -> None:
    with pytest.raises(BadBody):
        read_hook(payload, tenant=DEFAULT_TENANT, received_ms=NOW_MS)


field_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
field_names = st.sampled_from(
    ["session_id", "prompt_id", "cwd", "tool_name", "tool_input", "tool_use_id", "tool_response",
     "duration_ms", "prompt", "error", "source", "message", "notification_type", "background_tasks",
     "agent_id", "task_id", "x"]
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(
    name=st.sampled_from([*NAMES, "Other"]),
    fields=st.dictionaries(field_names, field_values, max_size=6),
)
def test_any_hook_becomes_an_event_that_passes_its_contract(
    name: str, fields: dict[str, object]
) -> None:
    event = read({**fields, "hook_event_name": name})

    assert events.decode(events.encode(event)) == event


@settings(max_examples=150, deadline=None)
@given(payload=st.binary(max_size=100))
def test_any_bytes_are_a_hook_or_a_bad_body(payload: bytes) -> None:
    try:
        event, *_ = read_hook(payload, tenant=DEFAULT_TENANT, received_ms=NOW_MS)
    except BadBody:
        return
    assert event.at_ms == NOW_MS


def test_a_turn_that_ends_by_a_failure_is_told_as_both() -> None:
    payload = json.dumps(named("StopFailure")).encode()

    failed, over = read_hook(payload, tenant=DEFAULT_TENANT, received_ms=NOW_MS)

    assert (events.type_of(failed), events.type_of(over)) == ("request.failed", "turn.finished")
    assert failed.id != over.id
    assert failed.session_id == over.session_id


def test_a_permission_that_is_asked_for_names_its_tool() -> None:
    asked = read({**named("PermissionRequest"), "tool_name": "Bash"})

    assert isinstance(asked, AttentionNeeded)
    assert asked.tool == "Bash"
