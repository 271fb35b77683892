r"""The protocol as JSON: objects joined by newlines in text frames, application data embedded.

A client picks one command per object; should it name several, the order of the protocol's server
decides. Zero values are left out on the wire, results never are: clients look for them.
"""

from collections.abc import Iterator
from typing import Annotated, Final, assert_never

import msgspec
from msgspec import Meta, Raw, Struct

from gateway.protocol.codes import Fault
from gateway.protocol.messages import (
    BadFrame,
    Called,
    Command,
    Connect,
    Connected,
    Message,
    Other,
    Outbound,
    Ping,
    Pong,
    Refresh,
    Refreshed,
    Request,
    Result,
    Rpc,
    Unserved,
    Unsubscribe,
    Unsubscribed,
)

ID_MAX: Final = 2**32 - 1
PING: Final = b"{}"
EMPTY: Final = b"null"


class _Connect(Struct, frozen=True):
    token: str | None = None
    name: str | None = None
    version: str | None = None


class _Rpc(Struct, frozen=True):
    method: str | None = None
    data: Raw = Raw(EMPTY)


class _Refresh(Struct, frozen=True):
    token: str | None = None


class _Channel(Struct, frozen=True):
    channel: str | None = None


class _Any(Struct, frozen=True):
    pass


class _Command(Struct, frozen=True):
    id: Annotated[int, Meta(ge=0, le=ID_MAX)] = 0
    connect: _Connect | None = None
    ping: _Any | None = None
    subscribe: _Channel | None = None
    unsubscribe: _Channel | None = None
    publish: _Channel | None = None
    presence: _Channel | None = None
    presence_stats: _Channel | None = None
    history: _Channel | None = None
    rpc: _Rpc | None = None
    send: _Any | None = None
    refresh: _Refresh | None = None
    sub_refresh: _Channel | None = None


_decoder: Final = msgspec.json.Decoder(_Command)
_encoder: Final = msgspec.json.Encoder()


class JsonCodec:
    """Commands and replies as JSON; at most `commands_max` of them in a frame."""

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
        """Return one reply as bytes."""
        if isinstance(outbound, Ping):
            return PING
        if isinstance(outbound.result, Fault):
            return _encoder.encode({"id": outbound.id, "error": outbound.result})
        kind = str(outbound.result.__struct_config__.tag)
        return _encoder.encode({"id": outbound.id, kind: _fields(outbound.result)})

    def join(self, encoded: list[bytes]) -> bytes:
        """Return several encoded replies as one frame."""
        return b"\n".join(encoded)


def _command(line: bytes) -> Command:
    try:
        read = _decoder.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadFrame(f"not a command: {error}") from error
    if read.send is not None:
        return Command(read.id, Message())
    if read.id == 0:
        return Command(0, Pong())
    return Command(read.id, _request(read))


def _request(read: _Command) -> Request:
    if read.connect is not None:
        given = read.connect
        return Connect(given.token or "", given.name or "", given.version or "")
    if read.rpc is not None:
        return Rpc(read.rpc.method or "", bytes(read.rpc.data))
    if read.unsubscribe is not None:
        return Unsubscribe(read.unsubscribe.channel or "")
    if read.refresh is not None:
        return Refresh(read.refresh.token or "")
    for kind in Unserved:
        asked = getattr(read, kind.value)
        if asked is not None:
            return Other(kind, getattr(asked, "channel", None) or "")
    raise BadFrame("a command of no known kind")


def _fields(result: Result) -> dict[str, object]:
    match result:
        case Connected():
            fixed = {"client": result.client, "version": result.version}
            return {**fixed, **_expiry(result.ttl), "ping": result.ping, "pong": True}
        case Refreshed():
            return {"client": result.client, **_expiry(result.ttl)}
        case Called():
            return {"data": Raw(result.data)}
        case Unsubscribed():
            return {}
        case _:
            assert_never(result)


def _expiry(ttl: int | None) -> dict[str, object]:
    return {} if ttl is None else {"expires": True, "ttl": ttl}
