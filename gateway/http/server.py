"""uvicorn, set up for sockets that stay: no deflate, no pings of its own, a drain before the end.

On SIGTERM or Ctrl-C the gateway first turns not ready and closes its sockets at its own pace, with
code 3001, and only then lets uvicorn stop; uvicorn alone would cut them all at once. A second
signal stops at once. The access log is off, and with it any address that might hold a secret. What
is asked of connections is in `connections`.
"""

import asyncio
import contextlib
import logging
import math
import signal
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Final

import uvicorn
from starlette.types import ASGIApp
from uvicorn.config import SSL_PROTOCOL_VERSION, create_ssl_context

from gateway.http.addresses import Addresses
from gateway.http.connections import ConnectionBounds, Connections
from gateway.http.server_http import ServerConfig
from gateway.http.server_websocket import SocketProtocol
from gateway.http.settings import HttpSettings

BACKLOG: Final = 2_048
SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""For TLS 1.2; 1.3 has its own."""

log = logging.getLogger(__name__)


class Server(uvicorn.Server):
    """uvicorn's server with a drain of ours before its own end."""

    def __init__(self, config: ServerConfig, *, drain: Callable[[], Awaitable[None]]) -> None:
        super().__init__(config)
        self._served = config
        self._drain = drain
        self._listening = asyncio.Event()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Drain, then stop."""
        draining = asyncio.ensure_future(self._drain())
        while not draining.done() and not self.force_exit:
            await asyncio.wait({draining}, timeout=0.1)
        draining.cancel()
        for handshake in list(self._served.handshakes):
            handshake.cancel()
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
    def connections(self) -> Connections:
        """The connections that are open."""
        return self._served.connections

    @property
    def port(self) -> int:
        """The port that is listened on, once started."""
        return int(self.servers[0].sockets[0].getsockname()[1])


def server(
    asgi: ASGIApp, settings: HttpSettings, *, drain: Callable[[], Awaitable[None]]
) -> Server:
    """Return a server for `asgi`; `drain` is awaited before it stops."""
    config = ServerConfig(
        asgi,
        connections=_connections(settings),
        context=_tls(settings),
        host=settings.host,
        port=settings.port,
        loop="auto",
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
        timeout_keep_alive=math.ceil(settings.idle_seconds_max),
        timeout_graceful_shutdown=int(settings.drain_seconds_max),
        backlog=BACKLOG,
    )
    return Server(config, drain=drain)


def _connections(settings: HttpSettings) -> Connections:
    bounds = ConnectionBounds(
        **{name: getattr(settings, name) for name in ConnectionBounds.__struct_fields__}
    )
    return Connections(bounds, Addresses(settings.proxies, hops_max=settings.proxy_hops_max))


def _tls(settings: HttpSettings) -> ssl.SSLContext | None:
    """Return what TLS (1.2 and later) is served with, nothing where it serves plain."""
    if settings.tls_certificate_file is None:
        return None
    password, ca = settings.tls_key_password, settings.tls_client_ca_file
    return create_ssl_context(
        certfile=settings.tls_certificate_file,
        keyfile=settings.tls_key_file,
        password=None if password is None else password.get_secret_value(),
        ssl_version=SSL_PROTOCOL_VERSION,
        cert_reqs=ssl.CERT_NONE if ca is None else ssl.CERT_REQUIRED,
        ca_certs=ca,
        ciphers=CIPHERS,
    )


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
