"""What waits of one partition until it is folded: batches in order, taken as one where they join.

A batch that waits is not lost sight of: whoever gave it holds a ticket, which is done once the
batch is in the store or is not ours to store any more. What may wait is limited by whoever asks for
more (see `assignment`); here it is only weighed.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from streams.consumer.deserialising import ConsumedRecord
from streams.consumer.partition_processor import RecordSlice


class Weighed(RecordSlice, Protocol):
    """A batch that says what it weighs."""

    @property
    def size(self) -> int:
        """Its weight in bytes, about."""
        ...


Ticket = asyncio.Future[None]


class Run(Struct, frozen=True):
    """Batches that follow each other without a hole, as one."""

    first_offset: int
    next_offset: int
    records: Sequence[ConsumedRecord]
    tickets: Sequence[Ticket]

    def done(self) -> None:
        """Tell those who gave the batches."""
        for ticket in self.tickets:
            if not ticket.done():
                ticket.set_result(None)


class PartitionBacklog:
    """The batches of one partition that wait."""

    def __init__(self) -> None:
        self.size = 0
        """The weight of all that waits, in bytes."""
        self._waiting: deque[tuple[Weighed, Ticket]] = deque()

    def __len__(self) -> int:
        """Return how many batches wait."""
        return len(self._waiting)

    def add(self, batch: Weighed) -> Ticket:
        """Put a batch behind what waits."""
        ticket: Ticket = asyncio.get_running_loop().create_future()
        self._waiting.append((batch, ticket))
        self.size += batch.size
        return ticket

    def take(self, *, records_max: int, bytes_max: int) -> Run | None:
        """Take the first batch, and those that join it up to the limits; None if nothing waits."""
        if not self._waiting:
            return None
        first, ticket = self._waiting.popleft()
        records, tickets, size, end = first.records, [ticket], first.size, first.next_offset
        while self._waiting:
            after, ticket = self._waiting[0]
            size += after.size
            count = len(records) + len(after.records)
            if after.first_offset != end or count > records_max or size > bytes_max:
                size -= after.size
                break
            self._waiting.popleft()
            records, end = [*records, *after.records], after.next_offset
            tickets.append(ticket)
        self.size -= size
        return Run(first.first_offset, end, records, tickets)

    def clear(self) -> None:
        """Let go of all that waits."""
        for _, ticket in self._waiting:
            if not ticket.done():
                ticket.set_result(None)
        self._waiting.clear()
        self.size = 0
