"""The protocol's own clients, unchanged, behind one way to tell them what to do and hear of it.

`centrifuge-python` runs in the test's own loop, the JavaScript `centrifuge` in Node; both speak
JSON or Protobuf. What a client is told and tells is the same for all four: plain values.
"""

import asyncio
import itertools
import json
import os
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, Protocol

import pytest
from centrifuge import CentrifugeError, Client, ClientEventHandler, ReplyError
from centrifuge.handlers import SubscriptionEventHandler

from tests.support.gateway import until

LANE: Final = Path(__file__).parents[1] / "contract" / "centrifuge"
KINDS: Final = ("python-json", "python-protobuf", "javascript-json", "javascript-protobuf")
WAIT_S: Final = 20

Event = dict[str, Any]


class Driven(Protocol):
    """A client that is told what to do."""

    @property
    def events(self) -> list[Event]:
        """What it told, oldest first."""
        ...

    async def tell(self, op: str, **given: Any) -> Any:
        """Have it do something and return its answer; raise `Refused` if it failed."""
        ...


class Refused(Exception):
    """The client was answered with an error."""

    def __init__(self, code: int) -> None:
        super().__init__(f"answered with error {code}")
        self.code = code


def heard(driven: Driven, event: str, **fields: object) -> list[Event]:
    """Return the events of a kind whose fields are these."""
    return [
        one
        for one in driven.events
        if one["event"] == event and all(one.get(name) == value for name, value in fields.items())
    ]


async def wait(driven: Driven, event: str, *, count: int = 1, **fields: object) -> list[Event]:
    """Wait until a client told of something so many times."""
    await until(lambda: len(heard(driven, event, **fields)) >= count, seconds_max=WAIT_S)
    return heard(driven, event, **fields)


@asynccontextmanager
async def driven(kind: str, url: str) -> AsyncIterator[Driven]:
    """Return a client of this kind, gone at the end."""
    language, _, codec = kind.partition("-")
    opened = _node(codec, url) if language == "javascript" else _python(codec, url)
    async with opened as client:
        yield client


class _Node:
    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.events: list[Event] = []
        self._process = process
        self._ids = itertools.count(1)
        self._answers: dict[int, asyncio.Future[Event]] = {}

    async def tell(self, op: str, **given: Any) -> Any:
        number = next(self._ids)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        assert self._process.stdin is not None
        line = json.dumps({"id": number, "op": op, **given}) + "\n"
        self._process.stdin.write(line.encode())
        async with asyncio.timeout(WAIT_S):
            event = await answer
        if "code" in event or "message" in event:
            raise Refused(event.get("code", 0))
        return event["answer"]

    async def listen(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            event = json.loads(line)
            if event["event"] == "answer":
                self._answers.pop(event["id"]).set_result(event)
            else:
                self.events.append(event)


@asynccontextmanager
async def _node(codec: str, url: str) -> AsyncIterator[Driven]:
    node = shutil.which("node") or _missing("Node", "install Node 18 or newer")
    if not (LANE / "node_modules").is_dir():
        _missing("the JavaScript client", "`npm ci --prefix tests/contract/centrifuge`")
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        node, str(LANE / "client.mjs"), codec, url, stdin=pipe, stdout=pipe
    )
    client = _Node(process)
    listening = asyncio.create_task(client.listen())
    try:
        yield client
    finally:
        assert process.stdin is not None
        process.stdin.close()
        try:
            async with asyncio.timeout(WAIT_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
        await listening


class _Python:
    def __init__(self, codec: str, url: str) -> None:
        self.events: list[Event] = []
        self.client: Any = None
        self._binary = codec == "protobuf"
        self._url = url

    async def tell(self, op: str, **given: Any) -> Any:
        try:
            return await getattr(self, op)(**given)
        except ReplyError as error:
            raise Refused(error.code) from error
        except CentrifugeError as error:
            raise Refused(0) from error

    async def connect(self, *, token: str, tokens: list[str]) -> None:
        async def fetch() -> str:
            self.events.append({"event": "token"})
            return tokens.pop(0) if len(tokens) > 1 else tokens[0]

        self.client = Client(
            self._url,
            events=_Notes(self.note, self.unpack),
            token=token,
            get_token=fetch if tokens else None,
            use_protobuf=self._binary,
            min_reconnect_delay=0.02,
            max_reconnect_delay=0.2,
        )
        await self.client.connect()

    async def subscribe(self, *, channel: str, token: str = "") -> None:
        notes = _ChannelNotes(channel, self.note, self.unpack)
        await self.client.new_subscription(channel, events=notes, token=token).subscribe()

    async def unsubscribe(self, *, channel: str) -> None:
        await self.client.get_subscription(channel).unsubscribe()

    async def rpc(self, *, method: str, data: object) -> object:
        return self.unpack((await self.client.rpc(method, self._pack(data))).data)

    async def publish(self, *, channel: str, data: object) -> object:
        await self.client.publish(channel, self._pack(data))
        return {}

    async def history(self, *, channel: str, limit: int) -> object:
        past = await self.client.history(channel, limit=limit)
        entries = [_told(one, self.unpack) for one in past.publications]
        return {"epoch": past.epoch, "offset": past.offset, "publications": entries}

    async def presence(self, *, channel: str) -> object:
        there = await self.client.presence(channel)
        return [one.user for one in there.clients.values()]

    async def presence_stats(self, *, channel: str) -> object:
        there = await self.client.presence_stats(channel)
        return {"clients": there.num_clients, "users": there.num_users}

    def note(self, event: str, **fields: object) -> None:
        self.events.append({"event": event, **fields})

    def unpack(self, data: Any) -> Any:
        return json.loads(data) if self._binary else data

    def _pack(self, value: object) -> object:
        return json.dumps(value).encode() if self._binary else value


@asynccontextmanager
async def _python(codec: str, url: str) -> AsyncIterator[Driven]:
    client = _Python(codec, url)
    try:
        yield client
    finally:
        if client.client is not None:
            await client.client.disconnect()


Note = Callable[..., None]
Unpack = Callable[[Any], Any]


class _Notes(ClientEventHandler):  # type: ignore[misc]  # the client has no types
    def __init__(self, note: Note, unpack: Unpack) -> None:
        self._note = note
        self._unpack = unpack

    async def on_connected(self, ctx: Any) -> None:
        self._note("connected", client=ctx.client)

    async def on_connecting(self, ctx: Any) -> None:
        self._note("connecting", code=ctx.code)

    async def on_disconnected(self, ctx: Any) -> None:
        self._note("disconnected", code=ctx.code)

    async def on_subscribed(self, ctx: Any) -> None:
        self._note("subscribed", channel=ctx.channel, **_entered(ctx))

    async def on_publication(self, ctx: Any) -> None:
        self._note("publication", channel=ctx.channel, **_told(ctx.pub, self._unpack))


class _ChannelNotes(SubscriptionEventHandler):  # type: ignore[misc]  # the client has no types
    def __init__(self, channel: str, note: Note, unpack: Unpack) -> None:
        self._channel = channel
        self._note = note
        self._unpack = unpack

    async def on_subscribed(self, ctx: Any) -> None:
        self._note("subscribed", channel=self._channel, **_entered(ctx))

    async def on_unsubscribed(self, ctx: Any) -> None:
        self._note("unsubscribed", channel=self._channel, code=ctx.code)

    async def on_publication(self, ctx: Any) -> None:
        self._note("publication", channel=self._channel, **_told(ctx.pub, self._unpack))


def _entered(ctx: Any) -> Event:
    return {"was_recovering": ctx.was_recovering, "recovered": ctx.recovered}


def _told(pub: Any, unpack: Unpack) -> Event:
    return {"data": unpack(pub.data), "offset": pub.offset, "tags": dict(pub.tags or {})}


def _missing(what: str, install: str) -> str:
    said = f"{what} is missing: {install}"
    if os.environ.get("CI"):
        pytest.fail(said)
    pytest.skip(said)
