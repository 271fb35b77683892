"""What is no PromQL, or beyond the subset, is refused where it stands."""

import re
from pathlib import Path
from typing import Final

import pytest

from analytics.promql import BadExpression, parse, subset
from analytics.promql.calls import CHANGES, LAST_TWO, SPECIAL
from analytics.promql.functions import PARTS, VALUES
from analytics.promql.matching import OPERATIONS
from analytics.promql.nodes import Selector
from analytics.promql.parsing import CHARACTERS_MAX
from analytics.promql.windowing import PLAIN

PAGE: Final = Path(__file__).resolve().parents[3] / "docs/reference/promql.md"


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
        ('x{a=~"["}', 1, 6, "missing closing ]: `[`"),
        ('x{a="b", c!~`(?=d)`}', 1, 13, "look-around"),
        ('x{a=~"ok"} +\n y{b=~"ok", c=~"*"}', 2, 16, "missing argument"),
        ('x{a=~"\\y"}', 1, 6, "unknown escape sequence"),
        ("x{" + 'a=~"b",' * 101 + "}", 1, 706, "more than 100 patterns"),
        ('x{a="' + '\\"' * 8_000, 1, 16_006, "unexpected end"),
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
@pytest.mark.parametrize("operator", [*sorted(subset.OPERATORS), "OR", "== bool", "+ -"])
def test_a_chain_of_operators_ends_before_the_parser_walks_it(operator: str) -> None:
    link = f"x {operator} "

    with pytest.raises(BadExpression) as caught:
        parse(link * (CHARACTERS_MAX // len(link) - 1) + "x")

    assert "operators" in caught.value.reason


@pytest.mark.requirement("promql-refused")
def test_signs_between_braces_are_no_operators() -> None:
    node = parse("x{" + ", ".join(f'a!="{index}"' for index in range(500)) + "}").node

    assert isinstance(node, Selector)
    assert len(node.matchers) == 501


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


def test_patterns_keep_their_order_and_their_quotes() -> None:
    node = parse("""x{b=~"b.*", a!~'\\'\\\\d', a=~`\\Q.\\E`, c="=~"} offset 1m""").node

    assert isinstance(node, Selector)
    assert [(one.name, one.sign, one.value) for one in node.matchers] == [
        ("__name__", "=", "x"),
        ("b", "=~", "b.*"),
        ("a", "!~", "'\\d"),
        ("a", "=~", r"\Q.\E"),
        ("c", "=", "=~"),
    ]
