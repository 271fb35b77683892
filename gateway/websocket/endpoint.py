"""Every WebSocket of this gateway, as a raw ASGI application at `/connection/websocket`.

The protocol is chosen by the path; a client may offer `centrifuge-json`, `centrifuge-protobuf` or
nothing, which means JSON unless the query says `cf_protocol=protobuf`. Past `connections_max`, and
while stopping, sockets are refused with 503 before they are accepted. When the gateway stops, every
client is told when to come again; then sockets are closed at a stated rate with some jitter, each
after its running calls are answered.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Final
from urllib.parse import parse_qs

from msgspec import Struct

from analytics.contracts.errors import MainstemError, Unavailable
from analytics.contracts.events import ConnectionClosed, ConnectionEvent, ConnectionOpened
from analytics.contracts.facts import Source
from analytics.contracts.ids import ConnectionId, derived
from gateway import metrics
from gateway.channels.values import Hub
from gateway.http import problem
from gateway.http.auth import Grant, Verifier
from gateway.http.clocks import Clocks
from gateway.http.connections import CONNECTION, WIRE, Connection
from gateway.http.guard import meter_of
from gateway.http.rate_limiter import Meter
from gateway.kafka.dead_letters import Letter, send_dead_letters
from gateway.kafka.publisher import OutgoingEvent, Publisher
from gateway.protocol import codes
from gateway.protocol.codec_json import JsonCodec
from gateway.protocol.codec_protobuf import ProtobufCodec
from gateway.protocol.effects import Garbled, Opened
from gateway.protocol.session import Session, SessionOptions
from gateway.registry.journal import Journal
from gateway.registry.registry import Linked
from gateway.websocket.connection import ConnectionContext, Receive, Socket
from gateway.websocket.frames import Framer
from gateway.websocket.methods import INGEST_PATH, Methods
from gateway.websocket.timer_wheel import TimerWheel
from gateway.websocket.writer import Message, SocketBounds, SocketOutput

PATH: Final = "/connection/websocket"
JSON: Final = "centrifuge-json"
PROTOBUF: Final = "centrifuge-protobuf"
FULL_RETRY_MS: Final = 5_000


class EndpointOptions(Struct, frozen=True, kw_only=True):
    """What holds for all sockets of a gateway."""

    node: str
    session_options: SessionOptions
    bounds: SocketBounds
    connections_max: int
    commands_max: int
    drain_rate: int
    drain_seconds_max: float
    drain_retry_ms: int


class Sessions:
    """See the module; `start` and `stop` frame its life, `drain` closes what is open."""

    def __init__(
        self,
        rules: EndpointOptions,
        clocks: Clocks,
        *,
        verifier: Verifier,
        publisher: Publisher,
        methods: Methods,
        hub: Hub,
    ) -> None:
        self.journal: Journal | None = None
        """Where connections are noted for other gateways."""
        self.on_gone: Callable[[str], None] = _unheard
        """Told the name of each connection that is gone."""
        self.gone_count = 0
        """How many sockets are gone since the start."""
        self._rules = rules
        self._clocks = clocks
        self._verifier = verifier
        self._publisher = publisher
        self._json = Framer(JsonCodec(commands_max=rules.commands_max))
        self._protobuf = Framer(ProtobufCodec(commands_max=rules.commands_max))
        self.wheel = TimerWheel(clocks.now_ms)
        self._sockets: dict[Socket, _Life] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._turning: asyncio.Task[None] | None = None
        self._draining = False
        self._keeper = ConnectionContext(
            now_ms=clocks.now_ms,
            wall_ms=clocks.wall_ms,
            methods=methods,
            hub=hub,
            wheel=self.wheel,
            bounds=rules.bounds,
            opened=self._on_opened,
            garbled=self._on_garbled,
            spawn=self._spawn,
        )

    def __len__(self) -> int:
        """Return how many sockets are open."""
        return len(self._sockets)

    @property
    def draining(self) -> bool:
        """Whether the gateway is stopping."""
        return self._draining

    def find(self, connection_id: str) -> Socket | None:
        """Return the open socket of this name."""
        named = (socket for socket in self._sockets if socket.id == connection_id)
        return next(named, None)

    def __iter__(self) -> Iterator[Socket]:
        """Return every open socket."""
        return iter(list(self._sockets))

    def start(self) -> None:
        """Start the clock of all sockets."""
        self._turning = asyncio.create_task(self.wheel.run())

    async def stop(self) -> None:
        """Stop the clock; wait for what still runs."""
        if self._turning is not None:
            self._turning.cancel()
            await asyncio.gather(self._turning, return_exceptions=True)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=self._rules.drain_seconds_max)

    def expel(self) -> None:
        """Close the sockets whose tokens were taken back."""
        for socket in list(self._sockets):
            grant = socket.session.grant
            if grant is not None and not self._verifier.holds(grant):
                socket.end(codes.FORCE_DISCONNECT)

    async def drain(self) -> None:
        """Take no more sockets and close those that are open, paced; return when they are gone."""
        self._draining = True
        rules, jitter = self._rules, self._clocks.jitter
        for socket in list(self._sockets):
            socket.warn(retry_after_ms=int(rules.drain_retry_ms * (0.5 + jitter())))
        pause_s = 1 / max(rules.drain_rate, len(self._sockets) / rules.drain_seconds_max)
        leaving = []
        for socket in list(self._sockets):
            leaving.append(asyncio.create_task(socket.leave(seconds_max=rules.drain_seconds_max)))
            await asyncio.sleep(pause_s * (0.5 + jitter()))
        if leaving:
            await asyncio.wait(leaving)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401 - ASGI
        """Serve one socket."""
        await receive()
        refusal = self._refusal()
        if refusal is not None:
            metrics.LIMITS_HIT.labels("connections_max").inc()
            await problem.refuse_socket(refusal, scope, receive, send)
            return
        subprotocol, framer = self._choose(scope)
        accept: Message = {"type": "websocket.accept"}
        if subprotocol is not None:
            accept["subprotocol"] = subprotocol
        await send(accept)
        line = SocketOutput(send, scope.get("extensions", {}).get(WIRE))
        life = _Life(
            connection_id=ConnectionId(self._clocks.new_id()),
            begun_ms=self._clocks.now_ms(),
            connection=scope.get(CONNECTION),
        )
        await self._serve(receive, line, framer, life=life, meter=meter_of(scope))

    def _choose(self, scope: Any) -> tuple[str | None, Framer]:  # noqa: ANN401 - ASGI
        """Return the subprotocol to echo, if one is spoken, and what to write with."""
        offered = scope.get("subprotocols", ())
        if PROTOBUF in offered:
            return PROTOBUF, self._protobuf
        asked = parse_qs(scope.get("query_string", b"").decode("ascii", "replace"))
        if "protobuf" in asked.get("cf_protocol", []) + asked.get("format", []):
            return None, self._protobuf
        return JSON if JSON in offered else None, self._json

    async def _serve(
        self, receive: Receive, line: SocketOutput, framer: Framer, *, life: "_Life", meter: Meter
    ) -> None:
        session = Session(
            client=life.connection_id,
            codec=framer.codec,
            verify=self._verify,
            session_options=self._rules.session_options,
            meter=meter,
            jitter=self._clocks.jitter(),
            now_ms=life.begun_ms,
        )
        socket = Socket(session, self._keeper, framer=framer, line=line)
        self._sockets[socket] = life
        metrics.CONNECTIONS.inc()
        try:
            await socket.run(receive)
        finally:
            metrics.CONNECTIONS.dec()
            self._on_gone(socket, self._sockets.pop(socket))

    def _verify(self, token: str, wall_ms: int) -> Grant:
        return self._verifier.verify(token, now_ms=wall_ms)

    def _refusal(self) -> Unavailable | None:
        if self._draining:
            return Unavailable("the gateway is stopping; connect again")
        if len(self._sockets) >= self._rules.connections_max:
            message = f"{self._rules.connections_max} sockets are open; connect later"
            return Unavailable(message, retry_after_ms=FULL_RETRY_MS)
        return None

    def _on_opened(self, socket: Socket, opened: Opened) -> None:
        life = self._sockets[socket]
        if life.connection is not None:
            life.connection.authenticate()
        if self.journal is not None:
            grant = opened.grant
            self.journal.opened(
                Linked(connection_id=life.connection_id, tenant=grant.tenant, user=grant.user)
            )
        self._post(
            ConnectionOpened(
                id=derived("connection.opened", life.connection_id),
                tenant=opened.grant.tenant,
                at_ms=self._clocks.wall_ms(),
                source=Source.GATEWAY,
                connection_id=life.connection_id,
                node=self._rules.node,
                user=opened.grant.user,
                client=opened.name,
                client_version=opened.version,
                transport="websocket",
            )
        )

    def _on_gone(self, socket: Socket, life: "_Life") -> None:
        if self.journal is not None:
            self.journal.closed(life.connection_id)
        self.on_gone(life.connection_id)
        self.gone_count += 1
        ended = socket.session.ended
        metrics.CLOSES.labels("peer" if ended is None else str(ended.code)).inc()
        grant: Grant | None = socket.session.grant
        if grant is None:
            return
        self._post(
            ConnectionClosed(
                id=derived("connection.closed", life.connection_id),
                tenant=grant.tenant,
                at_ms=self._clocks.wall_ms(),
                source=Source.GATEWAY,
                connection_id=life.connection_id,
                node=self._rules.node,
                user=grant.user,
                code=socket.peer_code if ended is None else ended.code,
                reason="closed by the peer" if ended is None else ended.reason,
                duration_ms=max(0, self._clocks.now_ms() - life.begun_ms),
                frames=socket.frames,
            )
        )

    def _on_garbled(self, garbled: Garbled) -> None:
        self._spawn(
            send_dead_letters(
                self._publisher,
                [Letter(garbled.frame, garbled.reason)],
                ingest_path=INGEST_PATH,
                grant=garbled.grant,
            )
        )

    def _post(self, event: ConnectionEvent) -> None:
        try:
            self._publisher.post([OutgoingEvent(event=event)])
        except MainstemError:
            metrics.LOST.inc()

    def _spawn(self, work: Awaitable[None]) -> asyncio.Task[None]:
        task = asyncio.ensure_future(work)
        assert isinstance(task, asyncio.Task)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _unheard(_connection_id: str) -> None:
    return None


class _Life(Struct, frozen=True, kw_only=True):
    connection_id: ConnectionId
    begun_ms: int
    connection: Connection | None
