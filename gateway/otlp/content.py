"""What of a sender's values is kept: limits by name, and contents only where they are asked for.

Prompts, answers and what tools were given or gave are contents. They are left out unless the
gateway was told to keep them; how long they were is kept in their place.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from msgspec import Struct

from analytics.contracts.facts import Scalar
from analytics.privacy.contents import is_content
from gateway.otlp.coercion import NAME_LENGTH_MAX, Value, cut, written

VALUE_LENGTH_MAX: Final = 8_192
"""Characters of one attribute that are kept."""
ATTRIBUTES_MAX: Final = 128
"""Attributes of one record that are kept."""
REQUEST_TEXT_MAX: Final = 8 * 1024 * 1024
"""Characters of text that the events of one request hold before every further one is cut short."""
SPENT_LENGTH_MAX: Final = 64
"""Characters of one attribute that are kept once the request's text is spent."""

_INT64_MAX: Final = 2**63 - 1


class Budget(Struct):
    """What a request may still hold; it shrinks with every text that is kept."""

    text_left: int = REQUEST_TEXT_MAX

    def text(self, value: Value, length: int = VALUE_LENGTH_MAX) -> str:
        """Return a value as text within the limits of value and request."""
        given = value if isinstance(value, str) else written(value)
        limit = length if self.text_left > 0 else SPENT_LENGTH_MAX
        kept = given if len(given) <= limit else cut(given, limit)
        self.text_left -= len(kept)
        return kept


def scalars(
    attributes: Mapping[str, Value], budget: Budget, *, keep_content: bool
) -> dict[str, Scalar]:
    """Return attributes as an event holds them: flat, within the limits, contents by length."""
    kept: dict[str, Scalar] = {}
    for key, value in attributes.items():
        if len(kept) >= ATTRIBUTES_MAX:
            kept["attributes_left_out"] = len(attributes) - ATTRIBUTES_MAX
            break
        short = key if len(key) <= NAME_LENGTH_MAX else cut(key, NAME_LENGTH_MAX)
        if not keep_content and is_content(key):
            kept[short + ".length"] = len(written(value))
        else:
            kept[short] = _scalar(value, budget)
    return kept


def without_content(parts: Iterable[Value]) -> list[Value]:
    """Return values without the contents in them; the rest is as it was."""
    return [
        {key: value for key, value in part.items() if not is_content(key)}
        if isinstance(part, dict)
        else part
        for part in parts
    ]


def _scalar(value: Value, budget: Budget) -> Scalar:
    if isinstance(value, str):
        return budget.text(value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int) and -_INT64_MAX <= value <= _INT64_MAX:
        return value
    if isinstance(value, float) and value - value == 0:
        return value
    return budget.text(value)
