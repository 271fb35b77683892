"""The other side of a socket, as an agent or as who has work for one."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from gateway.app import Gateway
from gateway.http.auth import TokenScope
from tests.support.gateway import token
from tests.support.peer import Peer, connected


class Caller:
    """Calls methods of the pool over a socket and keeps the messages that come."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self._last = 1

    async def hello(self, **claims: Any) -> str:
        """Show a token that may work; return the connection's name."""
        bearer = token(scopes=[TokenScope.WORK], **claims)
        self.peer.say({"id": 1, "connect": {"token": bearer}})
        reply = await self._reply(1)
        return str(reply["connect"]["client"])

    def ask(self, method: str, **data: object) -> int:
        """Send a call; return its number."""
        self._last += 1
        self.peer.say({"id": self._last, "rpc": {"method": method, "data": data}})
        return self._last

    async def answer(self, number: int) -> Any:
        """Return what a call was answered with: its data, or its error's code."""
        reply = await self._reply(number)
        return reply["error"]["code"] if "error" in reply else reply["rpc"]["data"]

    async def call(self, method: str, **data: object) -> Any:
        """Send a call and return its answer."""
        return await self.answer(self.ask(method, **data))

    def messages(self, kind: str) -> list[Any]:
        """Return the messages of a type that came."""
        pushes = [one["push"] for one in self.peer.replies if "push" in one]
        told = [push["message"]["data"] for push in pushes if "message" in push]
        return [one for one in told if one["type"] == kind]

    async def told(self, kind: str, *, count: int = 1) -> list[Any]:
        """Return the messages of a type once there are so many."""
        await self.peer.until(lambda: len(self.messages(kind)) >= count)
        return self.messages(kind)

    async def _reply(self, number: int) -> Any:
        def found() -> list[Any]:
            return [one for one in self.peer.replies if one.get("id") == number]

        await self.peer.until(found)
        return found()[0]


def card(*skills: str) -> dict[str, object]:
    """Return an agent's card with these skills."""
    return {"name": "agent", "version": "1", "skills": [{"id": skill} for skill in skills]}


@asynccontextmanager
async def callers(under_test: Gateway, *users: str) -> AsyncIterator[list[Caller]]:
    """Open a socket for each user, and show a token on it."""
    async with AsyncExitStack() as stack:
        callers = []
        for user in users:
            caller = Caller(await stack.enter_async_context(connected(under_test)))
            await caller.hello(user=user)
            callers.append(caller)
        yield callers


async def leased(agent: Caller, holder: Caller, **asked: object) -> str:
    """Let an agent register and a holder lease it; return the lease."""
    await agent.call("pool.register", agent="a", card=card("code"))
    answer = await holder.call("pool.acquire", task={"do": "it"}, **asked)
    return str(answer["lease"])
