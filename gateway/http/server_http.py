"""uvicorn's HTTP protocol, held to deadlines and sizes that it does not know by itself.

The head of a request has a deadline, a size and a number of headers; between requests, and while
the rest of a body comes that nobody reads any more, a connection has a deadline that no byte moves.
TLS is spoken from here, so that a connection counts before its handshake.
"""

import asyncio
import ssl
from typing import Any, Final

import uvicorn
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from analytics.contracts.errors import BadBody, MainstemError
from gateway.http import problem
from gateway.http.connections import HEAD, IDLE, TLS, Connection, Connections
from gateway.http.problem import BodyTooSlow, HeadTooLarge, TooManyConnections
from gateway.http.server_websocket import SocketProtocol

PIPELINED_MAX: Final = 64
"""Requests that may wait on one connection behind the one that is answered."""


class ServerConfig(uvicorn.Config):
    """uvicorn's configuration with the connections that its protocols share."""

    def __init__(
        self,
        *args: Any,  # noqa: ANN401 - handed on
        connections: Connections,
        context: ssl.SSLContext | None,
        **kwargs: Any,  # noqa: ANN401 - handed on
    ) -> None:
        super().__init__(*args, **kwargs)
        self.http = HttpProtocol if context is None else TlsProtocol
        self.connections = connections
        self.context = context
        self.handshakes: set[asyncio.Task[None]] = set()


class HttpProtocol(HttpToolsProtocol):
    """The protocol of one connection; see the module."""

    config: ServerConfig

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - handed on
        super().__init__(*args, **kwargs)
        self.connection: Connection | None = None
        self._is_made = False
        self._early: list[bytes] = []
        self._head_bytes = 0
        self._in_head = False
        self._in_message = False
        self._refusal = BAD_REQUEST

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Begin to wait for the first head."""
        super().connection_made(transport)
        self._is_made = True
        if self.connection is None:
            self.connection = self.config.connections.open(transport)
        self.connection.transport = transport
        if self.connection.is_refused:
            transport.write(TOO_MANY)
            self.connection.close()
            return
        self.connection.expect(HEAD, last_words=self._last_words)
        early, self._early = self._early, []
        for data in early:
            self.data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Count it no more."""
        if self.connection is not None:
            self.connection.leave()
        if self._is_made:
            super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on, unless the head has become too large."""
        if not self._is_made:
            self._early.append(data)
            return
        if self.transport.is_closing():
            return
        was_in_head = self._in_head
        super().data_received(data)
        if was_in_head and self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > self._connection.bounds.head_bytes_max:
                self._refusal = HEAD_TOO_LARGE
                self.send_400_response("")

    def on_message_begin(self) -> None:
        """Begin the deadline of a head, where no answer is under way that it waits for."""
        super().on_message_begin()
        self._in_head = self._in_message = True
        self._head_bytes = 0
        if self._is_answered:
            self._connection.expect(HEAD, last_words=self._last_words)

    def on_url(self, url: bytes) -> None:
        """Take more of the address."""
        super().on_url(url)
        self._grow(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; what comes after a body is left out."""
        if not self._in_head:
            return
        self._grow(len(name) + len(value))
        if len(self.headers) >= self._connection.bounds.headers_max:
            self._refuse(HEAD_TOO_LARGE)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Serve the request."""
        self._in_head = False
        if len(self.pipeline) >= PIPELINED_MAX or not self._connection.enter(self.scope):
            self._refuse(TOO_MANY)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Wait for the next request where this one was answered before it was whole."""
        super().on_message_complete()
        self._in_message = False
        if self._is_answered and not self.pipeline:
            self._connection.expect(IDLE)

    def on_response_complete(self) -> None:
        """Wait for the next request, or for the rest of this one."""
        super().on_response_complete()
        self._connection.answered()
        if self.transport.is_closing():
            self._connection.close()
        elif self.cycle.response_complete:
            self._connection.expect(HEAD if self._in_message else IDLE, last_words=self._last_words)

    def pause_writing(self) -> None:
        """Begin the deadline of a peer that takes no bytes."""
        super().pause_writing()
        self._connection.stall()

    def resume_writing(self) -> None:
        """End the deadline of a peer that takes no bytes."""
        super().resume_writing()
        self._connection.flow()

    def handle_websocket_upgrade(self) -> None:
        """Hand the connection on."""
        super().handle_websocket_upgrade()
        protocol = self.transport.get_protocol()
        if isinstance(protocol, SocketProtocol):
            protocol.belong_to(self._connection)

    def send_400_response(self, msg: str) -> None:
        """Answer what is no request, or too much of one, and close."""
        if not self.transport.is_closing():
            self.transport.write(self._refusal)
        self._connection.close()

    @property
    def _is_answered(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is not None and cycle.response_complete

    @property
    def _connection(self) -> Connection:
        assert self.connection is not None, "no byte comes before the connection"
        return self.connection

    def _last_words(self) -> bytes:
        return LATE if self._in_head else b""

    def _grow(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > self._connection.bounds.head_bytes_max:
            self._refuse(HEAD_TOO_LARGE)

    def _refuse(self, refusal: bytes) -> None:
        self._refusal = refusal
        raise HeadRefused


class HeadRefused(Exception):
    """What a callback raises to end the parser; what is answered is set before."""


class TlsProtocol(asyncio.Protocol):
    """The protocol of a connection until its TLS handshake is done."""

    def __init__(self, config: ServerConfig, **given: Any) -> None:  # noqa: ANN401 - handed on
        self._config = config
        self._http = HttpProtocol(config=config, **given)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Begin the handshake, with its deadline."""
        connection = self._config.connections.open(transport)
        if connection.is_refused:
            transport.abort()
            return
        transport.pause_reading()
        connection.expect(TLS)
        self._http.connection = connection
        task = asyncio.ensure_future(self._secure(transport, connection))
        self._config.handshakes.add(task)
        task.add_done_callback(self._config.handshakes.discard)

    async def _secure(self, transport: asyncio.Transport, connection: Connection) -> None:
        context = self._config.context
        assert context is not None, "TLS is spoken with a certificate"
        loop = asyncio.get_running_loop()
        try:
            secured = await loop.start_tls(transport, self._http, context, server_side=True)
        except (OSError, asyncio.CancelledError):
            secured = None
        if secured is None:  # asyncio's word for a peer that left in the midst
            connection.leave()
            transport.abort()
            return
        connection.settle()
        self._http.connection_made(secured)


def _whole(error: MainstemError) -> bytes:
    """Return a response for an error as it goes over the wire, the last one of a connection."""
    answer = problem.answer(error)
    head = [STATUS_LINE[answer.status_code], b"connection: close\r\n"]
    head += [name + b": " + value + b"\r\n" for name, value in answer.raw_headers]
    return b"".join([*head, b"\r\n", bytes(answer.body)])


BAD_REQUEST: Final = _whole(BadBody("this is no HTTP/1.1 request; send one"))
HEAD_TOO_LARGE: Final = _whole(HeadTooLarge("the head has more bytes or headers than may be"))
LATE: Final = _whole(BodyTooSlow("the head of the request did not come in time; send it at once"))
TOO_MANY: Final = _whole(
    TooManyConnections("this address holds as many connections as it may; close some")
)
