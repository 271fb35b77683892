r"""The protocol as JSON: objects joined by newlines in text frames, application data embedded.

A client picks one command per object; should it name several, the order of the protocol's server
decides. Zero values are left out on the wire, results never are: clients look for them.
"""

from collections.abc import Iterator
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Raw, Struct, field

from analytics.contracts import clean
from gateway.protocol import messages as says
from gateway.protocol.codes import ErrorReply
from gateway.protocol.messages import BadFrame, Command, Outbound, Position, TagFilter
from gateway.protocol.shapes import Shapes, expiry

ID_MAX: Final = 2**32 - 1
OFFSET_MAX: Final = 2**63 - 1
PING: Final = b"{}"

_Offset = Annotated[int, Meta(ge=0, le=OFFSET_MAX)]
_Number = Annotated[int, Meta(ge=-(2**31), le=2**31 - 1)]


class _Place(Struct, frozen=True):
    recover: bool | None = None
    epoch: str | None = None
    offset: _Offset | None = None

    @property
    def position(self) -> Position:
        return Position(self.epoch or "", self.offset or 0)


class _Connect(Struct, frozen=True):
    token: str | None = None
    name: str | None = None
    version: str | None = None
    subs: dict[str, _Place] | None = None


class _Subscribe(_Place, frozen=True):
    channel: str | None = None
    token: str | None = None
    data: Raw = Raw(says.NULL)
    tf: TagFilter | None = None
    flag: _Number | None = None
    kind: _Number | None = field(name="type", default=None)


class _Publish(Struct, frozen=True):
    channel: str | None = None
    data: Raw = Raw(says.NULL)
    kind: _Number | None = field(name="type", default=None)


class _History(Struct, frozen=True):
    channel: str | None = None
    limit: _Number | None = None
    since: _Place | None = None
    reverse: bool | None = None


class _Rpc(Struct, frozen=True):
    method: str | None = None
    data: Raw = Raw(says.NULL)


class _Token(Struct, frozen=True):
    channel: str | None = None
    token: str | None = None


class _Channel(Struct, frozen=True):
    channel: str | None = None


class _Any(Struct, frozen=True):
    pass


class _Command(Struct, frozen=True):
    id: Annotated[int, Meta(ge=0, le=ID_MAX)] = 0
    connect: _Connect | None = None
    ping: _Any | None = None
    subscribe: _Subscribe | None = None
    unsubscribe: _Channel | None = None
    publish: _Publish | None = None
    presence: _Channel | None = None
    presence_stats: _Channel | None = None
    history: _History | None = None
    rpc: _Rpc | None = None
    send: _Any | None = None
    refresh: _Token | None = None
    sub_refresh: _Token | None = None


_decoder: Final = msgspec.json.Decoder(_Command)
_encoder: Final = msgspec.json.Encoder()


class JsonCodec:
    """Commands and replies as JSON; at most `commands_max` of them in a frame."""

    text = True

    def __init__(self, *, commands_max: int) -> None:
        self._commands_max = commands_max

    def decode(self, frame: bytes) -> Iterator[Command]:
        """Yield the frame's commands in order; raise `BadFrame` where it stops being one."""
        lines = frame.split(b"\n", self._commands_max)
        if len(lines) > self._commands_max and lines[-1].strip():
            raise BadFrame(f"more than {self._commands_max} commands in a frame")
        found = False
        for line in lines:
            if line.strip():
                found = True
                yield _command(line)
        if not found:
            raise BadFrame("a frame without a command")

    def encode(self, outbound: Outbound) -> bytes:
        """Return one reply or push as bytes."""
        if isinstance(outbound, says.Reply):
            return _reply(outbound)
        if isinstance(outbound, says.Ping):
            return PING
        return _encoder.encode({"push": _SHAPES.push(outbound)})

    def join(self, encoded: list[bytes]) -> bytes:
        """Return several encoded replies and pushes as one frame."""
        return b"\n".join(encoded)


def _command(line: bytes) -> Command:
    try:
        read = clean.decoded(_decoder.decode, line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadFrame(f"not a command: {error}") from error
    if read.send is not None:
        return Command(read.id, says.Message())
    if read.id == 0:
        return Command(0, says.Pong())
    return Command(read.id, _request(read))


def _request(read: _Command) -> says.Request:
    if read.rpc is not None and read.connect is None:
        return says.Rpc(read.rpc.method or "", bytes(read.rpc.data))
    if read.connect is not None:
        return _connect(read.connect)
    if read.ping is not None:
        return says.ClientPing()
    if read.refresh is not None:
        return says.Refresh(read.refresh.token or "")
    on_channel = _on_channel(read)
    if on_channel is None:
        raise BadFrame("a command of no known kind")
    return on_channel


def _connect(given: _Connect) -> says.ConnectRequest:
    places = {} if given.subs is None else given.subs
    since = {name: place.position for name, place in places.items() if place.recover}
    return says.ConnectRequest(given.token or "", given.name or "", given.version or "", since)


def _on_channel(read: _Command) -> says.OnChannel | None:
    if read.subscribe is not None:
        return _subscribe(read.subscribe)
    if read.unsubscribe is not None:
        return says.Unsubscribe(read.unsubscribe.channel or "")
    if read.publish is not None:
        given = read.publish
        return says.Publish(
            channel=given.channel or "", data=bytes(given.data), kind=given.kind or 0
        )
    if read.presence is not None:
        return says.PresenceRequest(read.presence.channel or "")
    if read.presence_stats is not None:
        return says.PresenceStats(read.presence_stats.channel or "")
    if read.history is not None:
        return _history(read.history)
    if read.sub_refresh is not None:
        return says.SubRefresh(read.sub_refresh.channel or "", read.sub_refresh.token or "")
    return None


def _subscribe(given: _Subscribe) -> says.Subscribe:
    return says.Subscribe(
        channel=given.channel or "",
        token=given.token or "",
        since=given.position if given.recover else None,
        data=bytes(given.data),
        tags=given.tf,
        flag=given.flag or 0,
        kind=given.kind or 0,
    )


def _history(given: _History) -> says.History:
    return says.History(
        channel=given.channel or "",
        limit=given.limit or 0,
        since=None if given.since is None else given.since.position,
        reverse=bool(given.reverse),
    )


def _reply(reply: says.Reply) -> bytes:
    result = reply.result
    if isinstance(result, says.Called):
        return b'{"id":%d,"rpc":{"data":%b}}' % (reply.id, result.data)
    if isinstance(result, ErrorReply):
        return _encoder.encode({"id": reply.id, "error": result})
    kind = str(result.__struct_config__.tag)
    return _encoder.encode({"id": reply.id, kind: _SHAPES.result(result)})


def _subscribed(given: says.Subscribed) -> dict[str, object]:
    fields: dict[str, object] = expiry(given.ttl)
    if given.recoverable:
        fields |= {"recoverable": True, "positioned": True, "epoch": given.epoch}
        fields["offset"] = given.offset
    if given.was_recovering:
        fields["was_recovering"] = True
    if given.recovered:
        fields["recovered"] = True
        fields["publications"] = [_publication(one) for one in given.publications]
    if given.data:
        fields["data"] = Raw(given.data)
    return fields


def _publication(given: says.Publication) -> dict[str, object]:
    fields: dict[str, object] = {"data": Raw(given.data)}
    if given.offset:
        fields["offset"] = given.offset
    if given.tags:
        fields["tags"] = given.tags
    if given.time_ms:
        fields["time"] = given.time_ms
    if given.info is not None:
        fields["info"] = _info(given.info)
    return fields


def _info(given: says.ClientInfo) -> dict[str, object]:
    fields: dict[str, object] = {"user": given.user, "client": given.client}
    if given.connection:
        fields["conn_info"] = Raw(given.connection)
    if given.channel:
        fields["chan_info"] = Raw(given.channel)
    return fields


_SHAPES: Final = Shapes(
    subscribed=_subscribed,
    entered=_subscribed,
    publication=_publication,
    info=_info,
    data=Raw,
)
