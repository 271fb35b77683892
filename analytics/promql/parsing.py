"""PromQL read into a tree, and refused beyond what we evaluate.

promql-parser reads and checks types; here its tree becomes ours, and what is not of the subset
(`analytics.promql.subset`) is refused with line, column and what to write instead. Length and depth
have limits, so that no text can exhaust the stack.
"""

from datetime import timedelta
from typing import Final, Literal, NoReturn

import promql_parser
from msgspec import Struct
from promql_parser import VectorMatchCardinality as Cardinality

from analytics.promql import places, subset
from analytics.promql.errors import BadExpression, BadPattern
from analytics.promql.literals import Covered, TooMany
from analytics.promql.nodes import (
    Aggregation,
    Binary,
    Call,
    Grouping,
    Matching,
    Negation,
    Node,
    Number,
    Selector,
    StringLiteral,
    Wrapped,
)
from analytics.promql.series import NAME, MatchOperator, SeriesMatcher, pattern

CHARACTERS_MAX: Final = 16_384
"""How long an expression may be."""
DEPTH_MAX: Final = 100
"""How deep an expression may be nested."""
OPERATORS_MAX: Final = 400
"""How many operators an expression may have: promql-parser walks each on its stack, and it ends the
process that has it some thousands deep."""
PAGE: Final = "docs/reference/promql.md"
"""Where everything that is evaluated is listed."""

_SIGNS: Final = {
    "MatchOp.Equal": MatchOperator.EQUAL,
    "MatchOp.NotEqual": MatchOperator.UNEQUAL,
    "MatchOp.Re": MatchOperator.LIKE,
    "MatchOp.NotRe": MatchOperator.UNLIKE,
}
_NONE: Final = timedelta(0)


class Expression(Struct, frozen=True):
    """An expression that can be evaluated."""

    text: str
    node: Node


def parse(text: str) -> Expression:
    """Return the expression in `text`; raise `BadExpression` with line and column."""
    if len(text) > CHARACTERS_MAX:
        raise BadExpression(text, 1, 1, f"longer than {CHARACTERS_MAX} characters; split it")
    _check_depth(text)
    try:
        covered = Covered(text)
    except TooMany as error:
        _refuse(text, error.word.start, str(error))
    try:
        tree = promql_parser.parse(covered.text)
    except ValueError as error:
        reason = str(error)
        _refuse(text, places.of_error(covered.text, reason, _reads), reason)
    return Expression(text, _Reader(text, covered).node(tree, 0))


def _reads(text: str) -> bool:
    try:
        promql_parser.parse(text)
    except ValueError:
        return False
    return True


def _refuse(text: str, start: int, reason: str) -> NoReturn:
    line, column = places.line_and_column(text, start)
    raise BadExpression(text, line, column, reason)


def _check_depth(text: str) -> None:
    """Refuse what is nested too deep before a parser walks it: brackets, signs and operators."""
    depth = signs = operators = braces = 0
    for word in places.words(text):
        braces += (word.text == "{") - (word.text == "}")
        if braces <= 0 and word.text.lower() in subset.OPERATORS:
            operators += 1
        if operators > OPERATORS_MAX:
            _refuse(text, word.start, f"more than {OPERATORS_MAX} operators; use recording rules")
        depth += (word.text == "(") - (word.text == ")")
        signs = signs + 1 if word.text in {"-", "+"} else 0
        if max(depth, signs) > DEPTH_MAX:
            _refuse(text, word.start, f"nested deeper than {DEPTH_MAX}; use recording rules")


class _Reader:
    """Turns the parser's tree into ours."""

    def __init__(self, text: str, covered: Covered) -> None:
        self._text = text
        self._covered = covered

    def node(self, tree: object, depth: int) -> Node:
        if depth > 2 * DEPTH_MAX:
            self._refuse(0, f"nested deeper than {2 * DEPTH_MAX}; use recording rules")
        match tree:
            case promql_parser.BinaryExpr():
                return self._binary(tree, depth)
            case promql_parser.Call():
                return self._call(tree, depth)
            case promql_parser.AggregateExpr():
                return self._aggregation(tree, depth)
            case promql_parser.ParenExpr():
                return Wrapped(self.node(tree.expr, depth + 1))
            case promql_parser.UnaryExpr():
                return Negation(self.node(tree.expr, depth + 1))
        return self._leaf(tree)

    def _leaf(self, tree: object) -> Node:
        match tree:
            case promql_parser.NumberLiteral():
                return Number(tree.val)
            case promql_parser.StringLiteral():
                return StringLiteral(self._literal(tree.val)[1])
            case promql_parser.VectorSelector():
                return self._selector(tree, 0)
            case promql_parser.MatrixSelector():
                return self._selector(tree.vector_selector, _ms(tree.range))
            case promql_parser.SubqueryExpr():
                self._refuse(
                    places.of_subquery(self._text),
                    "subqueries are not evaluated; record the inner expression as a series",
                )
        raise AssertionError(f"the parser knows {type(tree).__name__}, the reader does not")

    def _selector(self, tree: promql_parser.VectorSelector, range_ms: int) -> Selector:
        if tree.at is not None:
            where = places.of_word(self._text, "@")
            self._refuse(where, "the modifier @ is not evaluated; use offset")
        if tree.matchers.or_matchers:
            where = places.of_word(self._text, "or")
            self._refuse(where, "or between matchers is not evaluated; write name=~'a|b'")
        if tree.offset is not None and tree.offset < _NONE:
            where = places.of_word(self._text, "offset", before="-")
            self._refuse(where, "an offset into the future is not evaluated; leave the minus out")
        matchers = [self._matcher(one) for one in tree.matchers.matchers]
        if tree.name:
            matchers.insert(0, SeriesMatcher(NAME, MatchOperator.EQUAL, tree.name))
        return Selector(tuple(matchers), _ms(tree.offset or _NONE), range_ms)

    def _matcher(self, tree: promql_parser.Matcher) -> SeriesMatcher:
        start, value = self._literal(tree.value)
        matcher = SeriesMatcher(tree.name, _SIGNS[str(tree.op)], value)
        if matcher.sign in {MatchOperator.LIKE, MatchOperator.UNLIKE}:
            try:
                pattern(value)
            except ValueError as error:
                line, column = places.line_and_column(self._text, start)
                raise BadPattern(self._text, line, column, str(error)) from None
        return matcher

    def _literal(self, value: str) -> tuple[int, str]:
        """Return where a literal stands, if it was covered, and what it says."""
        try:
            return self._covered.literal(value)
        except ValueError as error:
            self._refuse(self._covered.place(value), str(error))

    def _call(self, tree: promql_parser.Call, depth: int) -> Call:
        name = tree.func.name
        if name not in subset.FUNCTIONS:
            where = places.of_word(self._text, name, before="(")
            self._refuse(where, f"the function {name!r} is not evaluated; {PAGE} lists all")
        return Call(name, tuple(self.node(one, depth + 1) for one in tree.args))

    def _aggregation(self, tree: promql_parser.AggregateExpr, depth: int) -> Aggregation:
        name = str(tree.op)
        if name not in subset.AGGREGATIONS:
            where = places.of_word(self._text, name)
            self._refuse(where, f"{name!r} is not evaluated; {PAGE} lists all")
        parameter = None if tree.param is None else self.node(tree.param, depth + 1)
        operand = self.node(tree.expr, depth + 1)
        modifier = tree.modifier
        if modifier is None:
            return Aggregation(name, operand, Grouping(frozenset(), excludes=False), parameter)
        excludes = modifier.type == promql_parser.AggModifierType.Without
        return Aggregation(name, operand, Grouping(frozenset(modifier.labels), excludes), parameter)

    def _binary(self, tree: promql_parser.BinaryExpr, depth: int) -> Binary:
        name = str(tree.op)
        if name not in subset.OPERATORS:
            self._refuse(places.of_word(self._text, name), f"{name!r} is not evaluated")
        modifier = tree.modifier
        if modifier is not None and (
            modifier.fill_values.lhs is not None or modifier.fill_values.rhs is not None
        ):
            self._refuse(places.of_word(self._text, "fill"), "fill is not evaluated; use or")
        left, right = self.node(tree.lhs, depth + 1), self.node(tree.rhs, depth + 1)
        is_bool = modifier is not None and modifier.return_bool
        return Binary(name, left, right, _matching(modifier), is_bool)

    def _refuse(self, start: int, reason: str) -> NoReturn:
        _refuse(self._text, start, reason)


def _matching(modifier: promql_parser.BinModifier | None) -> Matching:
    if modifier is None:
        return Matching(Grouping(frozenset(), excludes=True))
    grouping = Grouping(frozenset(), excludes=True)
    if modifier.matching is not None:
        excludes = modifier.matching.type == promql_parser.LabelModifierType.Exclude
        grouping = Grouping(frozenset(modifier.matching.labels), excludes)
    many: Literal["", "left", "right"] = ""
    if modifier.card == Cardinality.ManyToOne:
        many = "left"
    if modifier.card == Cardinality.OneToMany:
        many = "right"
    return Matching(grouping, many, tuple(modifier.group_labels or ()))


def _ms(duration: timedelta) -> int:
    return round(duration / timedelta(milliseconds=1))
