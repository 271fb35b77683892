"""One line of a transcript: what it holds, or why it cannot be counted.

The format is the agent's own and changes between its versions, so only what counting needs is asked
for; everything else may be absent. A line is bad when it is no JSON object, has no kind, no time,
or is a message without contents that can be read.
"""

from enum import StrEnum
from typing import Final

import msgspec
from msgspec import Struct

from analytics.contracts import clean
from gateway.otlp import coercion
from gateway.otlp.coercion import Value

LINE_BYTES_MAX: Final = 32 * 1024 * 1024
"""How long a line may be; longer ones are counted as bad, unread."""
ASIDES_MAX: Final = 64
"""Iterations of one answer that are looked at."""
MESSAGES: Final = frozenset({"user", "assistant"})
SYSTEM: Final = "system"


class LineFault(StrEnum):
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

    def __init__(self, fault: LineFault) -> None:
        self.fault = fault
        super().__init__(fault.value)


class Usage(Struct, frozen=True):
    """The tokens that one answer took; the four counts are disjoint."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    cache_write_1h_tokens: int = 0
    """Part of `cache_write_tokens`."""
    web_searches: int = 0
    speed: str = ""
    service_tier: str = ""

    @property
    def total(self) -> int:
        """All tokens together."""
        return (
            self.input_tokens
            + self.output_tokens
            + self.cache_read_tokens
            + self.cache_write_tokens
        )


class Aside(Struct, frozen=True):
    """Another model's part in an answer, or another pass, with tokens of its own."""

    kind: str
    model: str
    """Empty where it is the answer's own."""
    usage: Usage


class TranscriptLine(Struct, frozen=True, kw_only=True):
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
        return coercion.name(self.fields.get(key))

    @property
    def origin(self) -> str:
        """The id of the line, as the session that it was copied from has it."""
        copied = self.fields.get("forkedFrom")
        named = coercion.name(copied.get("messageUuid")) if isinstance(copied, dict) else ""
        return named or self.uuid

    @property
    def session_id(self) -> str:
        """The session that the line tells of: where a fork copied it, the one it is copied from."""
        copied = self.fields.get("forkedFrom")
        named = coercion.name(copied.get("sessionId")) if isinstance(copied, dict) else ""
        return named or self.word("sessionId")

    @property
    def is_copy(self) -> bool:
        """Whether a fork copied the line: what it says of its turn is the fork's."""
        return isinstance(self.fields.get("forkedFrom"), dict)

    def flag(self, key: str) -> bool:
        """Say whether a field is set."""
        return coercion.flag(self.fields.get(key)) is True

    @property
    def text(self) -> str:
        """All texts of the message."""
        parts = (block.get("text") for block in self.blocks if block.get("type") == "text")
        return "\n".join(part for part in parts if isinstance(part, str))

    @property
    def usage(self) -> Usage:
        """The tokens that the message says it took."""
        return _usage(_mapping(self.message.get("usage")))

    @property
    def asides(self) -> tuple[Aside, ...]:
        """What the answer took beside its own tokens: iterations that are no message."""
        given = _mapping(self.message.get("usage")).get("iterations")
        every = [_mapping(one) for one in given[:ASIDES_MAX]] if isinstance(given, list) else []
        told = [(coercion.name(one.get("type")), one) for one in every]
        return tuple(
            Aside(kind, coercion.name(one.get("model")), _usage(one))
            for kind, one in told
            if kind not in {"", "message"}
        )


def read(raw: bytes) -> TranscriptLine | str:
    """Return a line, or the kind of one that has no place in time; raise `BadLine` for a bad one.

    A line without its end that is no JSON is torn: the file is still being written.
    """
    fields = fields_of(raw)
    kind = coercion.name(fields.get("type"))
    if not kind:
        raise BadLine(LineFault.NO_KIND)
    at_ms = coercion.moment_ms(fields.get("timestamp"))
    if kind not in MESSAGES and (kind != SYSTEM or at_ms is None):
        return kind
    if at_ms is None:
        raise BadLine(LineFault.NO_TIME)
    message: dict[str, Value] = {}
    blocks: list[dict[str, Value]] = []
    if kind in MESSAGES:
        message = _message(fields)
        blocks = _blocks(message)
    return TranscriptLine(
        kind=kind,
        at_ms=at_ms,
        uuid=coercion.name(fields.get("uuid")),
        fields=fields,
        message=message,
        blocks=blocks,
    )


def _usage(given: dict[str, Value]) -> Usage:
    kept = _mapping(given.get("cache_creation"))
    tools = _mapping(given.get("server_tool_use"))
    one_hour = coercion.count(kept.get("ephemeral_1h_input_tokens")) or 0
    five_minutes = coercion.count(kept.get("ephemeral_5m_input_tokens")) or 0
    written = coercion.count(given.get("cache_creation_input_tokens"))
    return Usage(
        input_tokens=coercion.count(given.get("input_tokens")) or 0,
        output_tokens=coercion.count(given.get("output_tokens")) or 0,
        cache_read_tokens=coercion.count(given.get("cache_read_input_tokens")) or 0,
        cache_write_tokens=one_hour + five_minutes if written is None else written,
        cache_write_1h_tokens=one_hour if written is None else min(one_hour, written),
        web_searches=coercion.count(tools.get("web_search_requests")) or 0,
        speed=coercion.name(given.get("speed")),
        service_tier=coercion.name(given.get("service_tier")),
    )


def _mapping(value: Value) -> dict[str, Value]:
    return value if isinstance(value, dict) else {}


def fields_of(raw: bytes) -> dict[str, Value]:
    """Return the fields of a line; raise `BadLine` where it is no JSON object."""
    if len(raw) > LINE_BYTES_MAX:
        raise BadLine(LineFault.TOO_LONG)
    try:
        fields: Value = clean.decoded(msgspec.json.decode, raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadLine(LineFault.NOT_JSON if raw.endswith(b"\n") else LineFault.TORN) from error
    if not isinstance(fields, dict):
        raise BadLine(LineFault.NOT_OBJECT)
    return fields


def _message(fields: dict[str, Value]) -> dict[str, Value]:
    message = fields.get("message")
    if not isinstance(message, dict):
        raise BadLine(LineFault.NO_MESSAGE)
    return message


def _blocks(message: dict[str, Value]) -> list[dict[str, Value]]:
    content = message.get("content")
    if content is None:
        raise BadLine(LineFault.NO_CONTENT)
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    if not isinstance(content, list):
        raise BadLine(LineFault.BAD_CONTENT)
    blocks = [block for block in content if isinstance(block, dict)]
    if content and not blocks:
        raise BadLine(LineFault.BAD_CONTENT)
    return blocks
