"""Senders that publish real events through a gateway, and keep what was acknowledged.

Each sender has one batch under way: over HTTP, or over a WebSocket by RPC. What was not
acknowledged, for whatever reason, is sent again under the same id until it is; now and then a batch
that was acknowledged is sent again on purpose, and an event that was not is given up. The load is
bounded by a rate, by `events_max`, and by `stop`.
"""

import asyncio
import contextlib
import json
import random
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import httpx
import websockets
from msgspec import Struct
from websockets.asyncio.client import ClientConnection

from analytics.contracts.ids import TenantId
from tests.support.faults_events import TENANTS, Known, Made, Source
from tests.support.gateway import token

ANSWER_S: Final = 12.0
RETRY_S: Final = 0.1
ROUTE: Final = "/connection/websocket"
REPEATED_SHARE: Final = 0.06
GIVEN_UP_SHARE: Final = 0.02
"""Of the events that were refused or not answered: what is not sent again."""
KEPT_MAX: Final = 50
"""Acknowledged batches that a repeat is chosen from."""

Publish = Callable[[Sequence[Made]], Awaitable[set[str]]]
"""Sends a batch; returns the ids that were acknowledged; raises what `FAILURES` names."""

FAILURES: Final = (
    OSError, TimeoutError, httpx.HTTPError, websockets.WebSocketException, KeyError, ValueError,
)  # fmt: skip


class Pace(Struct, frozen=True, kw_only=True):
    """How much is sent."""

    senders: int = 4
    """Every third sends over a WebSocket."""
    batch: int = 20
    rate: float = 300.0
    """Events a second, all senders together, as long as they are acknowledged."""
    sessions: int = 24
    """Sessions of each sender."""
    events_max: int = 200_000


class Load:
    """All senders of one run, and what they know."""

    def __init__(self, url: str, *, seed: int, pace: Pace | None = None) -> None:
        self.known: dict[str, Known] = {}
        self.acknowledged: set[str] = set()
        self.repeated = 0
        self.refused = 0
        self.given_up = 0
        self._url = url
        self._seed = seed
        self._pace = pace or Pace()
        self._stopping = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to send."""
        for number in range(self._pace.senders):
            self._tasks.append(asyncio.create_task(self._send_as(number)))

    async def stop(self) -> None:
        """Make no more events; return once each is acknowledged or given up."""
        self._stopping.set()
        await asyncio.gather(*self._tasks)

    async def abandon(self) -> None:
        """End at once, whatever is under way."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def fail_if_ended(self) -> None:
        """Raise what a sender ended with, if one did."""
        for task in self._tasks:
            if task.done():
                task.result()

    async def _send_as(self, number: int) -> None:
        tenant = TENANTS[number % len(TENANTS)]
        bearer = token(tenant=TenantId(tenant))
        source = Source(self._seed, name=f"f{number}-", sessions=self._pace.sessions)
        chance = random.Random(f"sender {self._seed} {number}")
        make = _WebSocket if number % 3 == 2 else _Http
        ingest_path = make(self._url, bearer)
        try:
            await self._send(ingest_path.publish, _Sender(tenant, source, chance))
        finally:
            await ingest_path.close()

    async def _send(self, publish: Publish, sender: "_Sender") -> None:
        pace, loop = self._pace, asyncio.get_running_loop()
        rest_s = pace.batch * pace.senders / pace.rate
        waiting: deque[Made] = deque()
        while not (self._stopping.is_set() and not waiting):
            begun = loop.time()
            while len(waiting) < pace.batch and self._may_make():
                made = sender.source.next(sender.tenant)
                self.known[made.id] = made.known
                waiting.append(made)
            if not waiting:
                return
            batch = list(waiting)
            waiting.clear()
            waiting.extend(await self._try(publish, batch, sender))
            if not self._stopping.is_set():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout_at(begun + rest_s):
                        await self._stopping.wait()

    def _may_make(self) -> bool:
        return not self._stopping.is_set() and len(self.known) < self._pace.events_max

    async def _try(self, publish: Publish, batch: Sequence[Made], sender: "_Sender") -> list[Made]:
        """Send a batch, with a repeat now and then; return what has to be sent again."""
        chance, kept = sender.chance, sender.kept
        again: Sequence[Made] = ()
        if kept and chance.random() < REPEATED_SHARE:
            again = chance.choice(kept)
            self.repeated += len(again)
        try:
            async with asyncio.timeout(ANSWER_S):
                taken = await publish([*batch, *again])
        except FAILURES:
            taken = set()
        self.acknowledged |= taken
        refused = [made for made in batch if made.id not in taken]
        if not refused:
            kept.append(batch)
            return []
        self.refused += len(refused)
        await asyncio.sleep(RETRY_S)
        left = [made for made in refused if chance.random() >= GIVEN_UP_SHARE]
        self.given_up += len(refused) - len(left)
        return left


class _Sender:
    """What one sender has of its own."""

    def __init__(self, tenant: str, source: Source, chance: random.Random) -> None:
        self.tenant = tenant
        self.source = source
        self.chance = chance
        self.kept: deque[Sequence[Made]] = deque(maxlen=KEPT_MAX)


class _Http:
    """Publishes over `POST /v1/events`."""

    def __init__(self, url: str, bearer: str) -> None:
        headers = {"authorization": f"Bearer {bearer}"}
        self._client = httpx.AsyncClient(base_url=url, headers=headers, timeout=ANSWER_S)

    async def publish(self, batch: Sequence[Made]) -> set[str]:
        """Send a batch; return what was acknowledged."""
        answer = await self._client.post("/v1/events", json=[made.fields for made in batch])
        return _taken(answer.json())

    async def close(self) -> None:
        """Close the connection."""
        await self._client.aclose()


class _WebSocket:
    """Publishes by RPC over one WebSocket, connected anew whenever it broke."""

    def __init__(self, url: str, bearer: str) -> None:
        self._url = url.replace("http", "ws", 1) + ROUTE
        self._bearer = bearer
        self._socket: ClientConnection | None = None
        self._calls = 1

    async def publish(self, batch: Sequence[Made]) -> set[str]:
        """Send a batch; return what was acknowledged."""
        try:
            socket = self._socket or await self._connect()
            self._calls += 1
            data = [made.fields for made in batch]
            call = {"id": self._calls, "rpc": {"method": "events.publish", "data": data}}
            await socket.send(json.dumps(call))
            return _taken((await _reply(socket, self._calls))["rpc"]["data"])  # type: ignore[index]  # a reply of ours
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Close the socket."""
        socket, self._socket = self._socket, None
        if socket is not None:
            socket.transport.abort()
            await socket.wait_closed()

    async def _connect(self) -> ClientConnection:
        socket = await websockets.connect(self._url, open_timeout=ANSWER_S, ping_interval=None)
        self._socket = socket
        await socket.send(json.dumps({"id": 1, "connect": {"token": self._bearer}}))
        await _reply(socket, 1)
        self._calls = 1
        return socket


async def _reply(socket: ClientConnection, number: int) -> dict[str, object]:
    """Return the reply to one call; pings are answered on the way."""
    while True:
        for line in str(await socket.recv(decode=True)).splitlines():
            said: dict[str, object] = json.loads(line)
            if not said:
                await socket.send("{}")
            elif said.get("id") == number:
                return said


def _taken(answer: dict[str, object]) -> set[str]:
    """Return the ids that an answer says are acknowledged."""
    results = answer["results"]
    assert isinstance(results, list), answer
    return {one["id"] for one in results if one["status"] in {"accepted", "duplicate"}}
