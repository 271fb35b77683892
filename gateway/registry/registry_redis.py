"""The registry in Redis 6.2 and later, or Valkey: one node of it, or a cluster.

All that a node tells lies under keys of its own that carry its epoch, so nodes never write the same
key, a node that was fenced off writes where nobody looks, and a node's end needs no search. Who
lives is one sorted set scored by Redis's own clock; the scripts that read and write it touch keys
of one slot only. A beat is one script and one pipeline. What is left behind by all expires.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeVar

import msgspec
from msgspec.structs import replace
from redis.exceptions import RedisError

from analytics.contracts.errors import Fenced, Unavailable
from gateway.registry.registry import (
    Beat,
    KnownEventIds,
    Linked,
    Member,
    NodeState,
    Seen,
    TenantChannel,
)

EXPIRY_S: Final = 3_600
"""How long what a node told outlives its last touch; keepers tell all anew more often."""
TOLD_MAX: Final = 240
"""Tellings of ids that are kept for those who have not heard them."""
TOLD_READ_MAX: Final = 50
SCANNED_AT_ONCE: Final = 500

NOW: Final = """
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
"""
LIVING: Final = """
local living = redis.call('ZRANGEBYSCORE', KEYS[2], '(' .. (now - ARGV[1]), '+inf')
local states = {}
if #living > 0 then states = redis.call('HMGET', KEYS[3], unpack(living)) end
"""
ENTER: Final = (
    NOW
    + """
local epoch = redis.call('INCR', KEYS[5])
local before = redis.call('HGET', KEYS[1], ARGV[1])
if before then redis.call('SADD', KEYS[4], ARGV[1] .. '/' .. before) end
redis.call('HSET', KEYS[1], ARGV[1], epoch)
redis.call('ZADD', KEYS[2], now, ARGV[1])
redis.call('HDEL', KEYS[3], ARGV[1])
return epoch
"""
)
BEAT: Final = (
    NOW
    + """
if redis.call('HGET', KEYS[1], ARGV[2]) ~= ARGV[3] then return false end
redis.call('ZADD', KEYS[2], now, ARGV[2])
redis.call('HSET', KEYS[3], ARGV[2], ARGV[4])
"""
    + LIVING
    + "return states"
)
NODES: Final = NOW + LIVING + "return states"
END: Final = (
    NOW
    + """
local dead = {ARGV[2]}
if ARGV[2] == '' then
  dead = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now - ARGV[1])
elseif redis.call('HGET', KEYS[1], ARGV[2]) ~= ARGV[3] then
  dead = {}
end
for _, node in ipairs(dead) do
  local epoch = redis.call('HGET', KEYS[1], node)
  if epoch then redis.call('SADD', KEYS[4], node .. '/' .. epoch) end
  redis.call('ZREM', KEYS[2], node)
  redis.call('HDEL', KEYS[1], node)
  redis.call('HDEL', KEYS[3], node)
end
return dead
"""
)

Answer = TypeVar("Answer")
Client = Any
"""`redis.asyncio.Redis` or `RedisCluster`, which share no type for what both can do."""


class RedisRegistry:
    """See the module."""

    def __init__(self, client: Client, *, prefix: str, dead_ms: int, timeout_s: float) -> None:
        self._client = client
        self._prefix = prefix
        self._dead_ms = dead_ms
        self._timeout_s = timeout_s
        self._heard = "$"
        self._keys = [
            f"{{{prefix}}}:{name}" for name in ("epochs", "beats", "states", "dead", "epoch")
        ]

    async def enter(self, node: str) -> int:
        """Begin a life of `node`; return its epoch."""
        return int(await self._ask(lambda: self._script(ENTER, node)))

    async def beat(self, beat: Beat) -> Seen:
        """Take what a node says; raise `Fenced` if its epoch is not the newest."""
        state = NodeState(node=beat.node, epoch=beat.epoch, load=beat.load)
        said = msgspec.json.encode(state)
        states = await self._ask(
            lambda: self._script(BEAT, self._dead_ms, beat.node, beat.epoch, said)
        )
        if states is None:
            raise Fenced(f"node {beat.node!r} is not in its epoch {beat.epoch} any more")
        told = await self._ask(lambda: self._tell(beat))
        return Seen(nodes=_states(states), told=told)

    async def leave(self, node: str, epoch: int) -> None:
        """End a life of `node`, and all that it told."""
        await self._ask(lambda: self._script(END, self._dead_ms, node, epoch))
        await self._ask(self._clear)

    async def nodes(self) -> Sequence[NodeState]:
        """Return the nodes that live, by name."""
        return _states(await self._ask(lambda: self._script(NODES, self._dead_ms)))

    async def find(self, connection_id: str) -> Linked | None:
        """Return a connection of a node that lives."""
        nodes = await self.nodes()

        async def look() -> list[bytes | None]:
            pipe = self._client.pipeline(transaction=False)
            for node in nodes:
                pipe.hget(self._own(node.node, node.epoch, "connections"), connection_id)
            return list(await pipe.execute())

        found = await self._ask(look) if nodes else []
        for node, value in zip(nodes, found, strict=True):
            if value is not None:
                return replace(_linked.decode(value), node=node.node)
        return None

    async def connections(self, *, limit: int) -> Sequence[Linked]:
        """Return connections of nodes that live, about `limit` of them at most."""
        found: list[Linked] = []
        for node in await self.nodes():
            key = self._own(node.node, node.epoch, "connections")
            values = await self._scan(key, limit - len(found))
            found += [replace(_linked.decode(value), node=node.node) for value in values]
        return found[:limit]

    async def presence(self, room: TenantChannel, *, limit: int) -> Sequence[Member]:
        """Return who is in a channel on nodes that live, about `limit` of them at most."""
        found: list[Member] = []
        for node in await self.nodes():
            key = self._own(node.node, node.epoch, f"in:{_spelled(room)}")
            found += [_member.decode(one) for one in await self._scan(key, limit - len(found))]
        return found[:limit]

    async def reap(self) -> Sequence[str]:
        """Clear away what dead nodes left; return the names of those found dead."""
        dead = await self._ask(lambda: self._script(END, self._dead_ms, "", 0))
        await self._ask(self._clear)
        return sorted(name.decode() for name in dead)

    async def close(self) -> None:
        """Disconnect."""
        await self._client.aclose()

    async def _ask(self, work: Callable[[], Awaitable[Answer]]) -> Answer:
        try:
            async with asyncio.timeout(self._timeout_s):
                return await work()
        except (RedisError, OSError, TimeoutError) as error:
            raise Unavailable(f"Redis does not answer ({type(error).__name__})") from error

    async def _script(self, script: str, *given: object) -> Any:  # noqa: ANN401 - redis-py
        return await self._client.eval(script, len(self._keys), *self._keys, *given)

    async def _tell(self, beat: Beat) -> list[KnownEventIds]:
        pipe = self._client.pipeline(transaction=False)
        self._put(pipe, beat)
        stream = f"{self._prefix}:{{told}}"
        if beat.told is not None:
            fields = {"node": beat.node, "log": beat.told.log_id, "keys": beat.told.keys}
            pipe.xadd(stream, fields, maxlen=TOLD_MAX, approximate=True)
        if len(pipe):
            await pipe.execute()
        if self._heard == "$":
            newest = await self._client.xrevrange(stream, count=1)
            self._heard = newest[0][0].decode() if newest else "0-0"
            return []
        entries = await self._client.xrange(stream, f"({self._heard}", "+", count=TOLD_READ_MAX)
        told: list[KnownEventIds] = []
        for entry_id, fields in entries:
            self._heard = entry_id.decode()
            if fields.get(b"node") != beat.node.encode():
                told.append(KnownEventIds(log_id=fields[b"log"].decode(), keys=fields[b"keys"]))
        return told

    def _put(self, pipe: Client, beat: Beat) -> None:
        node, epoch, changes = beat.node, beat.epoch, beat.changes
        connections = self._own(node, epoch, "connections")
        rooms = self._own(node, epoch, "rooms")
        for connection_id, linked in changes.connections.items():
            if linked is None:
                pipe.hdel(connections, connection_id)
            else:
                pipe.hset(connections, connection_id, msgspec.json.encode(linked))
        touched = {connections, rooms} if len(changes) else set()
        for (room, client), member in changes.members.items():
            key = self._own(node, epoch, f"in:{_spelled(room)}")
            if member is None:
                pipe.hdel(key, client)
                continue
            pipe.hset(key, client, msgspec.json.encode(member))
            pipe.sadd(rooms, key)
            touched.add(key)
        for key in sorted(touched):
            pipe.expire(key, EXPIRY_S)

    async def _clear(self) -> None:
        for life in await self._client.smembers(self._keys[3]):
            node, _, epoch = life.decode().rpartition("/")
            rooms = self._own(node, int(epoch), "rooms")
            pipe = self._client.pipeline(transaction=False)
            for key in await self._client.smembers(rooms):
                _unlink(pipe, key)
            _unlink(pipe, self._own(node, int(epoch), "connections"))
            _unlink(pipe, rooms)
            pipe.srem(self._keys[3], life)
            await pipe.execute()

    async def _scan(self, key: str, limit: int) -> list[bytes]:
        found: dict[bytes, bytes] = {}
        cursor = 0
        while len(found) < limit:
            at = cursor
            cursor, page = await self._ask(
                lambda at=at: self._client.hscan(key, at, count=SCANNED_AT_ONCE)  # type: ignore[misc]  # bound early
            )
            found.update(page)
            if not cursor:
                break
        return list(found.values())[:limit]

    def _own(self, node: str, epoch: int, name: str) -> str:
        return f"{self._prefix}:{{{node}/{epoch}}}:{name}"


def _unlink(pipe: Client, key: str | bytes) -> None:
    """Unlink a key; a cluster's own `unlink` would not wait for the pipeline."""
    pipe.execute_command("UNLINK", key)


def _states(found: Sequence[bytes | None]) -> list[NodeState]:
    states = [_state.decode(one) for one in found if one is not None]
    return sorted(states, key=lambda state: state.node)


def _spelled(room: TenantChannel) -> str:
    return msgspec.json.encode([room.tenant, room.channel]).decode()


_state: Final = msgspec.json.Decoder(NodeState)
_linked: Final = msgspec.json.Decoder(Linked)
_member: Final = msgspec.json.Decoder(Member)
