"""Publishing to a gateway over plain HTTP, with the standard library: small and quick to start.

One connection is kept open. `Unavailable` where the batch may be sent again as it is.
"""

import http.client
from typing import Final
from urllib.parse import urlsplit

import msgspec

from analytics.contracts.errors import Refused, Unavailable
from apps.local import tokens
from apps.local.home import home

TIMEOUT_S: Final = 15.0
UNAUTHORIZED: Final = 401


class Verdict(msgspec.Struct, frozen=True):
    """What became of one event."""

    id: str
    status: str
    reason: str = ""
    retry_after_ms: int | None = None


class BatchAnswer(msgspec.Struct, frozen=True):
    """What the gateway answers to a batch."""

    results: list[Verdict]


class LoadGateway:
    """One gateway, with a token of one of this machine's tenants."""

    def __init__(self, url: str, *, tenant: str) -> None:
        parts = urlsplit(url)
        self._address = (parts.hostname or "127.0.0.1", parts.port or 80)
        self._tenant = tenant
        self._token = tokens.of_tenant(home(), tenant)
        self._connection: http.client.HTTPConnection | None = None

    def publish(self, body: bytes) -> list[Verdict]:
        """Publish events, one a line; return those that were refused for good."""
        headers = {
            "Content-Type": "application/x-ndjson",
            "Authorization": f"Bearer {self._token}",
        }
        try:
            status, answer = self._post("/v1/events", body, headers)
        except (OSError, http.client.HTTPException) as error:
            self._close()
            raise Unavailable(f"the gateway did not answer ({error!r})") from error
        if status == UNAUTHORIZED:
            self._token = tokens.of_tenant(home(), self._tenant)
            raise Unavailable("the gateway takes the token no more; another one is made")
        if status in {408, 429, 502, 503, 504}:
            raise Unavailable(f"the gateway answered {status}")
        if status != 200:
            raise Refused(f"the gateway answered {status}: {answer[:200]!r}")
        verdicts = msgspec.json.decode(answer, type=BatchAnswer).results
        if any(verdict.retry_after_ms is not None for verdict in verdicts):
            raise Unavailable("the gateway did not take all of it yet")
        return [verdict for verdict in verdicts if verdict.status == "refused"]

    def _post(self, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
        if self._connection is None:
            self._connection = http.client.HTTPConnection(*self._address, timeout=TIMEOUT_S)
        self._connection.request("POST", path, body, headers)
        response = self._connection.getresponse()
        return response.status, response.read()

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None
