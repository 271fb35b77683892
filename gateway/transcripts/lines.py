"""One line of a transcript: what it holds, or why it cannot be counted.

The format is the agent's own and changes between its versions, so only what counting needs is asked
for; everything else may be absent. A line is bad when it is no JSON object, has no kind, no time,
or is a message without contents that can be read.
"""

from enum import StrEnum
from typing import Final

import msgspec
from msgspec import Struct

from gateway import values
from gateway.values import Value

LINE_BYTES_MAX: Final = 32 * 1024 * 1024
"""How long a line may be; longer ones are counted as bad, unread."""
MESSAGES: Final = frozenset({"user", "assistant"})
SYSTEM: Final = "system"


class Fault(StrEnum):
    """Why a line is skipped."""

    NOT_JSON = "not-json"
    NOT_OBJECT = "not-an-object"
    TORN = "torn-last-line"
    TOO_LONG = "too-long"
    NO_KIND = "no-type"
    NO_TIME = "no-timestamp"
    NO_MESSAGE = "no-message"
    NO_CONTENT = "no-content"
    BAD_CONTENT = "bad-content"


class BadLine(ValueError):
    """A line that cannot be counted."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        super().__init__(fault.value)


class Usage(Struct, frozen=True):
    """The tokens that one answer took; the four counts are disjoint."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0

    @property
    def total(self) -> int:
        """All tokens together."""
        return (
            self.input_tokens
            + self.output_tokens
            + self.cache_read_tokens
            + self.cache_write_tokens
        )


class Line(Struct, frozen=True, kw_only=True):
    """A line that can be placed in time."""

    kind: str
    at_ms: int
    uuid: str
    fields: dict[str, Value]
    message: dict[str, Value]
    blocks: list[dict[str, Value]]
    """The parts of a message; a text of its own is one part."""

    def word(self, key: str) -> str:
        """Return a field as a name; empty where it is not there."""
        return values.name(self.fields.get(key))

    def flag(self, key: str) -> bool:
        """Say whether a field is set."""
        return values.flag(self.fields.get(key)) is True

    @property
    def text(self) -> str:
        """All texts of the message."""
        parts = (block.get("text") for block in self.blocks if block.get("type") == "text")
        return "\n".join(part for part in parts if isinstance(part, str))

    @property
    def usage(self) -> Usage:
        """The tokens that the message says it took."""
        given = self.message.get("usage")
        if not isinstance(given, dict):
            return Usage()
        return Usage(
            input_tokens=values.count(given.get("input_tokens")) or 0,
            output_tokens=values.count(given.get("output_tokens")) or 0,
            cache_read_tokens=values.count(given.get("cache_read_input_tokens")) or 0,
            cache_write_tokens=values.count(given.get("cache_creation_input_tokens")) or 0,
        )


def read(raw: bytes) -> Line | str:
    """Return a line, or the kind of one that has no place in time; raise `BadLine` for a bad one.

    A line without its end that is no JSON is torn: the file is still being written.
    """
    fields = _fields(raw)
    kind = values.name(fields.get("type"))
    if not kind:
        raise BadLine(Fault.NO_KIND)
    at_ms = values.moment_ms(fields.get("timestamp"))
    if kind not in MESSAGES and (kind != SYSTEM or at_ms is None):
        return kind
    if at_ms is None:
        raise BadLine(Fault.NO_TIME)
    message: dict[str, Value] = {}
    blocks: list[dict[str, Value]] = []
    if kind in MESSAGES:
        message = _message(fields)
        blocks = _blocks(message)
    return Line(
        kind=kind,
        at_ms=at_ms,
        uuid=values.name(fields.get("uuid")),
        fields=fields,
        message=message,
        blocks=blocks,
    )


def _fields(raw: bytes) -> dict[str, Value]:
    if len(raw) > LINE_BYTES_MAX:
        raise BadLine(Fault.TOO_LONG)
    try:
        fields: Value = msgspec.json.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadLine(Fault.NOT_JSON if raw.endswith(b"\n") else Fault.TORN) from error
    if not isinstance(fields, dict):
        raise BadLine(Fault.NOT_OBJECT)
    return fields


def _message(fields: dict[str, Value]) -> dict[str, Value]:
    message = fields.get("message")
    if not isinstance(message, dict):
        raise BadLine(Fault.NO_MESSAGE)
    return message


def _blocks(message: dict[str, Value]) -> list[dict[str, Value]]:
    content = message.get("content")
    if content is None:
        raise BadLine(Fault.NO_CONTENT)
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    if not isinstance(content, list):
        raise BadLine(Fault.BAD_CONTENT)
    blocks = [block for block in content if isinstance(block, dict)]
    if content and not blocks:
        raise BadLine(Fault.BAD_CONTENT)
    return blocks
