"""An SMTP server on loopback that keeps what it gets."""

import socketserver
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path


class Mailbox(socketserver.ThreadingTCPServer):
    """Keeps messages; offers STARTTLS if there is a certificate, and a plain login."""

    daemon_threads = True

    def __init__(self, certificate: tuple[Path, Path] | None) -> None:
        super().__init__(("127.0.0.1", 0), Talk)
        self.got: list[EmailMessage] = []
        self.said: list[str] = []
        self.recipient_answers: dict[str, str] = {}
        self.certificate = certificate

    @property
    def route(self) -> str:
        """Where it listens: HOST:PORT."""
        return f"127.0.0.1:{self.server_address[1]}"

    @property
    def commands(self) -> list[str]:
        """The first word of each command."""
        return [one.split(maxsplit=1)[0].upper() for one in self.said]

    def handle_error(self, request: object, client_address: object) -> None:
        """Let a client go that hangs up."""
        del request, client_address


class Talk(socketserver.StreamRequestHandler):
    """One conversation."""

    server: Mailbox
    connection: ssl.SSLSocket

    def handle(self) -> None:
        """Talk until the other side has enough."""
        self._say("220 here")
        while line := self.rfile.readline().decode().strip():
            self.server.said.append(line)
            self._answer(line)

    def finish(self) -> None:
        """Hang up."""
        super().finish()
        self.rfile.close()
        self.connection.close()

    def _answer(self, line: str) -> None:
        match line.split(maxsplit=1)[0].upper():
            case "EHLO":
                offers = ["STARTTLS"] if self.server.certificate else []
                for one in ("here", *offers):
                    self._say(f"250-{one}")
                self._say("250 AUTH PLAIN")
            case "STARTTLS":
                self._secure()
            case "AUTH":
                self._say("235 ok")
            case "RCPT":
                address = line.partition("<")[2].partition(">")[0]
                self._say(self.server.recipient_answers.get(address, "250 ok"))
            case "DATA":
                self._say("354 go on")
                self._keep()
            case "QUIT":
                self._say("221 bye")
            case _:
                self._say("250 ok")

    def _secure(self) -> None:
        assert self.server.certificate is not None
        self._say("220 go on")
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*self.server.certificate)
        self.connection = context.wrap_socket(self.connection, server_side=True)
        self.rfile = self.connection.makefile("rb")

    def _keep(self) -> None:
        lines = []
        while (line := self.rfile.readline()) != b".\r\n":
            lines.append(line.removeprefix(b"."))
        message = message_from_bytes(b"".join(lines), policy=default)
        assert isinstance(message, EmailMessage)
        self.server.got.append(message)
        self._say("250 taken")

    def _say(self, line: str) -> None:
        self.connection.sendall(f"{line}\r\n".encode())


@contextmanager
def mailbox(certificate: tuple[Path, Path] | None = None) -> Iterator[Mailbox]:
    """Run an SMTP server."""
    with Mailbox(certificate) as server:
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        serving.start()
        try:
            yield server
        finally:
            server.shutdown()
            serving.join()
