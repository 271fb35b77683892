"""Routing files with their secrets hidden, and back.

`masked` is what people and programs are shown: the file as it was written, with `<secret>` where
Alertmanager shows that too (passwords, tokens, keys and the addresses of receivers). What is read
from files (`*_file`) stays, since a name of a file is none. `restored` is the way back: a file in
which `<secret>` still stands takes the value that the kept file has at the same place, so what was
shown can be edited and kept. A `<secret>` that stands for nothing is refused.
"""

import json
import re
from collections.abc import Iterator
from typing import Final

import yaml
from msgspec import Struct

from analytics.alerts.documents import BadFile, Position

MASK: Final = "<secret>"
_NAMES: Final = re.compile(
    r"(.*_)?(password|secret|secrets|token|credentials|api_key|routing_key|service_key|user_key|"
    r"secret_key|access_key|auth_secret|api_url|webhook_url|proxy_url|token_key|key)|url"
)
UNREADABLE: Final = "# it cannot be read, so it is not shown\n"
_PARTS: Final = frozenset({"global", "receivers", "tracing"})
"""The parts of a file in which secrets are."""
_PLAIN: Final = frozenset({"token_url", "pagerduty_url"})
"""Names that look like secrets and are none."""
_PROPERTIES: Final = re.compile(r"(?:[&!]\S*\s+)*")
_COMMENT: Final = re.compile(r"(?:^|(?<=\s))#.*", re.MULTILINE)
_TELLING: Final = re.compile(r"://|password|secret|token|credential|key\s*:", re.IGNORECASE)
_LEFT_OUT: Final = "# (a comment that may hold a secret)"

Path = tuple[str, ...]


class _Secret(Struct, frozen=True):
    """A secret value: where it is in the tree, where in the text, and what it says."""

    path: Path
    start: int
    end: int
    value: str
    place: Position


def masked(text: str) -> str:
    """Return a file that loads as it may be shown."""
    root = _root(text)
    if root is None:
        return UNREADABLE if text.strip() else text
    kept = text[: root.end_mark.index]
    kept = _without_comments(kept, root)
    for one in reversed(_secrets("", kept, _root(kept))):
        kept = kept[: one.start] + MASK + kept[one.end :]
    return kept if kept.endswith("\n") or not text.endswith("\n") else f"{kept}\n"


def restored(path: str, text: str, kept: str) -> str:
    """Return `text` with the secrets of `kept` where it says `<secret>`; raise `BadFile`."""
    if MASK not in text:
        return text
    known = {one.path: one.value for one in _secrets("", kept, _root(kept))}
    hidden = [one for one in _secrets(path, text, _root(text)) if one.value == MASK]
    for one in hidden:
        if known.get(one.path, MASK) == MASK:
            reason = f"{MASK} stands for no value that is kept: write it, or name a file"
            raise BadFile(one.place, reason)
    for one in reversed(hidden):
        text = text[: one.start] + _quoted(known[one.path]) + text[one.end :]
    return text


def _root(text: str) -> yaml.Node | None:
    """Return the first document; None if there is none or it cannot be read."""
    loader = yaml.SafeLoader(text)
    try:
        return loader.get_node() if loader.check_node() else None
    except (yaml.YAMLError, RecursionError):
        return None
    finally:
        loader.dispose()


def _secrets(path: str, text: str, root: yaml.Node | None) -> list[_Secret]:
    """Return the secrets of a document in the order of its text, each place once."""
    found: dict[int, _Secret] = {}
    for where, node in _below(root):
        start, end = node.start_mark.index, node.end_mark.index
        raw = text[start:end]
        properties = _PROPERTIES.match(raw)
        start += properties.end() if properties is not None else 0
        end -= len(raw) - len(raw.rstrip())
        mark = node.start_mark
        place = Position(path, mark.line + 1, mark.column + 1)
        found.setdefault(start, _Secret(where, start, end, str(node.value), place))
    return [found[start] for start in sorted(found)]


def _below(root: yaml.Node | None) -> Iterator[tuple[Path, yaml.ScalarNode]]:
    """Return the secret values of a document with their paths, each node once."""
    if not isinstance(root, yaml.MappingNode):
        return
    seen: set[tuple[int, bool]] = set()
    waiting: list[tuple[Path, yaml.Node, bool]] = [
        ((str(key.value),), child, False) for key, child in root.value if key.value in _PARTS
    ]
    while waiting:
        path, node, is_secret = waiting.pop()
        if (id(node), is_secret) in seen:
            continue
        seen.add((id(node), is_secret))
        if isinstance(node, yaml.ScalarNode) and is_secret and node.value:
            yield path, node
        waiting += [((*path, name), child, is_secret or hides) for name, child, hides in _in(node)]


def _in(node: yaml.Node) -> Iterator[tuple[str, yaml.Node, bool]]:
    """Return what a node holds: by which name, and whether the name is one of a secret."""
    if isinstance(node, yaml.SequenceNode):
        for position, child in enumerate(node.value):
            yield _named(child) or str(position), child, False
    elif isinstance(node, yaml.MappingNode):
        for key, child in node.value:
            name = str(key.value)
            yield name, child, name not in _PLAIN and _NAMES.fullmatch(name) is not None


def _named(node: yaml.Node) -> str:
    """Return what a list knows an entry by: its name, so that a receiver keeps its secrets."""
    if not isinstance(node, yaml.MappingNode):
        return ""
    names = [child.value for key, child in node.value if key.value == "name"]
    return f"name={names[0]}" if names else ""


def _without_comments(text: str, root: yaml.Node) -> str:
    """Return a text without the comments that speak of secrets."""
    spans = [(one.start_mark.index, one.end_mark.index) for one in _scalars(root)]

    def shown(found: re.Match[str]) -> str:
        inside = any(start <= found.start() < end for start, end in spans)
        return found[0] if inside or not _TELLING.search(found[0]) else _LEFT_OUT

    return _COMMENT.sub(shown, text)


def _scalars(root: yaml.Node) -> Iterator[yaml.Node]:
    seen: set[int] = set()
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.ScalarNode):
            yield node
        elif isinstance(node, yaml.SequenceNode):
            waiting += node.value
        elif isinstance(node, yaml.MappingNode):
            waiting += [one for pair in node.value for one in pair]


def _quoted(value: str) -> str:
    """Return a text as YAML reads it back."""
    quoted = json.dumps(value, ensure_ascii=False)
    return "".join(one if one.isprintable() else f"\\U{ord(one):08x}" for one in quoted)
