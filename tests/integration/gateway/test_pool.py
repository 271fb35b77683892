"""The pool over real sockets: a rolling restart loses no lease, and a host carries many agents."""

import asyncio
import contextlib
import json
from types import TracebackType
from typing import Any, Final, Self

import pytest
import websockets

from gateway.http.auth import TokenScope
from tests.support.gateway import WAIT_S, listening, token
from tests.support.pool_peer import card
from tests.support.publisher_memory import MemoryPublisher

AGENTS: Final = 50


class Client:
    """A client of the pool that reads all that comes."""

    def __init__(self, address: str, user: str) -> None:
        self._address = address
        self._user = user
        self._last = 1
        self._replies: dict[int, asyncio.Future[Any]] = {}
        self.told: asyncio.Queue[Any] = asyncio.Queue()
        self.closed = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._socket = await websockets.connect(self._address, proxy=None)
        self._reading = asyncio.create_task(self._read())
        bearer = token(user=self._user, scopes=[TokenScope.WORK])
        await self._sent({"id": 1, "connect": {"token": bearer}})
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._socket.close()
        await self._reading

    async def call(self, method: str, **data: object) -> Any:
        """Return the answer's data; fail where it is an error."""
        self._last += 1
        asked = {"id": self._last, "rpc": {"method": f"pool.{method}", "data": data}}
        reply = await self._sent(asked)
        assert "error" not in reply, reply
        return reply["rpc"]["data"]

    async def hear(self, kind: str) -> Any:
        """Return the next message of a type."""
        async with asyncio.timeout(WAIT_S):
            while True:
                told = await self.told.get()
                if told["type"] == kind:
                    return told

    async def _sent(self, command: dict[str, Any]) -> Any:
        waiting = asyncio.get_running_loop().create_future()
        self._replies[command["id"]] = waiting
        await self._socket.send(json.dumps(command))
        async with asyncio.timeout(WAIT_S):
            return await waiting

    async def _read(self) -> None:
        with contextlib.suppress(websockets.ConnectionClosed):
            while True:
                for line in str(await self._socket.recv()).split("\n"):
                    await self._take(json.loads(line))
        self.closed.set()

    async def _take(self, one: Any) -> None:
        if not one:
            await self._socket.send("{}")
        elif "push" in one:
            self.told.put_nowait(one["push"].get("message", {}).get("data", {"type": ""}))
        else:
            self._replies.pop(one["id"]).set_result(one)


@pytest.mark.requirement("pool-leases")
async def test_a_rolling_restart_loses_no_lease() -> None:
    async with listening(MemoryPublisher()) as (old, was), listening(MemoryPublisher()) as (_, now):
        async with Client(was, "ada") as host, Client(was, "grace") as holder:
            for number in range(AGENTS):
                await host.call("register", agent=f"a{number}", card=card("code"))
            for number in range(AGENTS):
                await holder.call("acquire", task={"number": number}, lease_ms=60_000)
            works = [await host.hear("pool.work") for _ in range(AGENTS)]
            await old.drain()
            async with asyncio.timeout(WAIT_S):
                await asyncio.gather(host.closed.wait(), holder.closed.wait())
        async with Client(now, "ada") as host, Client(now, "grace") as holder:
            for work in works:
                brought = {name: work[name] for name in ("lease", "holder", "lasts_ms")}
                await host.call(
                    "register", agent=work["agent"], card=card("code"), leases=[brought]
                )
            for work in works:
                await holder.call("renew", lease=work["lease"])
            for work in works:
                await host.call("result", lease=work["lease"], answer=work["task"])
            results = [await holder.hear("pool.result") for _ in range(AGENTS)]

    assert {one["agent"] for one in works} == {f"a{number}" for number in range(AGENTS)}
    assert {one["outcome"] for one in results} == {"done"}
    assert sorted(one["answer"]["number"] for one in results) == list(range(AGENTS))
    assert {one["lease"] for one in results} == {one["lease"] for one in works}


@pytest.mark.requirement("pool-leases")
async def test_an_agent_whose_socket_broke_comes_back_to_the_work_it_held() -> None:
    async with (
        listening(MemoryPublisher()) as (_, address),
        Client(address, "grace") as holder,
    ):
        async with Client(address, "ada") as host:
            await host.call("register", agent="a", card=card("code"))
            await holder.call("acquire", task={"do": "it"})
            first = await host.hear("pool.work")
        async with Client(address, "ada") as host:
            back = await host.call("register", agent="a", card=card("code"))
            again = await host.hear("pool.work")
            await host.call("result", lease=again["lease"], answer="done")
            result = await holder.hear("pool.result")

    assert back["leases"] == [first["lease"]]
    assert again["task"] == first["task"]
    assert (result["lease"], result["answer"]) == (first["lease"], "done")
