"""What a set of transcripts amounts to, each fact counted once over all of its files."""

from typing import Final

from msgspec import Struct, field

from gateway.transcripts.lines import Fault, Usage

BAD_LINES_SHOWN_MAX: Final = 1_000
"""Bad lines that are named by file and line; further ones are counted only."""


class Skipped(Struct, frozen=True):
    """One bad line: where it is and why."""

    file: str
    line: int
    reason: Fault


class Spent(Struct):
    """What one model's answers took; `reported_nanousd` is what their own lines say of cost.

    The `unpriced` counts are of answers that do not say what they cost.
    """

    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    reported_nanousd: int = 0
    unpriced: dict[str, int] = field(default_factory=dict)

    def add(self, usage: Usage, cost_nanousd: int | None, sign: int) -> None:
        """Add an answer, or take it back with a `sign` of -1."""
        self.requests += sign
        for name in USAGE_FIELDS:
            number = getattr(usage, name)
            setattr(self, name, getattr(self, name) + sign * number)
            if cost_nanousd is None:
                self.unpriced[name] = self.unpriced.get(name, 0) + sign * number
        self.reported_nanousd += sign * (cost_nanousd or 0)


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

    def tokens(self, name: str) -> int:
        """Return the tokens of one kind over all models."""
        return sum(getattr(spent, name) for spent in self.by_model.values())

    def skip(self, file: str, line: int, reason: Fault) -> None:
        """Count a bad line."""
        self.skipped[reason] = self.skipped.get(reason, 0) + 1
        if len(self.shown) < BAD_LINES_SHOWN_MAX:
            self.shown.append(Skipped(file, line, reason))


USAGE_FIELDS: Final = Usage.__struct_fields__
