"""Connections to receivers: only to addresses that are allowed, and with an end.

The address that is checked is the one that is connected to, so a name that resolves to another
address the next time changes nothing (which ones are public: `addresses`). A receiver that answers
slowly, byte by byte, is cut off at the deadline.
"""

import socket
import ssl
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

from msgspec import Struct

from streams.notify.addresses import is_public
from streams.notify.credentials import Credentials
from streams.notify.failures import ReceiverAway, ReceiverRefused

MOMENT_S: Final = 0.1
"""What an address is given at least, however many came before it."""


class Tls(Struct, frozen=True, kw_only=True):
    """How the other side is trusted, and how we are known to it."""

    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    server_name: str = ""
    insecure_skip_verify: bool = False

    def context(self, credentials: Credentials) -> ssl.SSLContext:
        """Return what a socket is wrapped with; raise `ReceiverRefused`."""
        paths = [credentials.path(one) for one in (self.ca_file, self.cert_file, self.key_file)]
        ca_path, cert_path, key_path = paths
        try:
            context = ssl.create_default_context(cafile=ca_path)
            if cert_path is not None:
                context.load_cert_chain(cert_path, key_path)
        except (OSError, ValueError):
            raise ReceiverRefused("a file of tls_config cannot be read as PEM") from None
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self.insecure_skip_verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context


def dial(host: str, port: int, *, timeout_s: float, is_private_allowed: bool) -> socket.socket:
    """Return a connected socket; raise `ReceiverAway` or `ReceiverRefused`."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise ReceiverAway("the receiver's name cannot be resolved") from None
    allowed = [one for one in found if is_private_allowed or is_public(str(one[4][0]))]
    if not allowed:
        raise ReceiverRefused(
            "the receiver's address is not public: set MAINSTEM_STREAMS_NOTIFY_PRIVATE to allow it"
        )
    failure: OSError | None = None
    until_s = time.monotonic() + timeout_s
    for family, kind, protocol, _, address in allowed:
        sock = socket.socket(family, kind, protocol)
        sock.settimeout(max(MOMENT_S, until_s - time.monotonic()))
        try:
            sock.connect(address)
        except OSError as error:
            sock.close()
            failure = error
            continue
        sock.settimeout(timeout_s)
        return sock
    raise ReceiverAway(f"no connection to the receiver: {said(failure)}")


def said(error: BaseException | None) -> str:
    """Return what went wrong on a connection, without anything of its content."""
    match error:
        case TimeoutError():
            return "no answer in time"
        case ssl.SSLCertVerificationError():
            return "its certificate cannot be verified"
        case ssl.SSLError(reason=str(reason)):
            return f"TLS failed ({reason.lower().replace('_', ' ')})"
        case OSError(strerror=str(strerror)):
            return strerror.lower()
        case _:
            return "the connection broke"


class Deadline:
    """Cuts a connection off when its time is over."""

    def __init__(self, seconds: float, current: Callable[[], socket.socket | None]) -> None:
        self._current = current
        self._timer = threading.Timer(seconds, self._cut)
        self._timer.daemon = True
        self.is_over = False

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._timer.cancel()

    def _cut(self) -> None:
        self.is_over = True
        sock = self._current()
        if sock is None:
            return
        try:
            socket.socket.shutdown(sock, socket.SHUT_RDWR)
        except OSError:
            return
