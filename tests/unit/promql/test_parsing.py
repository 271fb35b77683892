"""What is no PromQL, or beyond the subset, is refused where it stands."""

import re
from pathlib import Path
from typing import Final

import pytest

from analytics.promql import BadExpression, parse, subset
from analytics.promql.calls import CHANGES, LAST_TWO, SPECIAL
from analytics.promql.functions import PARTS, VALUES
from analytics.promql.matching import OPERATIONS
from analytics.promql.parsing import CHARACTERS_MAX
from analytics.promql.windowing import PLAIN

PAGE: Final = Path(__file__).resolve().parents[3] / "docs/PROMQL.md"


@pytest.mark.requirement("promql-refused")
@pytest.mark.parametrize(
    ("text", "line", "column", "said"),
    [
        ("x @ 5", 1, 3, "modifier @"),
        ("sum(\n  x[5m])", 1, 4, "expected type"),
        ("max_over_time(\n  x[5m:1m])", 2, 4, "subqueries"),
        ("rate(x[5m] offset -5m)", 1, 12, "into the future"),
        ("1 + holt_winters(x[5m], 0.5, 0.5)", 1, 5, "holt_winters"),
        ("1 +\n foo(x)", 2, 2, "foo"),
        ('x{a="holt("} + count_values("a", x)', 1, 16, "count_values"),
        ("limitk(2, x)", 1, 1, "limitk"),
        ('x{a="b" or c="d"}', 1, 9, "or between matchers"),
        ("a + ) b", 1, 5, "parenthesis"),
        ("a\nb c", 2, 1, "invalid"),
        ("sum(rate(x[5m]) by (a)", 1, 23, "unclosed"),
        ('x{a=~"["}', 1, 6, "regex"),
        ("rate(x)", 1, 1, "expected type matrix"),
        ("", 1, 1, "no expression"),
        ("(" * 200 + "1" + ")" * 200, 1, 101, "nested"),
        ("1" + "+1" * CHARACTERS_MAX, 1, 1, "characters"),
        ("- " * 200 + "x", 1, 201, "nested"),
        ("1" + "+1" * 400, 1, 1, "nested"),
    ],
)
def test_a_refusal_names_line_and_column(text: str, line: int, column: int, said: str) -> None:
    with pytest.raises(BadExpression) as caught:
        parse(text)

    assert (caught.value.line, caught.value.column) == (line, column)
    assert said in caught.value.reason


@pytest.mark.requirement("promql-refused")
def test_the_lists_of_the_subset_are_what_there_is_code_for() -> None:
    of_ranges = CHANGES | LAST_TWO | PLAIN.keys()
    by_name = {"absent_over_time", "deriv", "predict_linear", "quantile_over_time"}

    assert of_ranges | by_name == subset.RANGE_FUNCTIONS
    assert VALUES.keys() == subset.VALUE_FUNCTIONS
    assert PARTS.keys() == subset.DATE_FUNCTIONS
    assert SPECIAL.keys() == subset.OTHER_FUNCTIONS
    assert OPERATIONS.keys() == subset.ARITHMETIC | subset.COMPARISONS


@pytest.mark.requirement("promql-refused")
@pytest.mark.parametrize(
    ("title", "names"),
    [
        ("Functions of ranges", subset.RANGE_FUNCTIONS),
        ("Functions of values", subset.VALUE_FUNCTIONS),
        ("Parts of a time", subset.DATE_FUNCTIONS),
        ("Other functions", subset.OTHER_FUNCTIONS),
        ("Aggregations", subset.AGGREGATIONS),
        ("Operators", subset.OPERATORS),
    ],
)
def test_the_page_lists_what_is_evaluated(title: str, names: frozenset[str]) -> None:
    row = next(line for line in PAGE.read_text().splitlines() if line.startswith(f"| {title} |"))

    assert set(re.findall(r"`([^`]+)`", row)) == names
