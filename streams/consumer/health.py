"""Whether a worker lives and is ready, and the port on which it says so.

A worker lives as long as its offsets move whenever there is lag; that its process is up says
nothing. One that waits for a store that is away lives, but is not ready. The port answers
`/health/live`, `/health/ready` and `/metrics` over HTTP/1.1, one request a connection, of at most
`REQUEST_BYTES_MAX` within `REQUEST_WAIT_S`; it runs on the worker's own loop, so a loop that is
stuck does not answer either.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final

from faust.types import TP
from msgspec import Struct

from analytics.contracts.errors import BadSetting
from streams import metrics

REQUEST_BYTES_MAX: Final = 8_192
REQUEST_WAIT_S: Final = 5.0
JSON: Final = "application/json"
WORDS: Final = {200: "OK", 404: "Not Found", 405: "Method Not Allowed", 503: "Service Unavailable"}


class WorkerHealth(Struct, frozen=True, kw_only=True):
    """How a worker stands."""

    live: bool
    ready: bool
    waiting: str
    complaints: str
    """What is wrong and keeps nothing from working, such as a file that is refused."""
    lag: int
    partitions: int
    progress_age_ms: int


class ProgressMonitor:
    """Watches offsets against lag."""

    def __init__(self, *, stalled_ms: int) -> None:
        self.joined = False
        self._waiting: dict[str, str] = {}
        self._complaints: dict[str, str] = {}
        self._stalled_ms = stalled_ms
        self._positions: dict[TP, int] = {}
        self._since_ms: dict[TP, int] = {}
        self._lag: dict[TP, int] = {}
        self._age_ms = 0

    def seen(self, reached: Mapping[TP, int], ends: Mapping[TP, int], *, now_ms: int) -> None:
        """Take how far the store is and where the partitions end."""
        for tp in set(self._lag) - set(ends):
            metrics.LAG_RECORDS.remove(tp.topic, str(tp.partition))
        self._lag = {tp: max(end - reached.get(tp, 0), 0) for tp, end in ends.items()}
        for tp, lag in self._lag.items():
            metrics.LAG_RECORDS.labels(tp.topic, str(tp.partition)).set(lag)
            position = reached.get(tp, -1)
            if lag == 0 or position != self._positions.get(tp) or tp not in self._since_ms:
                self._since_ms[tp] = now_ms
            self._positions[tp] = position
        ages = [now_ms - self._since_ms[tp] for tp, lag in self._lag.items() if lag]
        self._age_ms = max(ages, default=0)
        metrics.PROGRESS_AGE_SECONDS.set(self._age_ms / 1_000)

    def waits(self, part: str, reason: str) -> None:
        """Note that a part is away, and why; no reason says that it is back."""
        if reason:
            self._waiting[part] = reason
        else:
            self._waiting.pop(part, None)
        metrics.WAITING.labels(part).set(1 if reason else 0)

    def complains(self, part: str, reason: str) -> None:
        """Note what is wrong with a part that goes on working; no reason says that nothing is."""
        if reason:
            self._complaints[part] = reason
        else:
            self._complaints.pop(part, None)

    @property
    def waiting(self) -> str:
        """Which parts are away, and why; empty when none is."""
        return "; ".join(f"{part}: {reason}" for part, reason in self._waiting.items())

    def started_anew(self) -> None:
        """Forget the past: the stream was rebuilt."""
        self._since_ms.clear()
        self._age_ms = 0

    @property
    def lag(self) -> int:
        """How many records of our partitions are not in the store."""
        return sum(self._lag.values())

    @property
    def stalled(self) -> bool:
        """Whether there is lag, and no progress, and no part that is away to explain it."""
        return not self.waiting and self._age_ms >= self._stalled_ms

    def standing(self) -> WorkerHealth:
        """Return how the worker stands."""
        return WorkerHealth(
            live=self.waiting != "" or self._age_ms < 2 * self._stalled_ms,
            ready=self.joined and not self.waiting,
            waiting=self.waiting,
            complaints="; ".join(f"{part}: {told}" for part, told in [*self._complaints.items()]),
            lag=self.lag,
            partitions=len(self._lag),
            progress_age_ms=self._age_ms,
        )


@asynccontextmanager
async def serving(progress: ProgressMonitor, *, host: str, port: int) -> AsyncIterator[int]:
    """Answer for the worker until the context ends; gives the port."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, TimeoutError, ValueError, asyncio.IncompleteReadError):
            async with asyncio.timeout(REQUEST_WAIT_S):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(_response(head, progress))
                await writer.drain()
        writer.close()

    try:
        server = await asyncio.start_server(answer, host, port, limit=REQUEST_BYTES_MAX)
    except OSError as error:
        raise BadSetting(
            f"MAINSTEM_STREAMS_METRICS_PORT: cannot listen on {host}:{port} ({error.strerror}); "
            "choose another port, or 0 for a free one"
        ) from error
    async with server:
        yield int(server.sockets[0].getsockname()[1])


def _response(head: bytes, progress: ProgressMonitor) -> bytes:
    method, _, rest = head.partition(b" ")
    path = rest.partition(b" ")[0].partition(b"?")[0]
    if method not in {b"GET", b"HEAD"}:
        return _framed(405, JSON, b"{}")
    standing = progress.standing()
    body = json.dumps({name: getattr(standing, name) for name in WorkerHealth.__struct_fields__})
    match path:
        case b"/health/live":
            return _framed(200 if standing.live else 503, JSON, body.encode())
        case b"/health/ready":
            return _framed(200 if standing.ready else 503, JSON, body.encode())
        case b"/metrics":
            return _framed(200, metrics.CONTENT_TYPE, metrics.exposition())
        case _:
            return _framed(404, JSON, b"{}")


def _framed(code: int, kind: str, body: bytes) -> bytes:
    head = (
        f"HTTP/1.1 {code} {WORDS[code]}\r\ncontent-type: {kind}\r\n"
        f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
    )
    return head.encode() + body
