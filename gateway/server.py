"""uvicorn, set up for sockets that stay: no deflate, no pings of its own, a drain before the end.

On SIGTERM or Ctrl-C the gateway first turns not ready and closes its sockets at its own pace, with
code 3001, and only then lets uvicorn stop; uvicorn alone would cut them all at once. A second
signal stops at once. Text that is not UTF-8 closes its socket with 1007 and is counted, without a
traceback. The access log is off, and with it any address that might hold a secret.
"""

import asyncio
import contextlib
import logging
import signal
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, Final

import uvicorn
from starlette.types import ASGIApp
from uvicorn._types import ASGISendEvent
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol

from gateway import metrics
from gateway.sessions import WIRE
from gateway.settings import GatewaySettings

KEEP_ALIVE_S: Final = 75
BACKLOG: Final = 2_048
SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
UNPROCESSABLE_TEXT: Final = 1007
CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""For TLS 1.2; 1.3 has its own."""

log = logging.getLogger(__name__)


class TransportWire:
    """The transport of one socket, for whole frames; see `gateway.frames.Wire`."""

    __slots__ = ("_protocol", "ready", "write")

    def __init__(self, protocol: WebSocketsSansIOProtocol) -> None:
        self.ready = False
        """Whether the peer takes bytes now; looked at before every write, so it is kept."""
        self.write: Callable[[bytes], None] = protocol.transport.write
        self._protocol = protocol

    def settle(self) -> None:
        """Look whether the peer takes bytes."""
        protocol = self._protocol
        self.ready = (
            protocol.writable.is_set()
            and protocol.handshake_complete
            and not protocol.close_sent
            and not protocol.transport.is_closing()
        )

    async def drained(self) -> None:
        """Return once the peer takes bytes again, or is gone."""
        await self._protocol.writable.wait()

    def abort(self) -> None:
        """Drop the peer without a word."""
        self._protocol.transport.abort()


class PatientProtocol(ServerProtocol):
    """The protocol of a socket whose peer may close in the middle of a message (RFC 6455, 5.4)."""

    def recv_frame(self, frame: Frame) -> None:
        """Take a frame; a close ends a message that was not finished."""
        if frame.opcode is Opcode.CLOSE:
            self.current_size = None
        super().recv_frame(frame)


class SocketProtocol(WebSocketsSansIOProtocol):
    """uvicorn's WebSocket protocol, quiet on bad text and with a wire past its queue.

    The wire is looked at after everything that may open or close it.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - handed on
        super().__init__(*args, **kwargs)
        self.conn = PatientProtocol(max_size=self.config.ws_max_size, logger=self.conn.logger)
        self._wire: TransportWire | None = None

    def connection_lost(self, exc: Exception | None) -> None:
        """Take notice that the peer is gone."""
        super().connection_lost(exc)
        self._settle()

    def pause_writing(self) -> None:
        """Take notice that the peer takes no bytes."""
        super().pause_writing()
        self._settle()

    def resume_writing(self) -> None:
        """Take notice that the peer takes bytes again."""
        super().resume_writing()
        self._settle()

    def data_received(self, data: bytes) -> None:
        """Take bytes, among them a close."""
        super().data_received(data)
        if self._wire is not None and self.transport.is_closing():
            self._settle()

    def shutdown(self) -> None:
        """Close because the server stops."""
        super().shutdown()
        self._settle()

    async def send(self, message: ASGISendEvent) -> None:
        """Send what the application says, an accept or a close among it."""
        try:
            await super().send(message)
        finally:
            self._settle()

    def handle_connect(self, event: Request) -> None:
        """Offer a `Wire` to the application."""
        super().handle_connect(event)
        if hasattr(self, "scope"):
            extensions: dict[str, Any] = self.scope["extensions"]
            extensions[WIRE] = self._wire = TransportWire(self)

    def send_receive_event_to_app(self) -> None:
        """Hand a whole message on, unless it is text that is not UTF-8."""
        if self.curr_msg_data_type == "text" and not self.close_sent and not _is_text(self.frames):
            metrics.BAD_TEXT.inc()
            self.frames = []
            self.conn.send_close(UNPROCESSABLE_TEXT, "text is not UTF-8")
            self.handle_parser_exception()
            return
        super().send_receive_event_to_app()

    def _settle(self) -> None:
        if self._wire is not None:
            self._wire.settle()


class Server(uvicorn.Server):
    """uvicorn's server with a drain of ours before its own end."""

    def __init__(self, config: uvicorn.Config, *, drain: Callable[[], Awaitable[None]]) -> None:
        super().__init__(config)
        self._drain = drain
        self._listening = asyncio.Event()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Drain, then stop."""
        draining = asyncio.ensure_future(self._drain())
        while not draining.done() and not self.force_exit:
            await asyncio.wait({draining}, timeout=0.1)
        draining.cancel()
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop on a signal and leave with code 0, where uvicorn would raise the signal again."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self.handle_exit) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and say so."""
        await super().startup(sockets)
        self._listening.set()

    async def listening(self, serving_task: "asyncio.Task[None]") -> None:
        """Return once it listens, or its task has ended."""
        waiting = asyncio.ensure_future(self._listening.wait())
        await asyncio.wait({waiting, serving_task}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()

    @property
    def port(self) -> int:
        """The port that is listened on, once started."""
        return int(self.servers[0].sockets[0].getsockname()[1])


def server(
    asgi: ASGIApp, settings: GatewaySettings, *, drain: Callable[[], Awaitable[None]]
) -> Server:
    """Return a server for `asgi`; `drain` is awaited before it stops."""
    config = uvicorn.Config(
        asgi,
        host=settings.host,
        port=settings.port,
        loop="auto",
        http="httptools",
        ws=SocketProtocol,
        ws_max_size=settings.frame_bytes_max,
        ws_per_message_deflate=False,
        ws_ping_interval=None,
        lifespan="on",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,  # read in `addresses`, which knows whom to believe
        **_tls(settings),
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=int(settings.drain_seconds_max),
        backlog=BACKLOG,
    )
    return Server(config, drain=drain)


def _tls(settings: GatewaySettings) -> dict[str, Any]:
    """Return uvicorn's options for TLS (1.2 and later), none where it serves plain."""
    if settings.tls_certificate_file is None:
        return {}
    password, ca = settings.tls_key_password, settings.tls_client_ca_file
    return {
        "ssl_certfile": str(settings.tls_certificate_file),
        "ssl_keyfile": str(settings.tls_key_file),
        "ssl_keyfile_password": None if password is None else password.get_secret_value(),
        "ssl_ca_certs": None if ca is None else str(ca),
        "ssl_cert_reqs": ssl.CERT_NONE if ca is None else ssl.CERT_REQUIRED,
        "ssl_ciphers": CIPHERS,
    }


@contextlib.asynccontextmanager
async def serving(running: Server) -> AsyncIterator[Server]:
    """Serve in the background for the length of the block, drained at its end."""
    task = asyncio.create_task(running.serve())
    try:
        await running.listening(task)
        if task.done():
            await task
        yield running
    finally:
        running.should_exit = True
        await task


def _is_text(frames: list[bytes]) -> bool:
    try:
        b"".join(frames).decode()
    except UnicodeDecodeError:
        return False
    return True
