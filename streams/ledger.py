"""The port between the stream and the store: claims, remembered sessions and atomic commits.

The store is the authority on what has been processed. A worker claims a partition of a log, resumes
from the offset that the claim holds, and commits each batch's rows together with the offset it
reaches. A claim made later by another worker fences the earlier one: its commits fail with
`Fenced` and change nothing.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from msgspec import Struct

from analytics.contracts.cloudevents import Record
from analytics.contracts.ids import SessionId, TenantId
from analytics.measures.rows import CellRow, Outcome, SessionRow

SessionKey = tuple[TenantId, SessionId]


class Claim(Struct, frozen=True, kw_only=True):
    """The right to write for one partition of one log, and where its last owner got to."""

    log_id: int
    """The store's number for (cluster id, topic): a fresh broker is another log."""
    topic: str
    partition: int
    epoch: int
    next_offset: int
    """The first offset that is not in the store yet; 0 for a new log."""
    watermark_ms: int
    open_cells: tuple[CellRow, ...]
    """The windows that were still open."""
    mark: int = 0
    """What the record before `next_offset` is known by (see `marks`); 0 if that is not known."""
    kept: tuple[bytes, ...] = ()
    """The records that a second stage still needs, in the order of their offsets."""
    state: bytes = b""
    """What a second stage knew beside them."""


class Remembered(Struct, frozen=True, kw_only=True):
    """What the store knows of one session: its row, and the memory its batches left, in order."""

    row: SessionRow | None
    memories: tuple[bytes, ...]


class Burial(Struct, frozen=True, kw_only=True):
    """What could not be read: where it was, why, and how it came."""

    topic: str
    partition: int
    offset: int
    at_ms: int
    tenant: str
    origin: str
    reason: str
    payload: bytes


class Outgoing(Struct, frozen=True, kw_only=True):
    """The oldest records that commits left to be sent, for one sender."""

    records: Sequence[Record]
    waiting: int
    """How many wait in all, these included, about; never fewer than there are."""
    busy: bool = False
    """Whether another sender has the outbox, so that there is nothing here."""


class Ledger(Protocol):
    """What the stream asks of a store. All may raise `StoreAway`."""

    async def claim(self, *, cluster_id: str, topic: str, partition: int) -> Claim:
        """Take the partition over, fencing whoever had it."""
        ...

    async def recall(
        self, sessions: Iterable[SessionKey], *, claim: Claim | None = None
    ) -> Mapping[SessionKey, Remembered]:
        """Return what is known of these sessions; one that is new is not in the answer.

        With a claim they are followed for it from here on: a commit for another partition or log
        that would replace the row of one of them fails with `StoreAway`, and has to recall anew.
        """
        ...

    async def commit(
        self,
        claim: Claim,
        outcome: Outcome,
        *,
        outbox: Sequence[Record] = (),
        burials: Sequence[Burial] = (),
    ) -> None:
        """Write everything and the offset it reaches in one transaction; raise `Fenced`."""
        ...

    def sending(self, *, limit: int) -> AbstractAsyncContextManager[Outgoing]:
        """Give the oldest unsent records to one sender at a time; forget them if all went well."""
        ...
