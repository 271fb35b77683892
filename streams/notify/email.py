"""One e-mail, over SMTP with TLS.

STARTTLS is asked for unless `require_tls` says no; port 465 and `implicit_tls` begin with TLS. A
password is not sent without it, except to this machine. A mailbox that is refused for good (5xx)
while another takes the message does not make it fail. `Message-ID` is made of the notice's key, so
a message that is sent twice is one to most readers (RFC 5322, 3.6.4).
"""

import smtplib
import socket
from datetime import UTC, datetime
from email.errors import MessageError
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, getaddresses
from typing import Final

from msgspec import Struct

from analytics.alerts.dispatch.groups import Notice
from analytics.alerts.notify import messages
from streams.notify import connections
from streams.notify.connections import Deadline, Tls
from streams.notify.credentials import Credentials
from streams.notify.failures import ReceiverAway, ReceiverRefused

TLS_PORT: Final = 465
HELLO: Final = "localhost"
HERE: Final = frozenset({"localhost", "127.0.0.1", "::1"})


class Route(Struct, frozen=True, kw_only=True):
    """Which server takes the mail, and as whom."""

    smarthost: str
    """HOST:PORT."""
    hello: str = HELLO
    username: str = ""
    password: str = ""
    needs_tls: bool = True
    begins_with_tls: bool = False
    tls: Tls = Tls()

    def __repr__(self) -> str:
        return "Route()"

    @property
    def host(self) -> str:
        """The server's name."""
        return self.smarthost.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        """The server's port; raise `ReceiverRefused`."""
        port = self.smarthost.rpartition(":")[2]
        if not self.host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65_536:
            raise ReceiverRefused("smarthost is no HOST:PORT")
        return int(port)


class Mail:
    """Sends e-mail, from any thread."""

    def __init__(
        self, credentials: Credentials, *, timeout_s: float, is_private_allowed: bool
    ) -> None:
        self._credentials = credentials
        self._timeout_s = timeout_s
        self._is_private_allowed = is_private_allowed

    def send(self, message: EmailMessage, route: Route) -> None:
        """Return once the server took the message; raise what it failed with."""
        server = _Server(self, route, timeout_s=self._timeout_s)
        deadline = Deadline(self._timeout_s, lambda: server.sock)
        try:
            with deadline:
                self._speak(server, message, route)
        except smtplib.SMTPRecipientsRefused as error:
            raise _refused(max(code for code, _ in error.recipients.values())) from None
        except smtplib.SMTPResponseException as error:
            raise _refused(error.smtp_code) from None
        except smtplib.SMTPNotSupportedError:
            raise ReceiverRefused("the mail server has no STARTTLS or no way to log in") from None
        except (OSError, smtplib.SMTPException) as error:
            raise ReceiverAway(
                "the mail server did not answer in time" if deadline.is_over
                else f"the mail server did not answer: {connections.said(error)}"
            ) from None  # fmt: skip
        except ValueError:
            raise ReceiverRefused("an address or a name of the e-mail cannot be sent") from None
        finally:
            server.close()

    def connected(self, route: Route) -> socket.socket:
        """Return a connection to the server."""
        sock = connections.dial(
            route.host,
            route.port,
            timeout_s=self._timeout_s,
            is_private_allowed=self._is_private_allowed,
        )
        if not route.begins_with_tls:
            return sock
        try:
            context = route.tls.context(self._credentials)
            name = route.tls.server_name or route.host
            return context.wrap_socket(sock, server_hostname=name)
        except BaseException:
            sock.close()
            raise

    def _speak(self, server: "_Server", message: EmailMessage, route: Route) -> None:
        server.connect(route.host, route.port)
        if route.needs_tls and not route.begins_with_tls:
            server.starttls(context=route.tls.context(self._credentials))
        if route.username:
            is_safe = route.needs_tls or route.begins_with_tls or route.host in HERE
            if not is_safe:
                raise ReceiverRefused("a password is sent over TLS only: leave require_tls on")
            server.login(route.username, route.password)
        server.send_message(message)
        server.quit()


class _Server(smtplib.SMTP):
    """An SMTP connection over a socket of ours."""

    def __init__(self, post: Mail, route: Route, *, timeout_s: float) -> None:
        super().__init__(local_hostname=route.hello, timeout=timeout_s)
        self._post = post
        self._route = route
        self._host = route.tls.server_name or route.host

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        del host, port, timeout
        return self._post.connected(self._route)


def message(notice: Notice, *, to: str, sender: str, key: str) -> EmailMessage:
    """Return the e-mail of a notice; raise `ReceiverRefused` for addresses that are none."""
    told = messages.email(notice)
    made = EmailMessage(policy=SMTP)
    try:
        made["From"] = sender
        made["To"] = ", ".join(address for _, address in getaddresses([to]) if address)
        made["Subject"] = told.subject
    except (ValueError, MessageError):
        raise ReceiverRefused("an address of the e-mail is none") from None
    made["Date"] = format_datetime(datetime.fromtimestamp(notice.at_ms / 1_000, tz=UTC))
    made["Message-ID"] = f"<{key}@mainstem>"
    made["Idempotency-Key"] = key
    made["Auto-Submitted"] = "auto-generated"
    made.set_content(told.text)
    made.add_alternative(told.html, subtype="html")
    if not made["To"]:
        raise ReceiverRefused("the e-mail has no address to go to")
    return made


def _refused(code: int) -> Exception:
    said = f"the mail server answered {code}"
    return ReceiverRefused(said) if code >= 500 else ReceiverAway(said)
