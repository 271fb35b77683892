"""Small edits to a JSON text that somebody else wrote: every other byte stays as it is.

Reads JSON with comments and trailing commas, as editing agents do, into nodes that know where they
stand in the text. An edit cuts out or puts in text at such places; indentation, spacing and line
ends follow what is there. Taking out what was put in gives the text back.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct

from analytics.contracts.errors import Refused

DEPTH_MAX: Final = 100
DEFAULT_INDENT: Final = "  "
_TRIVIA: Final = re.compile(r"(?:[ \t\r\n\ufeff]+|//[^\r\n]*|/\*.*?\*/)*", re.DOTALL)
_SAME_LINE: Final = re.compile(r"(?:[ \t]+|/\*[^\r\n]*?\*/)*(?://[^\r\n]*)?(?=\r?\n)")
_SCALAR: Final = re.compile(r'"(?:[^"\\\x00-\x1f]|\\.)*"|-?\d[\d.eE+-]*|true|false|null')

Json = None | bool | int | float | str | Sequence["Json"] | Mapping[str, "Json"]
Path = tuple[str | int, ...]


class NotJson(Refused):
    """A settings file that cannot be read as JSON; nothing was changed."""

    code = "not-json"


class JsonNode(Struct, frozen=True, kw_only=True):
    """One value and where it stands, `text[start:end]`; of a member also where its key starts."""

    start: int
    end: int
    key_start: int
    value: Json
    members: dict[str, "JsonNode"] | None = None
    elements: list["JsonNode"] | None = None

    @property
    def children(self) -> list["JsonNode"]:
        """What the object or list holds, in the order of the text."""
        return list((self.members or {}).values()) + (self.elements or [])


def parse(text: str) -> JsonNode:
    """Return the one value in `text`; raise `NotJson` where it has none or more."""
    start = _skip(text, 0)
    node = _value(text, start, start, 0)
    if _skip(text, node.end) != len(text):
        raise _wrong(text, _skip(text, node.end))
    return node


def find(node: JsonNode, path: Path) -> JsonNode | None:
    """Return what stands at `path`, or None."""
    for step in path:
        if isinstance(step, str):
            below = (node.members or {}).get(step)
        else:
            elements = node.elements or []
            below = elements[step] if step < len(elements) else None
        if below is None:
            return None
        node = below
    return node


def put(text: str, path: Path, value: Json) -> str:
    """Return `text` with `value` at `path`: replaced where it is, else added at the end.

    Missing objects on the way are made. The last step may be one past the end of a list.
    """
    root = parse(text)
    there = find(root, path)
    if there is not None:
        made = _render(text, value, indent=_indent_at(text, there.key_start), near=there)
        return text[: there.start] + made + text[there.end :]
    for length in range(len(path) - 1, -1, -1):
        parent = find(root, path[:length])
        if parent is not None:
            break
    else:
        raise AssertionError("the empty path is always there")
    for step in reversed(path[length + 1 :]):
        value = {step: value} if isinstance(step, str) else [value]
    return _add(text, parent, path[length], value)


def cut(text: str, path: Path) -> str:
    """Return `text` without the member or element at `path`, its comma and its line."""
    parent = find(parse(text), path[:-1])
    gone = find(parse(text), path)
    if parent is None or gone is None:
        return text
    siblings = parent.children
    at = siblings.index(gone)
    before = text[: gone.key_start].rstrip(" \t\r\n")
    rest = text[gone.end :]
    comma = _skip(text, gone.end)
    if text[comma] == "," and (at > 0 or at + 1 < len(siblings)):
        return before + text[gone.end : comma] + text[comma + 1 :]
    if at > 0:
        comma = _skip(text, siblings[at - 1].end)
        return before[:comma] + before[comma + 1 :] + rest
    if text[comma] == ",":
        rest = text[gone.end : comma] + text[comma + 1 :]
    if not rest.lstrip(" \t\r\n").startswith(("}", "]")) or before[-1] not in "{[":
        return before + rest
    return before + rest.lstrip(" \t\r\n")


def _add(text: str, parent: JsonNode, step: str | int, value: Json) -> str:
    if (parent.members is None) == isinstance(step, str):
        at = _line(text, parent.start)
        raise NotJson(f"line {at} holds another kind of value than an agent's settings have there")
    key = f"{json.dumps(step)}: " if isinstance(step, str) else ""
    siblings = parent.children
    outer = _indent_at(text, parent.key_start)
    inner = _inner_indent(text, parent, outer)
    newline = _newline(text)
    if not siblings:
        made = key + _render(text, value, indent=inner)
        head = text[: parent.start + 1]
        tail = text[parent.start + 1 :]
        if tail.lstrip(" \t\r\n") == text[parent.end - 1 :]:
            tail = newline + outer + text[parent.end - 1 :]
        return head + newline + inner + made + tail
    last = siblings[-1]
    if "\n" not in text[parent.start : last.end]:
        made = key + _render(text, value, indent=outer, near=last)
        return text[: last.end] + ", " + made + text[last.end :]
    made = newline + inner + key + _render(text, value, indent=inner)
    comma = _skip(text, last.end)
    has_comma = text[comma] == ","
    place = comma + 1 if has_comma else last.end
    line = _SAME_LINE.match(text, place)
    after = line.end() if line is not None else place
    if has_comma:
        return text[:after] + made + "," + text[after:]
    return text[:place] + "," + text[place:after] + made + text[after:]


def _render(text: str, value: Json, *, indent: str, near: JsonNode | None = None) -> str:
    if near is not None and "\n" not in text[near.key_start : near.end] and _is_flat(text):
        return json.dumps(value, ensure_ascii=False)
    step = _indent_step(text)
    lines = json.dumps(value, ensure_ascii=False, indent=step).split("\n")
    return (_newline(text) + indent).join(lines)


def _is_flat(text: str) -> bool:
    return "\n" not in text.strip()


def _indent_step(text: str) -> str:
    found = re.search(r"[{\[][ \t]*\r?\n([ \t]+)\S", text)
    return (
        found[1] if found and not text[: found.start()].strip("\ufeff \t\r\n") else DEFAULT_INDENT
    )


def _indent_at(text: str, at: int) -> str:
    line = text.rfind("\n", 0, at) + 1
    found = re.match(r"[ \t]*", text[line:at])
    return found[0] if found else ""


def _inner_indent(text: str, parent: JsonNode, outer: str) -> str:
    siblings = parent.children
    if siblings and "\n" in text[parent.start : siblings[-1].key_start]:
        return _indent_at(text, siblings[-1].key_start)
    return outer + _indent_step(text)


def _newline(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def _skip(text: str, at: int) -> int:
    found = _TRIVIA.match(text, at)
    return found.end() if found is not None else at


def _value(text: str, key_start: int, start: int, depth: int) -> JsonNode:
    if depth > DEPTH_MAX:
        raise NotJson(f"line {_line(text, start)} is nested more than {DEPTH_MAX} deep")
    opening = text[start : start + 1]
    if opening == "{":
        return _members(text, key_start, start, depth)
    if opening == "[":
        return _elements(text, key_start, start, depth)
    found = _SCALAR.match(text, start)
    if found is None:
        raise _wrong(text, start)
    return JsonNode(start=start, end=found.end(), key_start=key_start, value=_scalar(text, found))


def _members(text: str, key_start: int, start: int, depth: int) -> JsonNode:
    members: dict[str, JsonNode] = {}
    at = _skip(text, start + 1)
    while text[at : at + 1] != "}":
        key = _SCALAR.match(text, at)
        if key is None or text[at] != '"':
            raise _wrong(text, at)
        colon = _skip(text, key.end())
        if text[colon : colon + 1] != ":":
            raise _wrong(text, colon)
        member = _value(text, at, _skip(text, colon + 1), depth + 1)
        members[str(_scalar(text, key))] = member
        at = _next(text, member.end, "}")
    value = {name: member.value for name, member in members.items()}
    return JsonNode(start=start, end=at + 1, key_start=key_start, value=value, members=members)


def _elements(text: str, key_start: int, start: int, depth: int) -> JsonNode:
    elements: list[JsonNode] = []
    at = _skip(text, start + 1)
    while text[at : at + 1] != "]":
        elements.append(_value(text, at, at, depth + 1))
        at = _next(text, elements[-1].end, "]")
    value = [element.value for element in elements]
    return JsonNode(start=start, end=at + 1, key_start=key_start, value=value, elements=elements)


def _next(text: str, at: int, closing: str) -> int:
    at = _skip(text, at)
    if text[at : at + 1] == ",":
        return _skip(text, at + 1)
    if text[at : at + 1] != closing:
        raise _wrong(text, at)
    return at


def _scalar(text: str, found: re.Match[str]) -> Json:
    try:
        value: Json = json.loads(found[0])
    except ValueError as error:
        raise _wrong(text, found.start()) from error
    return value


def _wrong(text: str, at: int) -> NotJson:
    shown = text[at : at + 20]
    return NotJson(
        f"line {_line(text, at)} is not JSON: {shown!r}" if shown else "it ends too early"
    )


def _line(text: str, at: int) -> int:
    return text.count("\n", 0, at) + 1
