"""`label_replace` and `label_join`: labels made of labels.

Source: Prometheus' `promql/functions.go` (funcLabelReplace, funcLabelJoin) and the templates of
Go's `regexp.Expand`: `$1`, `$name`, `${name}`, `$$`.
"""

import re
from typing import Final

from analytics.promql.blocks import Block, relabelled
from analytics.promql.errors import BadEvaluation
from analytics.promql.patterns import compiled
from analytics.promql.series import Labels, labelled, value_of

_LABEL: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_GROUP: Final = re.compile(r"\$(?:(?P<dollar>\$)|(?P<bare>\w+)|\{(?P<braced>\w+)\})", re.ASCII)


def replaced(block: Block, target: str, template: str, *, source: str, pattern: str) -> Block:
    """Return rows with a label set from what a pattern found in another."""
    _check(target)
    try:
        expression = compiled(pattern)
    except ValueError as error:
        raise BadEvaluation(f"label_replace: {error}") from None

    def change(labels: Labels) -> Labels:
        found = expression.fullmatch(value_of(labels, source))
        if found is None:
            return labels
        return labelled({**dict(labels), target: _expanded(template, found)})

    return relabelled(block, change)


def joined_labels(block: Block, target: str, separator: str, sources: tuple[str, ...]) -> Block:
    """Return rows with a label set from others with a separator between."""
    for name in (target, *sources):
        _check(name)

    def change(labels: Labels) -> Labels:
        value = separator.join(value_of(labels, name) for name in sources)
        return labelled({**dict(labels), target: value})

    return relabelled(block, change)


def _check(name: str) -> None:
    if not _LABEL.fullmatch(name):
        raise BadEvaluation(f"{name!r} is no label name; write letters, digits and _")


def _expanded(template: str, found: re.Match[str]) -> str:
    def value(group: re.Match[str]) -> str:
        if group["dollar"]:
            return "$"
        name = group["bare"] or group["braced"]
        if name.isdigit():
            number = int(name) if len(name) < 4 else len(found.groups()) + 1
            return (found[number] or "") if number <= len(found.groups()) else ""
        return found.groupdict().get(name) or ""

    return _GROUP.sub(value, template)
