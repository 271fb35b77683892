"""What a set of transcripts amounts to, each fact counted once over all of its files."""

from typing import Final

from msgspec import Struct, field, structs

from gateway.transcripts.lines import Fault, Usage

BAD_LINES_SHOWN_MAX: Final = 1_000
"""Bad lines that are named by file and line; further ones are counted only."""


class Skipped(Struct, frozen=True):
    """One bad line: where it is and why."""

    file: str
    line: int
    reason: Fault


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


class Totals(Struct):
    """Counts over all files read so far."""

    files: int = 0
    lines: int = 0
    sessions: int = 0
    prompts: int = 0
    tool_calls: int = 0
    failures: int = 0
    by_model: dict[str, Spent] = field(default_factory=dict)
    uncounted: dict[str, int] = field(default_factory=dict)
    """Lines of kinds that hold nothing to count, by kind."""
    skipped: dict[Fault, int] = field(default_factory=dict)
    shown: list[Skipped] = field(default_factory=list)

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

    def skip(self, file: str, line: int, reason: Fault) -> None:
        """Count a bad line."""
        self.skipped[reason] = self.skipped.get(reason, 0) + 1
        if len(self.shown) < BAD_LINES_SHOWN_MAX:
            self.shown.append(Skipped(file, line, reason))
