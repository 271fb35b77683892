"""What an import amounts to, as figures for programs and as words for people."""

from collections.abc import Iterator, Mapping
from typing import Final

from msgspec import Struct, structs

from apps.transcripts.agents import CLAUDE
from apps.transcripts.sender import Sent
from gateway.transcripts.totals import Spent, Totals, Unread, combined

NANO: Final = 1_000_000_000
MODELS_SHOWN_MAX: Final = 10
"""Models without a price that people are told of; programs get all."""


class Tokens(Struct, frozen=True):
    """Tokens by kind, disjoint."""

    input: int
    output: int
    cache_read: int
    cache_write: int


class Costs(Struct, frozen=True):
    """Cost in USD: what lines say themselves, and what the price table makes of the rest."""

    reported_usd: float
    estimated_usd: float
    reported_nanousd: int
    estimated_nanousd: int
    unpriced_requests: int
    unpriced_tokens: int
    unpriced_share: float
    """Of all tokens, those whose cost is not known."""
    unpriced_models: dict[str, int]
    """Their tokens by model."""
    prices: str


class AgentFigures(Struct, frozen=True, kw_only=True):
    """What the history of one agent amounts to."""

    agent: str
    files: int
    sessions: int
    prompts: int
    requests: int
    failures: int
    tool_calls: int
    """As the history has them; `tool_refusals` and `tool_calls_open` of them count as none."""
    tool_refusals: int
    tool_calls_open: int
    """Without a result so far."""
    tokens: Tokens
    cost: Costs


class BadLine(Struct, frozen=True):
    """A line that was skipped."""

    file: str
    line: int
    reason: str


class Bad(Struct, frozen=True):
    """All lines that were skipped; `lines` names the first of them."""

    total: int
    reasons: dict[str, int]
    lines: list[BadLine]


class ImportOutcome(Struct, frozen=True):
    """What became of the events."""

    sent: int
    accepted: int
    duplicate: int
    refused: int
    reasons: dict[str, int]


class Summary(Struct, frozen=True, kw_only=True):
    """All figures of an import."""

    files: int
    lines: int
    sessions: int
    messages: int
    prompts: int
    requests: int
    failures: int
    tool_calls: int
    """As the history has them; `tool_refusals` and `tool_calls_open` of them count as none."""
    tool_refusals: int
    tool_calls_open: int
    """Without a result so far."""
    tokens: Tokens
    cost: Costs
    skipped: Bad
    not_counted: dict[str, int]
    """Lines of kinds that hold nothing to count."""
    unread: list[Unread]
    """Files and folders that were passed over, each with the reason."""
    events: ImportOutcome
    dry_run: bool
    stopped: bool
    agents: list[AgentFigures]
    """The same figures by agent, of those that have any file."""


def summary(
    by_agent: Mapping[str, Totals], sent: Sent, *, prices: str, dry_run: bool, stopped: bool
) -> Summary:
    """Return the figures of an import, in all and by agent."""
    totals = combined(by_agent.values())
    spent = totals.spent
    return Summary(
        files=totals.files,
        lines=totals.lines,
        sessions=totals.sessions,
        messages=totals.messages,
        prompts=totals.prompts,
        requests=totals.requests,
        failures=totals.failures,
        tool_calls=totals.tool_calls + totals.tool_refusals + totals.tool_calls_open,
        tool_refusals=totals.tool_refusals,
        tool_calls_open=totals.tool_calls_open,
        tokens=_by_kind(spent),
        cost=_costs(totals, prices),
        skipped=Bad(
            sum(totals.skipped.values()),
            {str(reason): number for reason, number in totals.skipped.items()},
            [BadLine(bad.file, bad.line, str(bad.reason)) for bad in totals.shown],
        ),
        not_counted=totals.uncounted,
        unread=totals.unread,
        events=ImportOutcome(sent.total, sent.accepted, sent.duplicate, sent.refused, sent.reasons),
        dry_run=dry_run,
        stopped=stopped,
        agents=[_figures(name, each, prices) for name, each in by_agent.items() if each.files],
    )


def _figures(agent: str, totals: Totals, prices: str) -> AgentFigures:
    return AgentFigures(
        agent=agent,
        files=totals.files,
        sessions=totals.sessions,
        prompts=totals.prompts,
        requests=totals.requests,
        failures=totals.failures,
        tool_calls=totals.tool_calls + totals.tool_refusals + totals.tool_calls_open,
        tool_refusals=totals.tool_refusals,
        tool_calls_open=totals.tool_calls_open,
        tokens=_by_kind(totals.spent),
        cost=_costs(totals, prices),
    )


def _by_kind(spent: Spent) -> Tokens:
    return Tokens(
        spent.input_tokens,
        spent.output_tokens,
        spent.cache_read_tokens,
        spent.cache_write_tokens,
    )


def _costs(totals: Totals, prices: str) -> Costs:
    spent = totals.spent
    return Costs(
        spent.reported_nanousd / NANO,
        spent.estimated_nanousd / NANO,
        spent.reported_nanousd,
        spent.estimated_nanousd,
        spent.unpriced,
        spent.unpriced_tokens,
        spent.unpriced_tokens / (_tokens(spent) or 1),
        {
            model: one.unpriced_tokens
            for model, one in totals.by_model.items()
            if one.unpriced_tokens
        },
        prices,
    )


def _tokens(spent: Spent) -> int:
    kinds = (spent.input_tokens, spent.output_tokens, spent.cache_read_tokens)
    return sum(kinds) + spent.cache_write_tokens


def words(given: Summary, *, bad_lines_max: int) -> Iterator[str]:
    """Yield the figures as lines for a person."""
    yield f"sessions   {given.sessions:,} in {given.files:,} files"
    if len(given.agents) > 1 or any(each.agent != CLAUDE for each in given.agents):
        yield from (_agent_words(each) for each in given.agents)
    yield f"messages   {given.messages:,} ({given.prompts:,} prompts, {given.requests:,} answers)"
    yield f"tool calls {given.tool_calls:,}{_beside(given)}"
    kinds = structs.asdict(given.tokens).items()
    yield "tokens     " + ", ".join(f"{kind.replace('_', ' ')} {count:,}" for kind, count in kinds)
    yield from _cost_words(given.cost)
    events = given.events
    if given.dry_run:
        yield "events     none sent: this was a dry run"
    else:
        yield (
            f"events     {events.sent:,} sent: {events.accepted:,} accepted,"
            f" {events.duplicate:,} known already, {events.refused:,} refused"
        )
    for reason, number in events.reasons.items():
        yield f"  refused {number:,}: {reason}"
    yield from _left_out(given, bad_lines_max)
    if given.stopped:
        yield "stopped before the end; import again to go on, nothing counts twice"


def _beside(given: Summary) -> str:
    refused, left = given.tool_refusals, given.tool_calls_open
    said = [f"{refused:,} refused"] if refused else []
    said += [f"{left:,} without a result so far"] if left else []
    return f" ({', '.join(said)}: not counted)" if said else ""


def _left_out(given: Summary, bad_lines_max: int) -> Iterator[str]:
    if given.skipped.total:
        yield f"skipped    {given.skipped.total:,} lines that cannot be read"
    for bad in given.skipped.lines[:bad_lines_max]:
        yield f"  {bad.file}:{bad.line}: {bad.reason}"
    if given.skipped.total > bad_lines_max:
        yield f"  … and {given.skipped.total - bad_lines_max:,} more; --json tells them"
    if given.unread:
        yield f"passed over {len(given.unread):,} files or folders that cannot be read"
    for passed in given.unread[:bad_lines_max]:
        yield f"  {passed.path}: {passed.reason}"
    if len(given.unread) > bad_lines_max:
        yield f"  … and {len(given.unread) - bad_lines_max:,} more; --json tells them"


def _agent_words(given: AgentFigures) -> str:
    tokens = sum(structs.astuple(given.tokens))
    unpriced = given.cost.unpriced_requests
    return (
        f"  {given.agent:<8} {given.sessions:,} sessions, {given.requests:,} answers,"
        f" {tokens:,} tokens, {given.cost.reported_usd + given.cost.estimated_usd:,.4f} USD"
        f"{f', {unpriced:,} not priced' if unpriced else ''}"
    )


def _cost_words(cost: Costs) -> Iterator[str]:
    yield (
        f"cost       {cost.reported_usd:,.4f} USD reported,"
        f" {cost.estimated_usd:,.4f} USD estimated by list prices {cost.prices}"
    )
    if cost.unpriced_requests:
        models = ", ".join(sorted(cost.unpriced_models)[:MODELS_SHOWN_MAX])
        yield (
            f"not priced {cost.unpriced_requests:,} answers with {cost.unpriced_tokens:,} tokens"
            f" ({cost.unpriced_share:.1%} of all), which cost nothing above: {models}"
        )
