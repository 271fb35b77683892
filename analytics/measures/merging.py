"""One model request, tool call or prompt, as several sources tell of it.

The same request may be reported by a log record, a span, a hook and a transcript line. Reports of
one thing (see `reports`) are merged, never added: of texts and durations the first that says
anything wins, of token and line counts the larger, a stated cost over an estimate, and a failure
once told stays told. What a merge changes is counted as a difference, so the totals do not depend
on the order of reports that agree. `Dimensions` name the series that a fact is counted in; they are
completed the same way.
"""

from typing import Final

from msgspec import Struct

from analytics.contracts.agent_events import RequestFailed, RequestFinished
from analytics.measures.columns import (
    CACHE_READ_TOKENS,
    CACHE_WRITE_TOKENS,
    CALL_ERRORS,
    CALLS,
    COST_ESTIMATED_NANOUSD,
    COST_NANOUSD,
    INPUT_TOKENS,
    LINES_ADDED,
    LINES_REMOVED,
    OUTPUT_TOKENS,
    PROMPTS,
    RATE_LIMITS,
    TOOL_CALLS,
    TOOL_ERRORS,
    TOOL_REFUSALS,
    UNPRICED_CALLS,
    UNPRICED_TOKENS,
)
from analytics.measures.prices import NOTHING_APART, PricedExtras, PriceTable, apart_of
from analytics.measures.reports import OWN, Shape

RATE_LIMIT: Final = "rate_limit"
"""The `kind` of a `request.failed` that was refused for its rate."""

Dimensions = tuple[str, str, str, str, str, str]
"""project, agent, model, tool, skill and query source of what is counted."""

REQUEST_COLUMNS: Final = (
    CALLS, CALL_ERRORS, RATE_LIMITS, INPUT_TOKENS, OUTPUT_TOKENS, CACHE_READ_TOKENS,
    CACHE_WRITE_TOKENS, COST_NANOUSD, COST_ESTIMATED_NANOUSD,
    UNPRICED_CALLS, UNPRICED_TOKENS,
)  # fmt: skip
"""What a request is counted in, in the order of `RequestState.amounts`."""

TOOL_COLUMNS: Final = (TOOL_CALLS, TOOL_ERRORS, TOOL_REFUSALS, LINES_ADDED, LINES_REMOVED)
"""What a tool call is counted in, in the order of `ToolState.amounts`."""

PROMPT_COLUMNS: Final = (PROMPTS,)
"""What a prompt is counted in, in the order of `PromptState.amounts`."""

FAILED: Final[Shape] = ("failed",)
"""The shape of requests that failed: their sources disagree about all else."""

_NOTHING_OF_REQUEST: Final = (0,) * len(REQUEST_COLUMNS)
_NOTHING_OF_TOOL: Final = (0,) * len(TOOL_COLUMNS)
_UNNAMED_TOOLS: Final = "mcp_"
"""How the names of tools begin that a sender's logs call by one name, and its hooks do not."""


class RequestState(Struct, array_like=True, gc=False):
    """What is known of one model request so far, and where it is counted."""

    key: str
    when_ms: int
    project: str
    agent: str
    model: str
    skill: str
    query_source: str
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    reported_nanousd: int | None = None
    cost_nanousd: int = 0
    duration_ms: int | None = None
    failed: bool = False
    limited: bool = False
    latency_movable: bool = False
    """Whether the duration is counted under these dimensions, in windows that were open."""
    ingest_paths: int = 0
    kinds: int = OWN
    also: str = ""
    elsewhere: bool = False
    apart: PricedExtras = NOTHING_APART
    """What of it costs apart."""
    free: bool = False
    """Whether its cost is known, and nothing."""

    def shape(self) -> Shape:
        """Return what requests alike have in common."""
        if self.failed:
            return FAILED
        return answer_shape(
            self.input_tokens, self.output_tokens, self.cache_read_tokens, self.cache_write_tokens
        )

    def belong(self, project: str, agent: str) -> None:
        """Complete what the request belongs to."""
        self.project = self.project or project
        self.agent = self.agent or agent

    def dimensions(self) -> Dimensions:
        """Return the series that the request is counted in."""
        return (self.project, self.agent, self.model, "", self.skill, self.query_source)

    def amounts(self) -> tuple[int, ...]:
        """Return what the request adds to each of `REQUEST_COLUMNS`."""
        return _NOTHING_OF_REQUEST if self.elsewhere else self.whole()

    def whole(self) -> tuple[int, ...]:
        """Return what the request comes to, whichever session counts it."""
        cost, tokens = self.cost_nanousd, self.unpriced_tokens()
        return (
            1,
            int(self.failed),
            int(self.limited),
            self.input_tokens,
            self.output_tokens,
            self.cache_read_tokens,
            self.cache_write_tokens,
            cost,
            0 if self.reported_nanousd is not None else cost,
            int(tokens > 0),
            tokens,
        )

    def unpriced_tokens(self) -> int:
        """Return the tokens that it took if their cost is not known."""
        if self.cost_nanousd or self.free or self.reported_nanousd is not None:
            return 0
        return (
            self.input_tokens
            + self.output_tokens
            + self.cache_read_tokens
            + self.cache_write_tokens
        )

    def take_finished(self, event: RequestFinished) -> None:
        """Merge a report of the answer."""
        self._complete(event.model, event.skill, event.query_source)
        self.input_tokens = max(self.input_tokens, event.input_tokens)
        self.output_tokens = max(self.output_tokens, event.output_tokens)
        self.cache_read_tokens = max(self.cache_read_tokens, event.cache_read_tokens)
        self.cache_write_tokens = max(self.cache_write_tokens, event.cache_write_tokens)
        self.apart = self.apart.merged(apart_of(event))
        if event.cost_nanousd is not None:
            self.reported_nanousd = max(self.reported_nanousd or 0, event.cost_nanousd)
        if self.duration_ms is None:
            self.duration_ms = event.duration_ms

    def take_failed(self, event: RequestFailed) -> None:
        """Merge a report of the failure."""
        self._complete(event.model, event.skill, event.query_source)
        self.failed = True
        self.limited = self.limited or event.kind == RATE_LIMIT
        if self.duration_ms is None:
            self.duration_ms = event.duration_ms

    def complete(self, other: "RequestState") -> None:
        """Take from another report of the same request what this one does not say."""
        self.belong(other.project, other.agent)
        self._complete(other.model, other.skill, other.query_source)
        self.apart = self.apart.merged(other.apart)
        if other.reported_nanousd is not None:
            self.reported_nanousd = max(self.reported_nanousd or 0, other.reported_nanousd)
        if self.duration_ms is None:
            self.duration_ms = other.duration_ms

    def price(self, prices: PriceTable) -> bool:
        """Settle the cost by what is known now; say whether that could be done."""
        if self.reported_nanousd is not None:
            self.cost_nanousd = self.reported_nanousd
            return True
        cost = prices.cost_nanousd(
            self.model,
            self.input_tokens,
            self.output_tokens,
            self.cache_read_tokens,
            self.cache_write_tokens,
            apart=self.apart,
        )
        self.cost_nanousd, self.free = cost or 0, cost == 0
        return cost is not None

    def _complete(self, model: str, skill: str, query_source: str) -> None:
        self.model = self.model or model
        self.skill = self.skill or skill
        self.query_source = self.query_source or query_source


class ToolState(Struct, array_like=True, gc=False):
    """What is known of one tool call so far, and where it is counted."""

    key: str
    when_ms: int
    project: str
    agent: str
    tool: str
    skill: str
    called: bool = False
    failed: bool = False
    refused: bool = False
    lines_added: int = 0
    lines_removed: int = 0
    looked_at: bool = False
    """Whether its input was compared with the call before."""
    ingest_paths: int = 0
    kinds: int = OWN
    also: str = ""
    elsewhere: bool = False

    def shape(self) -> Shape:
        """Return what tool calls alike have in common."""
        if self.refused and not self.called:
            return refusal_shape(self.tool)
        return call_shape(self.tool, failed=self.failed) if self.called else begun_shape(self.tool)

    def belong(self, project: str, agent: str) -> None:
        """Complete what the call belongs to."""
        self.project = self.project or project
        self.agent = self.agent or agent

    def dimensions(self) -> Dimensions:
        """Return the series that the call is counted in."""
        return (self.project, self.agent, "", self.tool, self.skill, "")

    def complete(self, other: "ToolState") -> None:
        """Take from another report of the same call what this one does not say."""
        self.belong(other.project, other.agent)
        self.tool = self.tool or other.tool
        self.skill = self.skill or other.skill
        self.failed = self.failed or other.failed
        self.lines_added = max(self.lines_added, other.lines_added)
        self.lines_removed = max(self.lines_removed, other.lines_removed)

    def amounts(self) -> tuple[int, ...]:
        """Return what the call adds to each of `TOOL_COLUMNS`."""
        return _NOTHING_OF_TOOL if self.elsewhere else self.whole()

    def whole(self) -> tuple[int, ...]:
        """Return what the call comes to, whichever session counts it."""
        return (
            int(self.called),
            int(self.failed),
            int(self.refused),
            self.lines_added,
            self.lines_removed,
        )


class PromptState(Struct, array_like=True, gc=False):
    """What is known of one prompt so far, and where it is counted."""

    key: str
    when_ms: int
    project: str = ""
    agent: str = ""
    length: int = 0
    ingest_paths: int = 0
    kinds: int = OWN
    also: str = ""
    elsewhere: bool = False
    by_likeness: bool = False
    """Whether it is `elsewhere` for a copy that shares no name with it, but is like it."""

    def shape(self) -> Shape:
        """Return what prompts alike have in common."""
        return (self.length,)

    def belong(self, project: str, agent: str) -> None:
        """Complete what the prompt belongs to."""
        self.project = self.project or project
        self.agent = self.agent or agent

    def dimensions(self) -> Dimensions:
        """Return the series that the prompt is counted in."""
        return (self.project, self.agent, "", "", "", "")

    def amounts(self) -> tuple[int, ...]:
        """Return what the prompt adds to each of `PROMPT_COLUMNS`."""
        return (0 if self.elsewhere else 1,)


class CounterState(Struct, array_like=True, gc=False):
    """The last point of a running total that a sender reports."""

    key: str
    start_ms: int
    at_ms: int
    total: int


def answer_shape(
    input_tokens: int, output_tokens: int, cache_read_tokens: int, cache_write_tokens: int
) -> Shape:
    """Return what answers alike have in common; what they call their model is no part of it."""
    return (input_tokens, output_tokens, cache_read_tokens, cache_write_tokens)


def call_shape(tool: str, *, failed: bool) -> Shape:
    """Return what finished tool calls alike have in common."""
    return (_tool_group(tool), failed)


def begun_shape(tool: str) -> Shape:
    """Return what tool calls alike have in common of which only the beginning is known."""
    return ("begun", _tool_group(tool))


def refusal_shape(tool: str) -> Shape:
    """Return what refused tool calls alike have in common."""
    return ("refused", _tool_group(tool))


def _tool_group(tool: str) -> str:
    return _UNNAMED_TOOLS if tool.startswith(_UNNAMED_TOOLS) else tool
