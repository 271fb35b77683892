"""PromQL over our series: what is read, and what it comes to."""

from analytics.promql.engine import Dialect, Result, instant, ranged
from analytics.promql.errors import BadEvaluation, BadExpression
from analytics.promql.memory import MemoryStorage
from analytics.promql.parsing import Expression, parse
from analytics.promql.series import Labels, Matrix, Point, Sample, Series, Storage, Vector, labelled

__all__ = [
    "BadEvaluation",
    "BadExpression",
    "Dialect",
    "Expression",
    "Labels",
    "Matrix",
    "MemoryStorage",
    "Point",
    "Result",
    "Sample",
    "Series",
    "Storage",
    "Vector",
    "instant",
    "labelled",
    "parse",
    "ranged",
]
