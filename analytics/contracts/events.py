"""Every event that Mainstem carries, as frozen values, and the one way in.

Every event says who it belongs to (`tenant`), what it is about (`session_id`), when it happened
(`at_ms`) and which fact it is (`id`: the same fact sent twice keeps its id). Text that a sender may
leave out is `""`, and is left out on the wire too. Unknown fields pass; unknown types are refused
with `UnknownEvent`. An event may gain optional fields; anything else is a new topic version.
"""

from collections.abc import Iterable
from typing import Annotated, Final, Union

import msgspec
from msgspec import Meta, Struct

from analytics.contracts.agent_events import AgentEvent
from analytics.contracts.errors import BadEvent, UnknownEvent
from analytics.contracts.facts import Fact, Id, Name, Text
from analytics.contracts.ids import ID_LENGTH_MAX, ConnectionId, Count
from analytics.contracts.result_events import ResultEvent


class ConnectionFact(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """What every event about a socket carries."""

    connection_id: Annotated[ConnectionId, Meta(min_length=1, max_length=ID_LENGTH_MAX)]
    node: Name = ""
    user: Name = ""


class ConnectionOpened(
    ConnectionFact, frozen=True, kw_only=True, omit_defaults=True, tag="connection.opened"
):
    """A client connected and its token was good."""

    client: Name = ""
    client_version: Name = ""
    transport: Name = ""


class ConnectionClosed(
    ConnectionFact, frozen=True, kw_only=True, omit_defaults=True, tag="connection.closed"
):
    """A connection ended, by either side."""

    code: int = 0
    reason: Name = ""
    duration_ms: Count = 0
    frames: Count = 0


class ReviewFact(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """What every event about a code review carries."""

    pull_request: Annotated[str, Meta(min_length=1, max_length=512)]
    """`owner/name#number`, or a local branch."""
    user: Name = ""


class ReviewRequested(
    ReviewFact, frozen=True, kw_only=True, omit_defaults=True, tag="review.requested"
):
    """Lines are ready to be looked at."""

    commit: Name = ""
    before: Name = ""


class FindingReported(
    ReviewFact, frozen=True, kw_only=True, omit_defaults=True, tag="finding.reported"
):
    """A reviewer (person or program) pointed at lines."""

    finding_id: Id
    rule: Name = ""
    path: Text = ""
    line: Count = 0
    confidence: float | None = None
    message: Text = ""


class ReviewFeedback(
    ReviewFact, frozen=True, kw_only=True, omit_defaults=True, tag="review.feedback"
):
    """What people made of a finding."""

    action: Name = ""
    finding_id: Name = ""
    delivery_id: Name = ""
    verdict: Name = ""


class NotePublished(Fact, frozen=True, kw_only=True, omit_defaults=True, tag="note.published"):
    """A client put data into a channel of its own making."""

    channel: Annotated[str, Meta(min_length=1, max_length=512)]
    """Tenant and name of the channel, joined by a slash: what shares them stays in order."""
    user: Name = ""
    client: Name = ""
    data: Text = ""
    """JSON, letter for letter as the client wrote it."""


ConnectionEvent = ConnectionOpened | ConnectionClosed
ReviewEvent = ReviewRequested | FindingReported | ReviewFeedback
Event = AgentEvent | ConnectionEvent | ReviewEvent | ResultEvent | NotePublished

TYPES: Final[dict[str, type[Fact]]] = {
    str(kind.__struct_config__.tag): kind for kind in Event.__args__
}
"""Every event type by the name it has on the wire."""


class _Tagged(Struct):
    type: str = ""


_decoder: Final[msgspec.json.Decoder[Event]] = msgspec.json.Decoder(Event)
_closed: Final[msgspec.json.Decoder[Fact]] = msgspec.json.Decoder(
    Union[  # noqa: UP007 - made of a tuple
        tuple(
            msgspec.defstruct(
                kind.__name__,
                (),
                bases=(kind,),
                tag_field="type",
                tag=name,
                frozen=True,
                forbid_unknown_fields=True,
            )
            for name, kind in TYPES.items()
        )
    ]
)
"""Takes the same events, and none with a field that we do not know."""
_encoder: Final = msgspec.json.Encoder()
_tag_decoder: Final = msgspec.json.Decoder(_Tagged)


def decode(payload: bytes) -> Event:
    """Return the event in `payload`; raise `UnknownEvent` or `BadEvent` if it is not one."""
    try:
        return _decoder.decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise _refusal(payload, str(error)) from error


def decode_closed(payload: bytes) -> Event | None:
    """Return the event in `payload` if it is one and has no field that we do not know."""
    try:
        _closed.decode(payload)
        return _decoder.decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def decode_all(payloads: Iterable[bytes]) -> list[Event]:
    """Return the events in `payloads`; raise as `decode` does for the first that is none."""
    told: list[Event] = []
    add, decoded = told.append, _decoder.decode
    payload = b""
    try:
        for payload in payloads:
            add(decoded(payload))
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise _refusal(payload, str(error)) from error
    return told


def read(fields: object) -> Event:
    """Return the event that a decoded JSON object describes; raise as `decode` does."""
    try:
        event: Event = msgspec.convert(fields, Event)
    except msgspec.MsgspecError as error:
        raise _refusal(_encoder.encode(fields), str(error)) from error
    return event


def encode(event: Event) -> bytes:
    """Return `event` as JSON, without the fields that hold their default."""
    return _encoder.encode(event)


def type_of(event: Event) -> str:
    """Return the name of the event's type on the wire, such as `request.finished`."""
    return str(event.__struct_config__.tag)


def _refusal(payload: bytes, reason: str) -> BadEvent:
    try:
        kind = _tag_decoder.decode(payload).type
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return BadEvent(reason=reason, payload=payload)
    if kind in TYPES:
        return BadEvent(reason=reason, payload=payload)
    return UnknownEvent(reason=f"type {kind!r} is not known", payload=payload)
