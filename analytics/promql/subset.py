"""What of PromQL is evaluated: the lists that parsing checks, evaluation serves and docs print.

The rest is refused by name. `analytics.promql.functions` and its neighbours hold one function for
each name below; a test keeps the lists equal.
"""

from typing import Final

RANGE_FUNCTIONS: Final = frozenset(
    {
        "absent_over_time", "avg_over_time", "changes", "count_over_time", "delta", "deriv",
        "idelta", "increase", "irate", "last_over_time", "max_over_time", "min_over_time",
        "predict_linear", "present_over_time", "quantile_over_time", "rate", "resets",
        "stddev_over_time", "stdvar_over_time", "sum_over_time",
    }
)  # fmt: skip
"""Functions of the samples of a range."""

VALUE_FUNCTIONS: Final = frozenset(
    {
        "abs", "acos", "acosh", "asin", "asinh", "atan", "atanh", "ceil", "cos", "cosh", "deg",
        "exp", "floor", "ln", "log10", "log2", "rad", "sgn", "sin", "sinh", "sqrt", "tan", "tanh",
    }
)  # fmt: skip
"""Functions of each value by itself."""

DATE_FUNCTIONS: Final = frozenset(
    {
        "day_of_month", "day_of_week", "day_of_year", "days_in_month", "hour", "minute", "month",
        "year",
    }
)  # fmt: skip
"""Parts of a time in seconds, UTC."""

OTHER_FUNCTIONS: Final = frozenset(
    {
        "absent", "clamp", "clamp_max", "clamp_min", "histogram_quantile", "label_join",
        "label_replace", "pi", "round", "scalar", "sort", "sort_desc", "time", "timestamp",
        "vector",
    }
)  # fmt: skip
"""The rest of the functions."""

FUNCTIONS: Final = RANGE_FUNCTIONS | VALUE_FUNCTIONS | DATE_FUNCTIONS | OTHER_FUNCTIONS

AGGREGATIONS: Final = frozenset(
    {
        "avg", "bottomk", "count", "group", "max", "min", "quantile", "stddev", "stdvar", "sum",
        "topk",
    }
)  # fmt: skip

ARITHMETIC: Final = frozenset({"+", "-", "*", "/", "%", "^", "atan2"})
COMPARISONS: Final = frozenset({"==", "!=", ">", "<", ">=", "<="})
SETS: Final = frozenset({"and", "or", "unless"})
OPERATORS: Final = ARITHMETIC | COMPARISONS | SETS
