"""A history_cache in memory that forgets what it is told to, and goes away when it is told to."""

from collections.abc import Sequence

from analytics.contracts.errors import Unavailable
from gateway.channels.history_cache import Entry, PublicationRun, SliceBuilder, entries_of
from gateway.channels.recovery import Slice
from gateway.kafka.log_consumer import Place


class MemoryHistoryCache:
    """Entries by epoch, in order of where they end, each end once."""

    def __init__(self, *, records_max: int = 1_000) -> None:
        self.away = False
        self.puts = 0
        self.reads = 0
        self._records_max = records_max
        self._entries: dict[str, dict[int, Entry]] = {}

    def forget(self, number: int) -> None:
        """Forget the oldest entries of everything."""
        for there in self._entries.values():
            for end in list(there)[:number]:
                del there[end]

    def lose(self, number: int) -> None:
        """Lose the newest entries of everything, as a server does that comes back from a copy."""
        for there in self._entries.values():
            for end in list(there)[len(there) - min(number, len(there)) :]:
                del there[end]

    async def put(self, runs: Sequence[PublicationRun]) -> None:
        """Keep runs."""
        self.puts += 1
        if self.away:
            raise Unavailable("the history_cache is away")
        for run in runs:
            there = self._entries.setdefault(run.epoch, {})
            fresh = entries_of(run)
            seen = [one for one in fresh if one.end <= max(there, default=-1)]
            if seen and seen[-1].end in there and there[seen[-1].end].line != seen[-1].line:
                there.clear()
            for entry in fresh:
                if entry.end > max(there, default=-1):
                    there[entry.end] = entry
            for end in list(there)[: max(0, len(there) - self._records_max)]:
                del there[end]

    async def read(self, place: Place, *, epoch: str, first: int, end: int) -> Slice | None:
        """Return the slice, if it is whole."""
        del place
        self.reads += 1
        if self.away:
            raise Unavailable("the history_cache is away")
        there = self._entries.get(epoch, {})
        joining = SliceBuilder(first=first, end=end)
        joining.add(entry for entry in there.values() if entry.end > first)
        return joining.slice()

    async def close(self) -> None:
        """Do nothing."""
