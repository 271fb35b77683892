"""One POST to a receiver, and what its answer means.

A redirect is followed on the same scheme, host and port only, and only where it keeps the body (307
and 308). The answer is read up to `ANSWER_BYTES_MAX`. 2xx is delivered; 408, 425, 429 and 5xx are
for later, after the time that `Retry-After` names; all else is refused for good. No answer, address
or header is in an error.
"""

import base64
import http.client
import socket
import time
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import SplitResult, unquote, urljoin, urlsplit

from msgspec import Struct, structs

from streams.notify import connections
from streams.notify.connections import Deadline, Tls
from streams.notify.credentials import Credentials
from streams.notify.failures import ReceiverAway, ReceiverRefused

ANSWER_BYTES_MAX: Final = 16_384
REDIRECTS_MAX: Final = 3
LATER: Final = frozenset({408, 425, 429})
MOVED: Final = frozenset({307, 308})
_PORTS: Final = {"http": 80, "https": 443}


class Post(Struct, frozen=True, kw_only=True):
    """What is sent where."""

    url: str
    body: bytes
    headers: Mapping[str, str]
    tls: Tls = Tls()
    follows: bool = True
    """Whether redirects are followed."""

    def __repr__(self) -> str:
        return f"Post({len(self.body)} bytes)"


class Answer(Struct, frozen=True):
    """A receiver's answer: its status and as much of its body as is read."""

    status: int
    body: bytes
    retry_after: str
    location: str


class Web:
    """Posts to receivers, from any thread."""

    def __init__(
        self,
        credentials: Credentials,
        *,
        timeout_s: float,
        is_private_allowed: bool,
        now_ms: Callable[[], int],
    ) -> None:
        self._credentials = credentials
        self._timeout_s = timeout_s
        self._is_private_allowed = is_private_allowed
        self._now_ms = now_ms

    def post(self, asked: Post) -> bytes:
        """Return the body of the answer to a post that was taken; raise what it failed with."""
        until_s = time.monotonic() + self._timeout_s
        for _ in range(REDIRECTS_MAX + 1):
            answer = self._once(asked, max(connections.MOMENT_S, until_s - time.monotonic()))
            if answer.status not in MOVED or not asked.follows:
                return self._taken(answer)
            asked = structs.replace(asked, url=_moved(asked.url, answer.location))
        raise ReceiverRefused(f"the receiver redirected more than {REDIRECTS_MAX} times")

    def _taken(self, answer: Answer) -> bytes:
        status = answer.status
        if 200 <= status < 300:
            return answer.body
        if status in LATER or status >= 500:
            after_ms = retry_after_ms(answer.retry_after, self._now_ms())
            raise ReceiverAway(f"the receiver answered {status}", retry_after_ms=after_ms)
        raise ReceiverRefused(f"the receiver answered {status}")

    def _once(self, asked: Post, timeout_s: float) -> Answer:
        url = _split(asked.url)
        headers = {**_authorization(url), **asked.headers}
        connection = _connection(url, timeout_s)
        deadline = Deadline(timeout_s, lambda: connection.sock)
        try:
            with deadline:
                connection.sock = self._connected(url, asked.tls, timeout_s)
                target = url.path or "/"
                connection.request(
                    "POST", f"{target}?{url.query}" if url.query else target, asked.body, headers
                )
                return _answer(connection.getresponse())
        except http.client.InvalidURL:
            raise ReceiverRefused("the receiver's URL cannot be asked for") from None
        except (OSError, http.client.HTTPException) as error:
            raise ReceiverAway(
                "the receiver did not answer in time" if deadline.is_over
                else f"the receiver did not answer: {connections.said(error)}"
            ) from None  # fmt: skip
        except ValueError:
            raise ReceiverRefused("a header of the receiver's cannot be sent") from None
        finally:
            connection.close()

    def _connected(self, url: SplitResult, tls: Tls, timeout_s: float) -> socket.socket:
        sock = connections.dial(
            _host(url),
            _port(url),
            timeout_s=timeout_s,
            is_private_allowed=self._is_private_allowed,
        )
        if url.scheme == "http":
            return sock
        try:
            context = tls.context(self._credentials)
            return context.wrap_socket(sock, server_hostname=tls.server_name or _host(url))
        except BaseException:
            sock.close()
            raise


def retry_after_ms(text: str, now_ms: int) -> int:
    """Return the wait that a `Retry-After` header asks for (RFC 9110, 10.2.3); 0 if none."""
    if text.isascii() and text.isdigit() and len(text) < 10:
        return int(text) * 1_000
    try:
        at = parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return 0
    return max(0, int(at.timestamp() * 1_000) - now_ms)


def _connection(url: SplitResult, timeout_s: float) -> http.client.HTTPConnection:
    try:
        connection = http.client.HTTPConnection(_host(url), _port(url), timeout=timeout_s)
    except (http.client.InvalidURL, ValueError):
        raise ReceiverRefused("the receiver's URL is none: write https://HOST/PATH") from None
    connection.auto_open = False  # only what was dialed and checked is spoken to
    return connection


def _answer(response: http.client.HTTPResponse) -> Answer:
    body = response.read(ANSWER_BYTES_MAX)
    return Answer(
        response.status,
        body,
        (response.getheader("Retry-After") or "").strip(),
        response.getheader("Location") or "",
    )


def _split(url: str) -> SplitResult:
    try:
        found = urlsplit(url)
        is_good = found.scheme in _PORTS and bool(found.hostname) and found.port != 0
    except ValueError:
        is_good = False
    if not is_good:
        raise ReceiverRefused("the receiver's URL is none: write https://HOST/PATH")
    return found


def _host(url: SplitResult) -> str:
    return url.hostname or ""


def _port(url: SplitResult) -> int:
    return url.port or _PORTS[url.scheme]


def _moved(url: str, location: str) -> str:
    """Return where a redirect leads; raise `ReceiverRefused` if that is another place."""
    try:
        was, now = _split(url), _split(urljoin(url, location))
    except ValueError:
        raise ReceiverRefused("the receiver redirected to no URL") from None
    if (was.scheme, _host(was), _port(was)) != (now.scheme, _host(now), _port(now)):
        raise ReceiverRefused("the receiver redirected to another host; redirects stay on one")
    return now._replace(netloc=was.netloc).geturl()


def _authorization(url: SplitResult) -> dict[str, str]:
    if not url.username:
        return {}
    return {"Authorization": basic(unquote(url.username), unquote(url.password or ""))}


def basic(username: str, password: str) -> str:
    """Return the header of basic authentication (RFC 7617)."""
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()
