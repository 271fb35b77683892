"""What memory has forgotten, read from the tiers behind it, once for everybody who asks.

After a gateway has died, crowds come back with positions close to each other. The first one of a
partition reads; the others wait, and read only what is still missing. What was read is kept as long
as somebody of the crowd is there, up to a number of bytes.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from gateway.channels.recovery import Slice, missing
from gateway.channels.source import Archive
from gateway.channels.subscriptions import Tail
from gateway.kafka.log_consumer import Place

READS_MAX: Final = 16
"""Times that one client's gap is looked at: a ring may forget more while an archive is read."""


class _Crowd:
    def __init__(self) -> None:
        self.turn = asyncio.Lock()
        self.slices: list[Slice] = []
        self.people = 0


class Pasts:
    """See the module."""

    def __init__(self, archives: Sequence[Archive], *, bytes_max: int) -> None:
        self._archives = archives
        self._bytes_max = bytes_max
        self._crowds: dict[tuple[Place, str], _Crowd] = {}

    @asynccontextmanager
    async def before(self, place: Place, tail: Tail, after: int) -> AsyncIterator[Sequence[Slice]]:
        """Give slices that reach from `after` up to the ring, as far as they can be had.

        Where the ring reaches back far enough nothing is waited for.
        """
        if missing(tail.ring, after, ()) is None:
            yield ()
            return
        key = (place, tail.epoch)
        crowd = self._crowds.setdefault(key, _Crowd())
        crowd.people += 1
        try:
            async with crowd.turn:
                await self._fill(crowd, place, tail, after)
            yield crowd.slices
        finally:
            crowd.people -= 1
            if not crowd.people:
                self._crowds.pop(key, None)

    async def _fill(self, crowd: _Crowd, place: Place, tail: Tail, after: int) -> None:
        for _ in range(READS_MAX):
            gap = missing(tail.ring, after, crowd.slices)
            if gap is None:
                return
            part = await self._read(place, tail.epoch, gap)
            if part is None:
                return
            crowd.slices.append(part)
            while sum(map(_size, crowd.slices)) > self._bytes_max:
                crowd.slices.pop(0)

    async def _read(self, place: Place, epoch: str, gap: tuple[int, int]) -> Slice | None:
        for archive in self._archives:
            part = await archive.read(place, epoch=epoch, first=gap[0], end=gap[1])
            if part is not None:
                return part
        return None


def _size(part: Slice) -> int:
    return sum(line.size for line in part.lines)
