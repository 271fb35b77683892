"""The protocol as Protobuf: messages with their length before them, in binary frames.

Application data stays JSON in `bytes` fields, as it is for every other client. What is published is
checked and written on one line here, because JSON clients get it embedded in a line of their own.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import msgspec
from google.protobuf.message import DecodeError, Message

from analytics.contracts import clean
from gateway.http.protobuf import parsed
from gateway.protocol import messages as says
from gateway.protocol.codes import ErrorReply
from gateway.protocol.messages import BadFrame, Command, Outbound, Position
from gateway.protocol.schema import classes
from gateway.protocol.shapes import Shapes, expiry

PING: Final = b"\x00"
VARINT_BYTES_MAX: Final = 5
"""Bytes of a length: what 32 bits take."""

_CLASSES: Final[Mapping[str, Any]] = classes()  # made at run time, so without types
_COMMAND: Final = _CLASSES["Command"]
_REPLY: Final = _CLASSES["Reply"]


class ProtobufCodec:
    """Commands and replies as Protobuf; at most `commands_max` of them in a frame."""

    text = False

    def __init__(self, *, commands_max: int) -> None:
        self._commands_max = commands_max

    def decode(self, frame: bytes) -> Iterator[Command]:
        """Yield the frame's commands in order; raise `BadFrame` where it stops being one."""
        if not frame:
            raise BadFrame("a frame without a command")
        at = count = 0
        while at < len(frame):
            count += 1
            if count > self._commands_max:
                raise BadFrame(f"more than {self._commands_max} commands in a frame")
            length, at = _varint(frame, at)
            if at + length > len(frame):
                raise BadFrame(f"a command of {length} bytes in a frame that ends before")
            yield _command(frame[at : at + length])
            at += length

    def encode(self, outbound: Outbound) -> bytes:
        """Return one reply or push as bytes."""
        if isinstance(outbound, says.Ping):
            return PING
        if isinstance(outbound, says.Reply):
            return _framed(_reply(outbound))
        return _framed(_REPLY(push=_SHAPES.push(outbound)))

    def join(self, encoded: list[bytes]) -> bytes:
        """Return several encoded replies and pushes as one frame."""
        return b"".join(encoded)


def one_line(data: bytes) -> bytes:
    """Return JSON without a line break; raise `BadFrame` if it is not JSON."""
    try:
        return clean.decoded(_formatted, data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadFrame(f"data that is not JSON: {error}") from error


def _formatted(data: bytes) -> bytes:
    data.decode()
    return msgspec.json.format(data, indent=-1)


def _varint(frame: bytes, at: int) -> tuple[int, int]:
    value = 0
    for place in range(VARINT_BYTES_MAX):
        if at + place >= len(frame):
            break
        byte = frame[at + place]
        value |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return value, at + place + 1
    raise BadFrame("a frame that does not start with the length of a command")


def _framed(message: Message) -> bytes:
    body = message.SerializeToString()
    length, prefix = len(body), bytearray()
    while length >= 0x80:
        prefix.append(length & 0x7F | 0x80)
        length >>= 7
    prefix.append(length)
    return bytes(prefix) + body


def _command(body: bytes) -> Command:
    try:
        read = parsed(_COMMAND, body)
    except DecodeError as error:
        raise BadFrame(f"not a command: {error}") from error
    if read.HasField("send"):
        return Command(read.id, says.Message())
    if read.id == 0:
        return Command(0, says.Pong())
    for kind, request in _REQUESTS.items():
        if read.HasField(kind):
            return Command(read.id, request(getattr(read, kind)))
    raise BadFrame("a command of no known kind")


def _connect(given: Any) -> says.ConnectRequest:  # noqa: ANN401 - made at run time
    since = {name: _since(one) for name, one in given.subs.items() if one.recover}
    return says.ConnectRequest(given.token, given.name, given.version, since)


def _publish(given: Any) -> says.Publish:  # noqa: ANN401 - made at run time
    return says.Publish(channel=given.channel, data=one_line(given.data), kind=given.type)


def _history(given: Any) -> says.History:  # noqa: ANN401 - made at run time
    since = _since(given.since) if given.HasField("since") else None
    return says.History(
        channel=given.channel, limit=given.limit, since=since, reverse=given.reverse
    )


def _subscribe(given: Any) -> says.Subscribe:  # noqa: ANN401 - made at run time
    return says.Subscribe(
        channel=given.channel,
        token=given.token,
        since=_since(given) if given.recover else None,
        data=given.data or says.NULL,
        tags=_tags(given.tf) if given.HasField("tf") else None,
        flag=given.flag,
        kind=given.type,
    )


def _since(given: Any) -> Position:  # noqa: ANN401 - made at run time
    return Position(given.epoch, given.offset)


def _tags(node: Any) -> says.TagFilter:  # noqa: ANN401 - made at run time
    return says.TagFilter(
        op=node.op,
        key=node.key,
        cmp=node.cmp,
        val=node.val,
        vals=tuple(node.vals),
        nodes=tuple(_tags(inner) for inner in node.nodes),
    )


_REQUESTS: Final[Mapping[str, Callable[[Any], says.Request]]] = {
    "connect": _connect,
    "ping": lambda _: says.ClientPing(),
    "subscribe": _subscribe,
    "unsubscribe": lambda given: says.Unsubscribe(given.channel),
    "publish": _publish,
    "presence": lambda given: says.PresenceRequest(given.channel),
    "presence_stats": lambda given: says.PresenceStats(given.channel),
    "history": _history,
    "rpc": lambda given: says.Rpc(given.method, given.data or says.NULL),
    "refresh": lambda given: says.Refresh(given.token),
    "sub_refresh": lambda given: says.SubRefresh(given.channel, given.token),
}
"""The kinds of a command; where it names several, the first in the protocol's order."""


def _reply(reply: says.Reply) -> Message:
    result = reply.result
    if isinstance(result, ErrorReply):
        error = {"code": result.code, "message": result.message, "temporary": result.temporary}
        return _made(_REPLY(id=reply.id, error=error))
    kind = str(result.__struct_config__.tag)
    return _made(_REPLY(id=reply.id, **{kind: _SHAPES.result(result)}))


def _made(message: Any) -> Message:  # noqa: ANN401 - made at run time
    assert isinstance(message, Message)
    return message


def _subscribed(result: says.Subscribed) -> dict[str, object]:
    return {
        **expiry(result.ttl),
        "recoverable": result.recoverable,
        "positioned": result.recoverable,
        "epoch": result.epoch,
        "offset": result.offset,
        "was_recovering": result.was_recovering,
        "recovered": result.recovered,
        "publications": [_publication(one) for one in result.publications],
        "data": result.data,
    }


def _entered(given: says.Subscribed) -> dict[str, object]:
    return {
        "recoverable": given.recoverable,
        "positioned": given.recoverable,
        "epoch": given.epoch,
        "offset": given.offset,
        "data": given.data,
    }


def _publication(given: says.Publication) -> dict[str, object]:
    fields: dict[str, object] = {
        "data": given.data,
        "offset": given.offset,
        "tags": dict(given.tags),
        "time": given.time_ms,
    }
    return fields if given.info is None else {**fields, "info": _info(given.info)}


def _info(given: says.ClientInfo) -> dict[str, object]:
    return {
        "user": given.user,
        "client": given.client,
        "conn_info": given.connection,
        "chan_info": given.channel,
    }


_SHAPES: Final = Shapes(
    subscribed=_subscribed,
    entered=_entered,
    publication=_publication,
    info=_info,
    data=bytes,
)
