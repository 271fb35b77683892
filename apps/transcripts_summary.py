"""What an import amounts to, as figures for programs and as words for people."""

from collections.abc import Iterator
from typing import Final

from msgspec import Struct, structs

from apps.transcripts_send import Sent
from gateway.transcripts.totals import Spent, Totals

NANO: Final = 1_000_000_000


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
    prices: str


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


class Outcome(Struct, frozen=True):
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
    tokens: Tokens
    cost: Costs
    skipped: Bad
    not_counted: dict[str, int]
    """Lines of kinds that hold nothing to count."""
    events: Outcome
    dry_run: bool
    stopped: bool


def summary(totals: Totals, sent: Sent, *, prices: str, dry_run: bool, stopped: bool) -> Summary:
    """Return the figures of an import."""
    spent = totals.spent
    return Summary(
        files=totals.files,
        lines=totals.lines,
        sessions=totals.sessions,
        messages=totals.messages,
        prompts=totals.prompts,
        requests=totals.requests,
        failures=totals.failures,
        tool_calls=totals.tool_calls,
        tokens=Tokens(
            spent.input_tokens,
            spent.output_tokens,
            spent.cache_read_tokens,
            spent.cache_write_tokens,
        ),
        cost=_costs(spent, prices),
        skipped=Bad(
            sum(totals.skipped.values()),
            {str(reason): number for reason, number in totals.skipped.items()},
            [BadLine(bad.file, bad.line, str(bad.reason)) for bad in totals.shown],
        ),
        not_counted=totals.uncounted,
        events=Outcome(sent.total, sent.accepted, sent.duplicate, sent.refused, sent.reasons),
        dry_run=dry_run,
        stopped=stopped,
    )


def _costs(spent: Spent, prices: str) -> Costs:
    return Costs(
        spent.reported_nanousd / NANO,
        spent.estimated_nanousd / NANO,
        spent.reported_nanousd,
        spent.estimated_nanousd,
        spent.unpriced,
        prices,
    )


def words(given: Summary, *, bad_lines_max: int) -> Iterator[str]:
    """Yield the figures as lines for a person."""
    yield f"sessions   {given.sessions:,} in {given.files:,} files"
    yield f"messages   {given.messages:,} ({given.prompts:,} prompts, {given.requests:,} answers)"
    yield f"tool calls {given.tool_calls:,}"
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
    if given.skipped.total:
        yield f"skipped    {given.skipped.total:,} lines that cannot be read"
    for bad in given.skipped.lines[:bad_lines_max]:
        yield f"  {bad.file}:{bad.line}: {bad.reason}"
    if given.skipped.total > bad_lines_max:
        yield f"  … and {given.skipped.total - bad_lines_max:,} more; --json tells them"
    if given.stopped:
        yield "stopped before the end; import again to go on, nothing counts twice"


def _cost_words(cost: Costs) -> Iterator[str]:
    yield (
        f"cost       {cost.reported_usd:,.4f} USD reported,"
        f" {cost.estimated_usd:,.4f} USD estimated by list prices {cost.prices}"
    )
    if cost.unpriced_requests:
        yield f"           {cost.unpriced_requests:,} answers by models without a list price"
