"""What Codex counts of its tokens: running totals of a thread, and what each line adds to them.

A rollout tells the thread's total again with each change of its rate limits, and a compaction sets
what is in the context apart from what was used; a line whose total is the one before adds nothing.
A fork goes on from its parent's total, so of a total that begins in the middle only the last
request counts.
"""

from typing import Final

from msgspec import Struct

from gateway.otlp import coercion
from gateway.otlp.coercion import Value
from gateway.otlp.tokens import without_cache
from gateway.transcripts.lines import Usage


class Counts(Struct, frozen=True):
    """Tokens as Codex counts them: cached ones are part of the input, reasoning of the output."""

    input: int = 0
    cached: int = 0
    written: int = 0
    output: int = 0
    reasoning: int = 0

    @property
    def usage(self) -> Usage:
        """The same, disjoint."""
        tokens = without_cache(self.input, self.cached, self.written)
        return Usage(tokens.input, self.output, tokens.cache_read, tokens.cache_write)

    @property
    def name(self) -> str:
        """A text that tells this total from the thread's others."""
        return f"{self.input}/{self.cached}/{self.written}/{self.output}/{self.reasoning}"

    def less(self, other: "Counts") -> "Counts | None":
        """Return what this total has more than an earlier one; None where it began again."""
        rest = Counts(
            self.input - other.input,
            self.cached - other.cached,
            self.written - other.written,
            self.output - other.output,
            self.reasoning - other.reasoning,
        )
        return None if min(rest.input, rest.output, rest.cached, rest.written) < 0 else rest


NOTHING: Final = Counts()


def counts(given: Value) -> Counts | None:
    """Return the counts that a line holds, or None where it holds none."""
    if not isinstance(given, dict):
        return None
    return Counts(
        input=coercion.count(given.get("input_tokens")) or 0,
        cached=coercion.count(given.get("cached_input_tokens")) or 0,
        written=coercion.count(given.get("cache_write_input_tokens")) or 0,
        output=coercion.count(given.get("output_tokens")) or 0,
        reasoning=coercion.count(given.get("reasoning_output_tokens")) or 0,
    )


def added(before: Counts | None, total: Counts, last: Counts | None, *, continued: bool) -> Counts:
    """Return what a total adds to the one before; `continued` is a thread begun by another."""
    if before is None:
        return last if continued and last is not None else total
    rest = total.less(before)
    if rest is not None:
        return rest
    return total if last is None else last


def plus(before: Counts | None, last: Counts) -> Counts:
    """Return the total after a request, for a line that says no total."""
    known = before or NOTHING
    return Counts(
        known.input + last.input,
        known.cached + last.cached,
        known.written + last.written,
        known.output + last.output,
        known.reasoning + last.reasoning,
    )
