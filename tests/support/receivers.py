"""A receiver of alerts on loopback: an HTTP server that keeps what it gets."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from msgspec import Struct, json

WAIT_S = 10


class Got(Struct, frozen=True):
    """One request."""

    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def said(self) -> Any:
        """The body, as JSON."""
        return json.decode(self.body)

    @property
    def key(self) -> str:
        """What the notice is known by."""
        return self.headers["idempotency-key"]


class Answer(Struct, frozen=True):
    """What a server answers."""

    status: int = 200
    headers: Mapping[str, str] = {}
    body: bytes = b"ok"


Answering = Callable[[Got], Answer | None]
"""Returns an answer; None closes the connection without one."""


class Hook:
    """An HTTP server that keeps what it gets, and answers as it is told to."""

    def __init__(self) -> None:
        self.got: list[Got] = []
        self.answer: Answering = lambda _: Answer()
        self.url = ""
        self.port = 0
        self._news = threading.Condition()

    def take(self, got: Got) -> Answer | None:
        """Keep a request, and answer it."""
        with self._news:
            self.got.append(got)
            self._news.notify_all()
        return self.answer(got)

    def wait(self, count: int) -> list[Got]:
        """Return what was got once it is so much."""
        with self._news:
            assert self._news.wait_for(lambda: len(self.got) >= count, WAIT_S), self.got
            return list(self.got)


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """Let a client go that hangs up."""
        del request, client_address


@contextmanager
def hook(certificate: tuple[Path, Path] | None = None) -> Iterator[Hook]:
    """Run an HTTP server, with TLS if there is a certificate."""
    held = Hook()

    class Handler(BaseHTTPRequestHandler):
        def setup(self) -> None:
            if certificate is not None:
                self.request = _secured(self.request, certificate)
            super().setup()

        def finish(self) -> None:
            super().finish()
            self.connection.close()

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            answer = held.take(Got(self.path, headers, body))
            if answer is None:
                self.close_connection = True
                return
            self.send_response(answer.status)
            for name, value in {"Content-Length": str(len(answer.body)), **answer.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, *said: object) -> None:
            del said

    with _Server(("127.0.0.1", 0), Handler) as server:
        held.port = server.server_port
        held.url = f"{'https' if certificate else 'http'}://127.0.0.1:{held.port}"
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        serving.start()
        try:
            yield held
        finally:
            server.shutdown()
            serving.join()


def _secured(plain: socket.socket, certificate: tuple[Path, Path]) -> ssl.SSLSocket:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)
    secured = context.wrap_socket(plain, server_side=True, do_handshake_on_connect=False)
    try:
        secured.do_handshake()
    except OSError:
        secured.close()
        raise
    return secured
