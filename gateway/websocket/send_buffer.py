"""What waits to be written to one socket: in order, bounded in bytes and in age.

Replies are never dropped. Publications are, where the policy of their namespace says so: `latest`
keeps the last of each channel, and where that is not enough `oldest` drops those that wait longest.
For every channel that lost some, a notice takes the place of what is missing, so that no client
mistakes a thinned stream for a whole one. Policy `close` drops nothing of its channels: where they
alone are too much, the client is closed as slow, comes again and recovers.
"""

from collections import deque
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Final

from msgspec import Struct

Notice = Callable[[str, int], bytes]
"""Makes the notice that a channel lost this many publications."""
NOTICE_BYTES: Final = 512
"""What a notice is counted as before it is made; a channel's name has at most 255 characters."""


class SlowPeerPolicy(StrEnum):
    """What becomes of a peer that reads too slowly."""

    CLOSE = "close"
    LATEST = "latest"
    OLDEST = "oldest"


class Policies(Struct, frozen=True):
    """The policy of each namespace of channels."""

    rest: SlowPeerPolicy
    """That of namespaces which are not named."""
    named: Mapping[str, SlowPeerPolicy] = {}

    @property
    def thin(self) -> bool:
        """Whether any of them drops something."""
        return any(one is not SlowPeerPolicy.CLOSE for one in (self.rest, *self.named.values()))

    def of(self, channel: str) -> SlowPeerPolicy:
        """Return a channel's policy."""
        return self.named.get(channel.partition(":")[0], self.rest) if self.named else self.rest


class Outbox:
    """See the module; `put` says whether what waits is within its bounds."""

    __slots__ = ("_bytes_max", "_items", "_ms_max", "_policies", "bytes_waiting", "dropped")

    def __init__(self, *, bytes_max: int, ms_max: int, policies: Policies) -> None:
        self.bytes_waiting = 0
        self.dropped = 0
        self._bytes_max = bytes_max
        self._ms_max = ms_max
        self._policies = policies
        self._items: deque[_Item] = deque()

    def __len__(self) -> int:
        """Return how many writes wait."""
        return len(self._items)

    def put(self, data: bytes, *, now_ms: int, channel: str = "") -> bool:
        """Add a write, a publication if it names a channel; return whether all is in bounds."""
        self._items.append(_Item(data, channel, now_ms))
        self.bytes_waiting += len(data)
        return self._fits(now_ms) or (self._policies.thin and self._thin(now_ms))

    def take(self, *, bytes_max: int, notice: Notice) -> list[bytes]:
        """Return the writes that come next, at least one and about `bytes_max` together."""
        taken: list[bytes] = []
        size = 0
        while self._items and (not taken or size + len(self._items[0].data) < bytes_max):
            item = self._items.popleft()
            self.bytes_waiting -= item.size
            taken.append(notice(item.channel, item.missing) if item.missing else item.data)
            size += len(taken[-1])
        return taken

    def clear(self) -> None:
        """Forget what waits."""
        self._items.clear()
        self.bytes_waiting = 0

    def _fits(self, now_ms: int) -> bool:
        oldest_ms = self._items[0].at_ms if self._items else now_ms
        return self.bytes_waiting <= self._bytes_max and now_ms - oldest_ms <= self._ms_max

    def _thin(self, now_ms: int) -> bool:
        """Drop publications as their policies say; return whether that was enough."""
        self._keep_latest()
        if not self._fits(now_ms):
            self._drop_oldest(now_ms)
        return self._fits(now_ms)

    def _keep_latest(self) -> None:
        """Put the last publication of each channel after a notice of what was before it."""
        thinned = [item for item in self._items if self._has(item, SlowPeerPolicy.LATEST)]
        counts: dict[str, int] = {}
        for item in thinned:
            counts[item.channel] = counts.get(item.channel, 0) + max(item.missing, 1)
        last = {item.channel: item for item in thinned if not item.missing}
        kept: list[_Item] = []
        for item in self._items:
            if item.channel not in counts:
                kept.append(item)
            elif last.get(item.channel) is item:
                if counts[item.channel] > 1:
                    kept.append(_Item(b"", item.channel, item.at_ms, counts[item.channel] - 1))
                kept.append(item)
        self._replace(kept)

    def _drop_oldest(self, now_ms: int) -> None:
        """Drop publications from the front until half of both bounds is free again."""
        excess = self.bytes_waiting - self._bytes_max // 2
        late_ms = now_ms - self._ms_max // 2
        lost: dict[str, _Item] = {}
        kept: list[_Item] = []
        for item in self._items:
            if not self._has(item, SlowPeerPolicy.OLDEST) or (
                excess <= 0 and item.at_ms >= late_ms
            ):
                kept.append(item)
                continue
            excess -= item.size
            before = lost.get(item.channel)
            if before is None:
                excess += NOTICE_BYTES
                before = lost[item.channel] = _Item(b"", item.channel, now_ms)
                kept.append(before)
            before.missing += max(item.missing, 1)
        self._replace(kept)

    def _has(self, item: "_Item", policy: SlowPeerPolicy) -> bool:
        return bool(item.channel) and self._policies.of(item.channel) is policy

    def _replace(self, kept: list["_Item"]) -> None:
        missing = sum(item.missing for item in self._items)
        self._items = deque(kept)
        self.bytes_waiting = sum(item.size for item in kept)
        self.dropped += sum(item.missing for item in kept) - missing


class _Item(Struct):
    data: bytes
    channel: str
    at_ms: int
    missing: int = 0

    @property
    def size(self) -> int:
        return NOTICE_BYTES if self.missing else len(self.data)
