"""What a set of transcripts amounts to, each fact counted once over all of its files."""

from collections.abc import Iterable
from typing import Final

from msgspec import Struct, field, structs

from gateway.transcripts.lines import LineFault, Usage

BAD_LINES_SHOWN_MAX: Final = 1_000
"""Bad lines that are named by file and line; further ones are counted only."""


class Skipped(Struct, frozen=True):
    """One bad line: where it is and why."""

    file: str
    line: int
    reason: LineFault


class Unread(Struct, frozen=True):
    """A file or folder that was passed over: where it is and why."""

    path: str
    reason: str


class Cost(Struct, frozen=True):
    """What an answer cost: as its line says, else as a price table does, else not known."""

    reported_nanousd: int | None = None
    estimated_nanousd: int | None = None


class Spent(Struct):
    """What one model's answers took."""

    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    reported_nanousd: int = 0
    estimated_nanousd: int = 0
    unpriced: int = 0
    """Answers that took tokens and whose cost is not known."""
    unpriced_tokens: int = 0

    def add(self, usage: Usage, cost: Cost, sign: int) -> None:
        """Add an answer, or take it back with a `sign` of -1."""
        self.requests += sign
        self.input_tokens += sign * usage.input_tokens
        self.output_tokens += sign * usage.output_tokens
        self.cache_read_tokens += sign * usage.cache_read_tokens
        self.cache_write_tokens += sign * usage.cache_write_tokens
        if cost.reported_nanousd is not None:
            self.reported_nanousd += sign * cost.reported_nanousd
        elif cost.estimated_nanousd is not None:
            self.estimated_nanousd += sign * cost.estimated_nanousd
        elif usage.total:
            self.unpriced += sign
            self.unpriced_tokens += sign * usage.total


class Totals(Struct):
    """Counts over all files read so far."""

    files: int = 0
    lines: int = 0
    sessions: int = 0
    prompts: int = 0
    tool_calls: int = 0
    """Tool calls that ended, well or not, as the store counts them."""
    tool_refusals: int = 0
    tool_calls_open: int = 0
    """Tool calls that no line tells the end of: nothing counts them yet."""
    failures: int = 0
    by_model: dict[str, Spent] = field(default_factory=dict)
    uncounted: dict[str, int] = field(default_factory=dict)
    """Lines of kinds that hold nothing to count, by kind."""
    skipped: dict[LineFault, int] = field(default_factory=dict)
    shown: list[Skipped] = field(default_factory=list)
    unread: list[Unread] = field(default_factory=list)
    """Files and folders that could not be read, or not to their end."""

    @property
    def requests(self) -> int:
        """Answers of models."""
        return sum(spent.requests for spent in self.by_model.values())

    @property
    def messages(self) -> int:
        """Prompts and answers."""
        return self.prompts + self.requests

    @property
    def spent(self) -> Spent:
        """What the answers of all models took."""
        every = [structs.astuple(spent) for spent in self.by_model.values()]
        return Spent(*(sum(column) for column in zip(*every, strict=True)))

    def end_call(self, *, refused: bool, was_open: bool) -> None:
        """Count the end of a tool call, and that it is open no more."""
        self.tool_refusals += refused
        self.tool_calls += not refused
        self.tool_calls_open -= was_open

    def skip(self, file: str, line: int, reason: LineFault) -> None:
        """Count a bad line."""
        self.skipped[reason] = self.skipped.get(reason, 0) + 1
        if len(self.shown) < BAD_LINES_SHOWN_MAX:
            self.shown.append(Skipped(file, line, reason))


def combined(parts: Iterable[Totals]) -> Totals:
    """Return what several sets of transcripts, of different agents, amount to together."""
    whole = Totals()
    for part in parts:
        whole.files += part.files
        whole.lines += part.lines
        whole.sessions += part.sessions
        whole.prompts += part.prompts
        whole.tool_calls += part.tool_calls
        whole.tool_refusals += part.tool_refusals
        whole.tool_calls_open += part.tool_calls_open
        whole.failures += part.failures
        for model, spent in part.by_model.items():
            known = structs.astuple(whole.by_model.get(model, Spent()))
            both = zip(known, structs.astuple(spent), strict=True)
            whole.by_model[model] = Spent(*(sum(pair) for pair in both))
        for kind, number in part.uncounted.items():
            whole.uncounted[kind] = whole.uncounted.get(kind, 0) + number
        for reason, number in part.skipped.items():
            whole.skipped[reason] = whole.skipped.get(reason, 0) + number
        whole.shown += part.shown[: BAD_LINES_SHOWN_MAX - len(whole.shown)]
        whole.unread += part.unread
    return whole
