"""PromQL over our series: what is read, and what it comes to."""

from analytics.promql.budget import Budget, TooCostly, TooSlow
from analytics.promql.engine import Dialect, Result, check_steps, instant, ranged
from analytics.promql.errors import BadEvaluation, BadExpression, BadPattern
from analytics.promql.held import held
from analytics.promql.memory import MemoryStorage
from analytics.promql.parsing import Expression, parse
from analytics.promql.series import (
    InstantPoint,
    Labels,
    Matrix,
    Sample,
    Series,
    Storage,
    Vector,
    labelled,
)

__all__ = [
    "BadEvaluation",
    "BadExpression",
    "BadPattern",
    "Budget",
    "Dialect",
    "Expression",
    "Labels",
    "Matrix",
    "MemoryStorage",
    "InstantPoint",
    "Result",
    "Sample",
    "Series",
    "Storage",
    "TooCostly",
    "TooSlow",
    "Vector",
    "check_steps",
    "held",
    "instant",
    "labelled",
    "parse",
    "ranged",
]
