"""Live results as server-sent events (WHATWG HTML, section 9.2), for who only listens.

`GET /v1/stream?channel=…` streams one channel. Each event carries its position as `id`, the same
on every gateway; who comes back sends it as `Last-Event-ID` and goes on from there with nothing
left out, or is told by an event `gap` that something was. `GET` and `POST /connection/uni_sse` are
the protocol's own: pushes of any number of channels, with positions in the request. Heartbeats keep
proxies awake, and on `/v1/stream` move the position of a channel in which nothing happens.

The token comes in the Authorization header; an address that holds one is refused, since addresses
are logged by others. What waits for a stream is bounded in bytes; a slow one is ended.
"""

from collections.abc import Callable
from typing import Any, Final

import msgspec
from fastapi import APIRouter
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from analytics.contracts import clean
from analytics.contracts.errors import BadBody, Forbidden, Refused, Unavailable
from gateway import metrics
from gateway.channels.values import ClientInfo, Hub, Joined, Position
from gateway.http import limits
from gateway.http.guard import grant_of
from gateway.http.openapi import responses
from gateway.protocol import codes
from gateway.protocol.codes import ErrorReply
from gateway.routes import sse
from gateway.routes.parts import JSON, Parts

STREAM: Final = "/v1/stream"
UNI: Final = "/connection/uni_sse"
FULL_RETRY_MS: Final = 5_000
CHANNELS_MAX: Final = 128
ID_LENGTH_MAX: Final = 64

_EVENTS: Final[dict[str, Any]] = {
    "description": "Events, until either side ends it.",
    "content": {sse.MEDIA_TYPE: {}},
}
_CHANNEL: Final[dict[str, Any]] = {
    "parameters": [
        {"name": "channel", "in": "query", "required": True, "schema": {"type": "string"}},
        {"name": "Last-Event-ID", "in": "header", "schema": {"type": "string"}},
    ]
}
_CONNECT: Final[dict[str, Any]] = {
    "parameters": [{"name": "cf_connect", "in": "query", "schema": {"type": "string"}}]
}
_BODY: Final[dict[str, Any]] = {
    "requestBody": {"required": True, "content": {JSON: {"schema": {"type": "object"}}}}
}


class NoSuchChannel(Refused):
    """A channel that does not exist, or that cannot be streamed now."""

    code = "unknown-channel"


class Streaming(Struct, frozen=True, kw_only=True):
    """What streams need of the gateway."""

    hub: Hub
    streams: sse.Streams
    new_id: Callable[[], str]
    version: str


class _Since(Struct, frozen=True):
    recover: bool = False
    offset: int = 0
    epoch: str = ""


class _Connect(Struct, frozen=True):
    token: str = ""
    subs: dict[str, _Since] = {}


def router(parts: Parts, streaming: Streaming) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(tags=["live"])

    @routes.get(
        STREAM,
        summary="Stream one channel",
        openapi_extra=_CHANNEL,
        response_class=Response,
        responses={200: _EVENTS, **responses(400, 401, 403, 429, 503)},
    )
    async def stream(request: Request) -> Response:
        named = request.query_params.getlist("channel")
        if len(named) != 1:
            raise BadBody("name one channel, as in ?channel=metrics:fleet")
        since = position_of(request.headers.get("last-event-id", ""))
        listener = _listener(streaming, request, sse.Plain())
        return await _begun(streaming, request, listener, {named[0]: since})

    @routes.get(
        UNI,
        summary="Stream channels, as the protocol has it",
        openapi_extra=_CONNECT,
        response_class=Response,
        responses={200: _EVENTS, **responses(400, 401, 403, 429, 503)},
    )
    async def uni(request: Request) -> Response:
        connect = _read(request.query_params.get("cf_connect", "{}").encode())
        if connect.token:
            raise BadBody("a token in an address is no secret; send it as Authorization: Bearer …")
        return await _uni(streaming, request, connect)

    @routes.post(
        UNI,
        summary="Stream channels, as the protocol has it",
        openapi_extra=_BODY,
        response_class=Response,
        responses={200: _EVENTS, **responses(400, 401, 403, 408, 413, 415, 429, 503)},
    )
    async def uni_posted(request: Request) -> Response:
        limits.media_type(request, (JSON,))
        return await _uni(streaming, request, _read(await parts.body(request)))

    return routes


def position_of(event_id: str) -> Position | None:
    """Return the position that an event's id names; one that is none asks for the whole gap.

    A client that sends an id was here before, so it is told of a gap where the id says nothing.
    """
    if not event_id:
        return None
    epoch, colon, offset = event_id[:ID_LENGTH_MAX].rpartition(":")
    if not (colon and epoch and offset.isascii() and offset.isdecimal()):
        return Position(epoch="unreadable", offset=0)
    return Position(epoch=epoch, offset=int(offset))


async def _uni(streaming: Streaming, request: Request, connect: _Connect) -> Response:
    if len(connect.subs) > CHANNELS_MAX:
        raise BadBody(f"at most {CHANNELS_MAX} channels; open another stream for more")
    wanted = {
        name: Position(since.epoch, since.offset) if since.recover else None
        for name, since in connect.subs.items()
    }
    wanted |= {name: None for name in grant_of(request).channels if name not in wanted}
    manner = sse.Uni(version=streaming.version)
    return await _begun(streaming, request, _listener(streaming, request, manner), wanted)


def _listener(streaming: Streaming, request: Request, manner: sse.StreamFormat) -> sse.Listener:
    grant = grant_of(request)
    who = ClientInfo(user=grant.user, client=streaming.new_id(), connection=grant.info)
    return sse.Listener(who, manner, grant=grant)


async def _begun(
    streaming: Streaming,
    request: Request,
    listener: sse.Listener,
    wanted: dict[str, Position | None],
) -> Response:
    """Join every channel, or none; then answer with the stream."""
    streams, hub = streaming.streams, streaming.hub
    if streams.full:
        metrics.LIMITS_HIT.labels("streams_max").inc()
        raise Unavailable("as many streams are open as may be", retry_after_ms=FULL_RETRY_MS)
    streams.add(listener)
    try:
        for channel, since in wanted.items():
            joined = await hub.join(
                listener, channel, grant=grant_of(request), since=since, tags=None
            )
            listener.joined(channel, _or_refusal(channel, joined))
    except BaseException:  # also where the client left: nobody would leave the channels else
        hub.leave_all(listener)
        streams.remove(listener)
        raise
    for channel in wanted:
        hub.live(listener, channel)
    return streams.response(listener, ended=lambda: hub.leave_all(listener))


def _or_refusal(channel: str, joined: Joined | ErrorReply) -> Joined:
    shown = channel[:64]
    if isinstance(joined, Joined):
        return joined
    if joined.temporary:
        raise Unavailable(f"channel {shown!r} cannot be joined now; try again")
    if joined.code == codes.PERMISSION_DENIED.code:
        raise Forbidden(f"the token does not open channel {shown!r}")
    raise NoSuchChannel(f"channel {shown!r} is not to be had: {joined.message}")


def _read(text: bytes) -> _Connect:
    try:
        return clean.decoded(_connect.decode, text or b"{}")
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadBody(f"not a connect request: {error}") from error


_connect: Final = msgspec.json.Decoder(_Connect)
