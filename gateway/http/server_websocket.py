"""uvicorn's WebSocket protocol with what it lacks: whole frames past its queue, quiet on bad text.

Text that is not UTF-8 closes its socket with 1007 and is counted, without a traceback.
"""

from collections.abc import Callable
from typing import Any, Final

from uvicorn._types import ASGISendEvent
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol

from gateway import metrics
from gateway.http.connections import CONNECTION, WIRE, Connection

UNPROCESSABLE_TEXT: Final = 1007


class TransportWire:
    """The transport of one socket, for whole frames; see `gateway.websocket.frames.Wire`."""

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
        self._connection: Connection | None = None

    def belong_to(self, connection: Connection) -> None:
        """Take a connection over from the protocol that read the head."""
        self._connection = connection
        if hasattr(self, "scope"):
            scope: dict[str, Any] = self.scope  # type: ignore[assignment]  # ours beside ASGI's
            scope[CONNECTION] = connection

    def connection_lost(self, exc: Exception | None) -> None:
        """Take notice that the peer is gone."""
        if self._connection is not None:
            self._connection.leave()
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


def _is_text(frames: list[bytes]) -> bool:
    try:
        b"".join(frames).decode()
    except UnicodeDecodeError:
        return False
    return True
