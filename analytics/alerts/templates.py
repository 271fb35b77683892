"""Templates of labels and annotations: a named part of Go's template language.

In it: text, `{{- … -}}`, comments, `$labels.x`, `$value`, `$externalLabels.x`, `$externalURL`, the
same as `.Labels.x`, `.Value` and so on, texts and numbers, pipes, brackets, and the functions of
`template_functions.COUNTS`. Everything else, such as `range` or `query`, is refused by its name
when the template is read. A label that an alert does not have renders as the empty text. What
fails when rendering becomes a text that says so, as in Prometheus: an alert is never lost to it.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Final

from msgspec import Struct

from analytics.alerts import template_functions as functions
from analytics.alerts.labels import Labels
from analytics.alerts.template_functions import Value

TEMPLATE_CHARACTERS_MAX: Final = 16_384
"""How long a template may be."""
DEPTH_MAX: Final = 32
"""How deep brackets may nest."""
_ACTION: Final = re.compile(
    r"\{\{(?P<left>-\s)?\s*(?P<body>(?:\"(?:[^\"\\\n]|\\.)*\"|`[^`]*`|/\*.*?\*/|(?!\}\})[^\"`])*?)"
    r"\s*(?P<right>\s-)?\}\}",
    re.DOTALL,
)
_TOKEN: Final = re.compile(
    r"\s*(?:(?P<text>\"(?:[^\"\\\n]|\\.)*\"|`[^`]*`)|(?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)"
    r"|(?P<name>[$.]?[A-Za-z_][\w]*(?:\.[A-Za-z_]\w*)*|\$(?:\.[A-Za-z_]\w*)+|[$.])"
    r"|(?P<sign>[|()])|(?P<other>\S))"
)
_ROOTS: Final = {
    "labels": "labels", "externalLabels": "external_labels",
    "value": "value", "externalURL": "external_url",
}  # fmt: skip
_FIELDS: Final = {name[0].upper() + name[1:]: kind for name, kind in _ROOTS.items()}
_WORDS: Final = frozenset(
    {
        "if", "else", "end", "range", "with", "define", "template", "block", "break", "continue",
        "nil", "and", "or", "not", "len", "index", "slice", "print", "println", "html", "js",
        "urlquery", "call", "eq", "ne", "lt", "le", "gt", "ge", "query", "first", "value", "label",
        "strvalue", "sortByLabel", "safeHtml", "tableLink", "graphLink", "tmpl", "args",
        "pathPrefix", "externalURL", "parseDuration", "stripPort", "stripDomain", "humanize1024",
        "toTime", "now", "toDuration", "urlQueryEscape", "toJson", "join",
    }
)  # fmt: skip
"""Words of the whole language that are known and left out."""
_ESCAPES: Final = {"n": "\n", "t": "\t", "r": "\r", '"': '"', "\\": "\\", "'": "'"}


class BadTemplate(ValueError):
    """A template outside the language; `line` and `column` count from 1 in its own text."""

    def __init__(self, reason: str, line: int = 1, column: int = 1) -> None:
        self.reason = reason
        self.line = line
        self.column = column
        super().__init__(reason)


class Data(Struct, frozen=True, kw_only=True):
    """What a template speaks of."""

    labels: Labels
    value: float
    external_labels: Labels = {}
    external_url: str = ""


class Constant(Struct, frozen=True):
    """A text or number as written."""

    value: str | float | int


class Reference(Struct, frozen=True):
    """A part of the data, and of label sets the name of one label."""

    kind: str
    label: str = ""


class Call(Struct, frozen=True):
    """A function and what it is given."""

    name: str
    given: tuple["Part", ...]


Part = Constant | Reference | Call


class Template(Struct, frozen=True):
    """A template that was read: texts, and parts to fill in."""

    pieces: tuple[str | Part, ...]

    def labels_used(self) -> frozenset[str]:
        """Return the names of the alert's own labels that it speaks of."""
        return frozenset(label for piece in self.pieces for label in _labels_in(piece))

    def uses_value(self) -> bool:
        """Say whether it speaks of the value, which changes from tick to tick."""
        return any(_uses_value(piece) for piece in self.pieces)

    def render(self, data: Data) -> str:
        """Return the text filled in; where that fails, a text that says why."""
        out = []
        for piece in self.pieces:
            if isinstance(piece, str):
                out.append(piece)
                continue
            try:
                out.append(functions.shown(_valued(piece, data)))
            except (ValueError, OverflowError) as error:
                return f"<error expanding template: {error}>"
        return "".join(out)


def parse(text: str) -> Template:
    """Read a template; raise `BadTemplate` for what is outside the language."""
    if len(text) > TEMPLATE_CHARACTERS_MAX:
        raise BadTemplate(f"longer than {TEMPLATE_CHARACTERS_MAX} characters")
    pieces: list[str | Part] = []
    reached, trim = 0, False
    for found in _ACTION.finditer(text):
        pieces.append(_between(text[reached : found.start()], trim, bool(found["left"])))
        reached, trim = found.end(), bool(found["right"])
        try:
            part = _action(found["body"])
        except BadTemplate as error:
            raise _placed(error.reason, text, found.start()) from None
        if part is not None:
            pieces.append(part)
    rest = text[reached:]
    if "{{" in rest:
        raise _placed("an action is not closed by }}", text, reached + rest.index("{{"))
    pieces.append(_between(rest, trim, trim_right=False))
    return Template(tuple(piece for piece in pieces if piece != ""))


def _placed(reason: str, text: str, offset: int) -> BadTemplate:
    before = text[:offset]
    return BadTemplate(reason, before.count("\n") + 1, offset - before.rfind("\n"))


def _between(text: str, trim_left: bool, trim_right: bool) -> str:  # noqa: FBT001 - two sides
    text = text.lstrip() if trim_left else text
    return text.rstrip() if trim_right else text


def _action(body: str) -> Part | None:
    if body.startswith("/*"):
        return None
    tokens = _tokens(body)
    part, rest = _pipeline(tokens, 0, 0)
    if rest < len(tokens):
        raise BadTemplate("a bracket is closed that was not opened")
    return part


def _tokens(body: str) -> list[tuple[str, str]]:
    found = []
    for token in _TOKEN.finditer(body):
        kind = token.lastgroup or "other"
        if kind == "other":
            raise BadTemplate(f"{token[kind]!r} is not supported in a template")
        found.append((kind, token[kind]))
    if not found:
        raise BadTemplate("an action is empty")
    return found


def _pipeline(tokens: list[tuple[str, str]], at: int, depth: int) -> tuple[Part, int]:
    if depth > DEPTH_MAX:
        raise BadTemplate(f"brackets nest deeper than {DEPTH_MAX}")
    piped: Part | None = None
    while True:
        words: list[Part | str] = []
        while at < len(tokens) and tokens[at][1] not in {"|", ")"}:
            kind, text = tokens[at]
            at += 1
            if (kind, text) == ("sign", "("):
                part, at = _pipeline(tokens, at, depth + 1)
                if at >= len(tokens):
                    raise BadTemplate("a bracket is not closed")
                at += 1
                words.append(part)
            else:
                words.append(_operand(kind, text))
        piped = _command(words, piped)
        if at >= len(tokens) or tokens[at][1] == ")":
            return piped, at
        at += 1


def _command(words: list[Part | str], piped: Part | None) -> Part:
    if not words:
        raise BadTemplate("a value is missing beside | or inside brackets")
    given = [word for word in words[1:] if not isinstance(word, str)]
    if len(given) < len(words) - 1:
        raise BadTemplate("a function inside a call needs brackets of its own")
    head = words[0]
    if not isinstance(head, str):
        if given or piped is not None:
            raise BadTemplate("a value cannot be called; only functions take values")
        return head
    if piped is not None:
        given.append(piped)
    wanted = functions.COUNTS[head]
    if (wanted >= 0 and len(given) != wanted) or not given:
        raise BadTemplate(f"{head} takes {max(wanted, 1)} values, found {len(given)}")
    return Call(head, tuple(given))


def _operand(kind: str, text: str) -> Part | str:
    if kind == "text":
        return Constant(_unquoted(text))
    if kind == "number":
        return Constant(int(text) if text.lstrip("+-").isdigit() else float(text))
    if text in functions.COUNTS:
        return text
    if text[0] in "$.":
        return _reference(text)
    word = text.partition(".")[0]
    if word in {"true", "false"}:
        return Constant(word)
    known = ", ".join(sorted(functions.COUNTS))
    what = "is not supported" if word in _WORDS else "is no function"
    raise BadTemplate(f"{word!r} {what} in a template; functions are {known}")


def _reference(text: str) -> Reference:
    path = text.removeprefix("$").split(".")
    if text.startswith("$") and path[0]:
        kind = _ROOTS.get(path[0])
    else:
        path = path[1:]
        kind = _FIELDS.get(path[0]) or _ROOTS.get(path[0]) if path else None
    if kind is None:
        known = ", ".join(f"${name}" for name in _ROOTS)
        raise BadTemplate(f"undefined variable {text!r}; known are {known}")
    if len(path) > 2 or (len(path) == 2 and kind in {"value", "external_url"}):
        raise BadTemplate(f"{text!r} asks a text or number for a field")
    return Reference(kind, path[1] if len(path) == 2 else "")


def _unquoted(text: str) -> str:
    if text.startswith("`"):
        return text[1:-1]
    return re.sub(r"\\(.)", lambda found: _escaped(found[1]), text[1:-1])


def _escaped(character: str) -> str:
    if character not in _ESCAPES:
        raise BadTemplate(f"unknown escape {chr(92) + character!r} in a text")
    return _ESCAPES[character]


def _valued(part: Part, data: Data) -> Value:
    if isinstance(part, Constant):
        return part.value
    if isinstance(part, Call):
        return functions.call(part.name, [_valued(one, data) for one in part.given])
    sets: dict[str, Mapping[str, str]] = {
        "labels": data.labels,
        "external_labels": data.external_labels,
    }
    if part.kind == "value":
        return float(data.value)
    if part.kind == "external_url":
        return data.external_url
    return sets[part.kind].get(part.label, "") if part.label else sets[part.kind]


def _labels_in(piece: str | Part) -> Iterator[str]:
    if isinstance(piece, Reference) and piece.kind == "labels" and piece.label:
        yield piece.label
    if isinstance(piece, Call):
        for part in piece.given:
            yield from _labels_in(part)


def _uses_value(piece: str | Part) -> bool:
    if isinstance(piece, Call):
        return any(map(_uses_value, piece.given))
    return isinstance(piece, Reference) and piece.kind == "value"
