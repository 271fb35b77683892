"""A history cache in Redis 6.2 and later, or Valkey: one stream a partition and epoch.

An entry's id is the offset of the last record that it covers, so gateways that read the same put
the same: what is not above the stream's top is left out. Its fields say where it begins, when it
was put, how many bytes came before, and the line. One script puts a batch and trims the oldest by
number, bytes and age. If what is there under an offset is not what the log has, the stream is of a
log that went back, and begins anew; so does one that takes no entry for what was deleted of it. The
stream's key is its own hash tag, so that a script and a pipeline work on a cluster.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Struct
from redis.exceptions import RedisError

from analytics.contracts.errors import Unavailable
from gateway.channels.history_cache import Entry, PublicationRun, SliceBuilder, entries_of
from gateway.channels.records import OVERHEAD_BYTES, StreamPublication
from gateway.channels.recovery import Slice
from gateway.kafka.log_consumer import Place

FORMAT: Final = 1
"""To be raised where records are read in another way, so that gateways of both never mix."""
PAGE: Final = 1_000
PUT: Final = """
local key = KEYS[1]
local records_max, bytes_max = tonumber(ARGV[1]), tonumber(ARGV[2])
local age_ms, overhead = tonumber(ARGV[3]), tonumber(ARGV[4])
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local top, sum = -1, 0
local last = redis.call('XREVRANGE', key, '+', '-', 'COUNT', 1)
if #last > 0 then
  top, sum = tonumber(string.match(last[1][1], '^%d+')), tonumber(last[1][2][6])
end
local seen = nil
for place = 5, #ARGV, 3 do
  if tonumber(ARGV[place]) <= top then seen = place end
end
if seen then
  local there = redis.call('XRANGE', key, ARGV[seen] .. '-1', ARGV[seen] .. '-1')
  if #there > 0 and there[1][2][8] ~= ARGV[seen + 2] then
    redis.call('DEL', key)
    top, sum = -1, 0
  end
end
for place = 5, #ARGV, 3 do
  if tonumber(ARGV[place]) > top then
    sum = sum + #ARGV[place + 2] + overhead
    local put = {'XADD', key, ARGV[place] .. '-1', 'first', ARGV[place + 1],
      'at', string.format('%.0f', now), 'sum', string.format('%.0f', sum), 'line', ARGV[place + 2]}
    local done = redis.pcall(unpack(put))
    if type(done) == 'table' and done.err then
      redis.call('DEL', key)
      redis.call(unpack(put))
    end
  end
end
local function late(entry)
  return now - tonumber(entry[2][4]) > age_ms or sum - tonumber(entry[2][6]) > bytes_max
end
redis.call('XTRIM', key, 'MAXLEN', '~', records_max)
local head = redis.call('XRANGE', key, '-', '+', 'COUNT', 1)
if #head > 0 and late(head[1]) then
  local kept = nil
  for _, entry in ipairs(redis.call('XRANGE', key, '-', '+', 'COUNT', 512)) do
    kept = entry[1]
    if not late(entry) then break end
  end
  redis.call('XTRIM', key, 'MINID', '=', kept)
end
redis.call('PEXPIRE', key, age_ms)
return top
"""

Answer = TypeVar("Answer")
Client = Any
"""`redis.asyncio.Redis` or `RedisCluster`, which share no type for what both can do."""


class CacheBounds(Struct, frozen=True, kw_only=True):
    """How much is kept of a partition, and how much one read may amount to."""

    records_max: int
    bytes_max: int
    age_ms: int
    read_records_max: int
    read_bytes_max: int


class RedisHistoryCache:
    """See the module."""

    def __init__(self, client: Client, room: CacheBounds, *, prefix: str, timeout_s: float) -> None:
        self._client = client
        self._room = room
        self._prefix = prefix
        self._timeout_s = timeout_s

    async def put(self, runs: Sequence[PublicationRun]) -> None:
        """Keep runs, those of a partition in order; what is there already stays."""
        room = self._room
        given: dict[str, list[object]] = {}
        for run in runs:
            added = given.setdefault(self._key(run.epoch), [])
            for entry in entries_of(run):
                line = b"" if entry.line is None else _encode(entry.line)
                added += (entry.end - 1, entry.first, line)
        if not given:
            return

        async def work() -> None:
            pipe = self._client.pipeline(transaction=False)
            for key, added in given.items():
                bounds = (room.records_max, room.bytes_max, room.age_ms, OVERHEAD_BYTES)
                pipe.eval(PUT, 1, key, *bounds, *added)
            await pipe.execute()

        await self._ask(work)

    async def read(self, place: Place, *, epoch: str, first: int, end: int) -> Slice | None:
        """Return all lines of the records in `[first, end)`; nothing if it does not have them."""
        del place
        room, key = self._room, self._key(epoch)
        if end - first > room.read_records_max:
            return None
        joining = SliceBuilder(first=first, end=end)
        since, size = f"{first}-0", 0
        while not joining.done:
            page = await self._ask(partial(self._client.xrange, key, since, "+", count=PAGE))
            size += sum(len(fields[b"line"]) for _, fields in page)
            if not page or size > room.read_bytes_max:
                return None
            try:
                joining.add([_entry(*one) for one in page])
            except (msgspec.MsgspecError, ValueError, KeyError):
                return None
            since = f"({page[-1][0].decode()}"
        return joining.slice()

    async def close(self) -> None:
        """Disconnect."""
        await self._client.aclose()

    async def _ask(self, work: Callable[[], Awaitable[Answer]]) -> Answer:
        try:
            async with asyncio.timeout(self._timeout_s):
                return await work()
        except (RedisError, OSError, TimeoutError) as error:
            raise Unavailable(f"Redis does not answer ({type(error).__name__})") from error

    def _key(self, epoch: str) -> str:
        return f"{self._prefix}:{{past/{epoch}}}:{FORMAT}"


def _entry(entry_id: bytes, fields: dict[bytes, bytes]) -> Entry:
    line = fields[b"line"]
    return Entry(
        first=int(fields[b"first"]),
        end=int(entry_id.partition(b"-")[0]) + 1,
        line=_line.decode(line) if line else None,
    )


_encode: Final = msgspec.msgpack.Encoder().encode
_line: Final = msgspec.msgpack.Decoder(StreamPublication)
