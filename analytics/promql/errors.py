"""What can be wrong with an expression: before it is evaluated, and while it is."""

from analytics.contracts.errors import Refused


class BadExpression(Refused):
    """A text that is no PromQL, or PromQL beyond what we evaluate."""

    code = "bad-expression"

    def __init__(self, text: str, line: int, column: int, reason: str) -> None:
        self.text = text
        self.line = line
        self.column = column
        self.reason = reason
        super().__init__(f"{line}:{column}: {reason}")


class BadPattern(BadExpression):
    """PromQL with a pattern that is none, or beyond its limits."""


class BadEvaluation(Refused):
    """An expression that has no answer for the series there are, as where two rows look alike."""

    code = "bad-evaluation"
