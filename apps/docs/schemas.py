"""JSON Schemas of the events, with the words that the source says about each field."""

import ast
import inspect
import textwrap
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Final

import msgspec
from msgspec import Struct

from analytics.contracts import events
from analytics.contracts.facts import Fact

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
Schema = dict[str, object]


def all_schemas() -> Iterator[tuple[str, Schema]]:
    """Yield the name on the wire and the JSON Schema of every event type."""
    for name, kind in sorted(events.TYPES.items()):
        yield name, schema_of(name, kind)


def schema_of(name: str, kind: type[Fact]) -> Schema:
    """Return the JSON Schema of one event type: unknown fields pass."""
    generated = msgspec.json.schema(kind)
    definitions = dict(generated["$defs"])
    body: Schema = definitions.pop(kind.__name__)
    properties = body["properties"]
    assert isinstance(properties, dict)
    said = words_of(kind)
    for field, property_schema in properties.items():
        if field in said:
            property_schema["description"] = said[field]
    about = inspect.cleandoc(kind.__doc__ or "")
    head: Schema = {"$schema": DIALECT, "title": name, "description": about}
    schema: Schema = head | {key: value for key, value in body.items() if key not in head}
    return schema | ({"$defs": definitions} if definitions else {})


@cache
def words_of(kind: type[Struct]) -> Mapping[str, str]:
    """Return what the source says of each field, in the text that follows it."""
    said: dict[str, str] = {}
    for ancestor in reversed(kind.__mro__):
        if issubclass(ancestor, Struct) and ancestor is not Struct:
            said |= dict(_words_in(ancestor))
    return said


def _words_in(kind: type[Struct]) -> Iterator[tuple[str, str]]:
    [definition] = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(definition, ast.ClassDef)
    for node, following in zip(definition.body, definition.body[1:], strict=False):
        if not (isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)):
            continue
        if isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant):
            yield node.target.id, " ".join(str(following.value.value).split())
