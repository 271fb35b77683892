"""What coding agents do, as events of `agents.v1` (key: the session)."""

from typing import Annotated

from msgspec import Meta, field

from analytics.contracts.facts import AgentFact, Name, Scalar, Text
from analytics.contracts.ids import Count, EpochMs


class SessionStarted(
    AgentFact, frozen=True, kw_only=True, omit_defaults=True, tag="session.started"
):
    """A session began or was taken up again."""

    how: Name = ""
    model: Name = ""
    cwd: Text = ""


class SessionEnded(AgentFact, frozen=True, kw_only=True, omit_defaults=True, tag="session.ended"):
    """A session is over."""

    reason: Name = ""


class PromptSubmitted(
    AgentFact, frozen=True, kw_only=True, omit_defaults=True, tag="prompt.submitted"
):
    """A person (or a program in their place) asked for something."""

    length: Count = 0
    """In UTF-16 units, as agents count it."""
    command: Name = ""
    text: Text = ""
    message_id: Name = ""
    """The id of the message, which forks keep while they give it another `prompt_id`."""


class RequestFinished(
    AgentFact, frozen=True, kw_only=True, omit_defaults=True, tag="request.finished"
):
    """A model answered. The four token counts are disjoint; reports of one request are merged."""

    request_id: Name = ""
    """The id that the API gave; gateways and some clouds give none."""
    model: Name = ""
    input_tokens: Count = 0
    output_tokens: Count = 0
    cache_read_tokens: Count = 0
    cache_write_tokens: Count = 0
    cache_write_1h_tokens: Count = 0
    """Part of `cache_write_tokens`: what is kept for an hour, which costs more."""
    reasoning_tokens: Count = 0
    """Part of `output_tokens`."""
    cost_nanousd: Count | None = None
    """What the sender says it cost, in 10⁻⁹ USD; absent when it does not say."""
    duration_ms: Count | None = None
    ttft_ms: Count | None = None
    query_source: Name = ""
    skill: Name = ""
    mcp_server: Name = ""
    stop_reason: Name = ""
    speed: Name = ""
    """`fast` where the request ran in a mode that costs more."""
    service_tier: Name = ""
    """`batch` where it ran with others at leisure, which costs less."""
    web_searches: Count = 0
    text: Text = ""
    client_request_id: Name = ""
    """The sender's own id of it, which its logs and spans share; stands in for `request_id`."""
    message_id: Name = ""
    """The id of the answer, which transcripts keep; stands in for `request_id`."""
    signal: Name = ""
    """`span` where a trace told it: a source's logs and traces tell of the same requests."""


class RequestFailed(AgentFact, frozen=True, kw_only=True, omit_defaults=True, tag="request.failed"):
    """A model request failed for good, after its retries."""

    request_id: Name = ""
    model: Name = ""
    status_code: int | None = None
    kind: Name = "unknown"
    """rate_limit, overloaded, auth, billing, invalid, server, refusal, network or unknown."""
    attempts: Count = 0
    duration_ms: Count | None = None
    query_source: Name = ""
    skill: Name = ""
    error: Text = ""
    client_request_id: Name = ""
    """The sender's own id of it, which its logs and spans share; stands in for `request_id`."""
    message_id: Name = ""
    """The id of the answer, which transcripts keep; stands in for `request_id`."""
    signal: Name = ""
    """`span` where a trace told it: a source's logs and traces tell of the same requests."""


class ToolDecided(AgentFact, frozen=True, kw_only=True, omit_defaults=True, tag="tool.decided"):
    """Somebody or something said whether a tool may run."""

    tool: Name = ""
    tool_use_id: Name = ""
    accepted: bool = True
    by: Name = ""
    waited_ms: Count | None = None


class ToolStarted(AgentFact, frozen=True, kw_only=True, omit_defaults=True, tag="tool.started"):
    """A tool call began."""

    tool: Name = ""
    tool_use_id: Name = ""
    input_digest: Name = ""
    """A digest of the tool's input: the same tool and digest again and again is a loop."""
    mcp_server: Name = ""
    summary: Text = ""


class ToolFinished(AgentFact, frozen=True, kw_only=True, omit_defaults=True, tag="tool.finished"):
    """A tool call came back, whether it worked or not."""

    tool: Name = ""
    tool_use_id: Name = ""
    succeeded: bool = True
    duration_ms: Count | None = None
    error_type: Name = ""
    error: Text = ""
    input_digest: Name = ""
    input_bytes: Count = 0
    result_bytes: Count = 0
    lines_added: Count = 0
    lines_removed: Count = 0
    mcp_server: Name = ""
    skill: Name = ""
    summary: Text = ""


class AgentStarted(AgentFact, frozen=True, kw_only=True, omit_defaults=True, tag="agent.started"):
    """A subagent began; `agent_id` names it and `parent_agent_id` who called it."""


class AgentFinished(AgentFact, frozen=True, kw_only=True, omit_defaults=True, tag="agent.finished"):
    """A subagent handed back its result."""

    duration_ms: Count | None = None
    tools: Count = 0
    model: Name = ""


class AttentionNeeded(
    AgentFact, frozen=True, kw_only=True, omit_defaults=True, tag="attention.needed"
):
    """An agent waits for a person."""

    reason: Name = ""
    """`permission` when it waits to be allowed something, `idle` when its turn is over, or else."""
    message: Text = ""
    tool: Name = ""
    """The tool that it waits to be allowed, where the sender names it."""


class TurnFinished(AgentFact, frozen=True, kw_only=True, omit_defaults=True, tag="turn.finished"):
    """An agent stopped working and waits for the next prompt."""

    background_tasks: Count = 0


class ContextCompacted(
    AgentFact, frozen=True, kw_only=True, omit_defaults=True, tag="context.compacted"
):
    """A session's context was made smaller."""

    trigger: Name = ""
    before_tokens: Count = 0
    after_tokens: Count = 0


class ModeChanged(AgentFact, frozen=True, kw_only=True, omit_defaults=True, tag="mode.changed"):
    """A session's permission mode changed."""

    from_mode: Name = ""
    to_mode: Name = ""


class McpChanged(AgentFact, frozen=True, kw_only=True, omit_defaults=True, tag="mcp.changed"):
    """A tool server of a session connected, failed or left."""

    mcp_server: Name = ""
    status: Name = ""


class SkillUsed(AgentFact, frozen=True, kw_only=True, omit_defaults=True, tag="skill.used"):
    """A session took up a skill."""

    skill: Name = ""


class UsageReported(AgentFact, frozen=True, kw_only=True, omit_defaults=True, tag="usage.reported"):
    """One point of a sender's own metric: the other account of a session, beside its events.

    `value` is the growth since `start_ms`, or the running total where `cumulative` is true; whoever
    folds it takes the difference. Each `start_ms` of a series is a total of its own, and a smaller
    value of one is a reset.
    """

    metric: Annotated[str, Meta(min_length=1, max_length=512)]
    value: float
    unit: Name = ""
    start_ms: EpochMs = 0
    cumulative: bool = False
    series: Name = ""
    """A digest of metric, resource and attributes: which running total this point belongs to."""
    kind: Name = ""
    """The attribute `type`: input, output, added, removed, user, cli …"""
    model: Name = ""
    query_source: Name = ""
    skill: Name = ""
    attributes: dict[str, Scalar] = field(default_factory=dict)


class TaskCreated(AgentFact, frozen=True, kw_only=True, omit_defaults=True, tag="task.created"):
    """Work was written down to be done."""

    task_id: Name = ""
    subject: Text = ""


class TaskFinished(AgentFact, frozen=True, kw_only=True, omit_defaults=True, tag="task.finished"):
    """An agent handed back a task."""

    task_id: Name = ""
    subject: Text = ""
    succeeded: bool = True


class AgentObserved(AgentFact, frozen=True, kw_only=True, omit_defaults=True, tag="agent.observed"):
    """A record that maps to none of the others, kept as it came under the name it came with."""

    name: Annotated[str, Meta(min_length=1, max_length=512)]
    body: Text = ""
    severity: Name = ""
    duration_ms: Count | None = None
    trace_id: Name = ""
    span_id: Name = ""
    parent_span_id: Name = ""
    attributes: dict[str, Scalar] = field(default_factory=dict)


AgentEvent = (
    SessionStarted | SessionEnded | PromptSubmitted | RequestFinished | RequestFailed | ToolDecided
    | ToolStarted | ToolFinished | AgentStarted | AgentFinished | AttentionNeeded | TurnFinished
    | ContextCompacted | ModeChanged | McpChanged | SkillUsed | UsageReported | TaskCreated
    | TaskFinished | AgentObserved
)  # fmt: skip
