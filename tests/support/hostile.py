"""Every place in the core that takes a pattern or a text from outside, and inputs that aim at it.

`python -m tests.support.hostile` asks each place each pattern and prints what it cost, in
milliseconds of processor time; whoever runs it sets the deadline.
"""

import sys
import time
from collections.abc import Callable
from typing import Final

from analytics.alerts import labels, matchers
from analytics.alerts.dispatch import routing_files
from analytics.alerts.documents import BadFile
from analytics.alerts.template import functions
from analytics.promql import BadEvaluation, BadExpression, MemoryStorage, instant, parse
from analytics.promql.series import made

VALUE: Final = "a" * 256
PATTERNS: Final = (
    "((a+)+)+b",
    "(a*)*b",
    "(a|aa)+b",
    "(a|a?)+b",
    "(.*a){20}b",
    "(a?){200}a{200}b",
    "((a{0,30}){0,30}){0,1}b",
    ".*" * 500 + "b",
    "(.{0,300}){3}b",
    r"\pL{24}b",
    r"(?i)" + r"\pL" * 1_300,
    r"[\pL\pN\pS\pP\pM]" * 190,
    "(a{1000}){1000}",
    "(" * 900 + "a" + ")" * 900,
    "(" * 4_000,
    "|".join("a" * count for count in range(1, 80)) + "|b",
)


def _selected(pattern: str) -> object:
    storage = MemoryStorage([made({"__name__": "x", "l": VALUE}, [(0, 1.0)])])
    return instant(parse(f"x{{l=~`{pattern}`}}"), storage, 0)


def _relabelled(pattern: str) -> object:
    storage = MemoryStorage([made({"__name__": "x", "l": VALUE}, [(0, 1.0)])])
    return instant(parse(f'label_replace(x, "m", "$1", "l", `{pattern}`)'), storage, 0)


def _routed(pattern: str) -> object:
    text = (
        "receivers: [{name: a}]\nroute:\n  receiver: a\n  routes:\n"
        f"    - {{receiver: a, match_re: {{l: '{pattern}'}}}}\n"
    )
    return routing_files.load("routing.yml", text)


def _silenced(pattern: str) -> object:
    found = matchers.parse(f"l=~{labels.quoted(pattern)}")
    return matchers.all_hold(found, {"l": VALUE})


def _found(pattern: str) -> object:
    return functions.match(pattern, VALUE)


def _replaced(pattern: str) -> object:
    return functions.replace_all(pattern, "$1", VALUE)


PLACES: Final[dict[str, Callable[[str], object]]] = {
    "selector": _selected,
    "label_replace": _relabelled,
    "route": _routed,
    "silence": _silenced,
    "template match": _found,
    "template reReplaceAll": _replaced,
}


def cost_ms(place: str, pattern: str) -> tuple[str, float]:
    """Return whether a place answered a pattern or refused it, and its processor time."""
    began = time.process_time()
    try:
        PLACES[place](pattern)
    except (ValueError, BadFile, BadExpression, BadEvaluation):
        return "refused", (time.process_time() - began) * 1_000
    return "answered", (time.process_time() - began) * 1_000


def main() -> None:
    """Print a line for each place and pattern."""
    for place in PLACES:
        for pattern in PATTERNS:
            what, spent_ms = cost_ms(place, pattern)
            line = f"{place:22} {what:9} {spent_ms:8.2f} ms  {pattern[:40]}"
            sys.stdout.write(line + "\n")


if __name__ == "__main__":
    main()
