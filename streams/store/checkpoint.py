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
from analytics.contracts.errors import StoreAway
from analytics.contracts.ids import SessionId, TenantId
from analytics.measures.rows import BatchOutcome, CellRow, SessionRow, ToldApart

SessionKey = tuple[TenantId, SessionId]


class Checkpoint(Struct, frozen=True, kw_only=True):
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
    """The windows that were still open, or had ended and were not closed yet."""
    mark: int = 0
    """What the record before `next_offset` is known by (see `marks`); 0 if that is not known."""
    kept: tuple[bytes, ...] = ()
    """The records that a second stage still needs, in the order of their offsets."""
    state: bytes = b""
    """What a second stage knew beside them."""
    apart: tuple[ToldApart, ...] = ()
    """What the partition tells apart of each tenant."""
    behind_ms: int = 0
    """How far behind the watermark windows had ended that were not closed yet."""


class SavedSession(Struct, frozen=True, kw_only=True):
    """What the store knows of one session: its row, and the memory its batches left, in order."""

    row: SessionRow | None
    memories: tuple[bytes, ...]


class Contested(StoreAway):
    """Another session told of a thing since it was asked for; fold again, knowing whose it is."""

    code = "contested"

    def __init__(self, owners: Mapping[bytes, int]) -> None:
        super().__init__(
            f"{len(owners)} of the things that a batch counts were told of by other sessions since;"
            " it is folded again"
        )
        self.owners = owners


class DeadLetter(Struct, frozen=True, kw_only=True):
    """What could not be read: where it was, why, and how it came."""

    topic: str
    partition: int
    offset: int
    at_ms: int
    tenant: str
    origin: str
    reason: str
    payload: bytes


class OutboxRecords(Struct, frozen=True, kw_only=True):
    """The oldest records that commits left to be sent, for one sender."""

    records: Sequence[Record]
    waiting: int
    """How many wait in all, these included, about; never fewer than there are."""
    busy: bool = False
    """Whether another sender has the outbox, so that there is nothing here."""


class CheckpointStore(Protocol):
    """What the stream asks of a store. All may raise `StoreAway`."""

    async def claim(self, *, cluster_id: str, topic: str, partition: int) -> Checkpoint:
        """Take the partition over, fencing whoever had it."""
        ...

    async def recall(
        self, sessions: Iterable[SessionKey], *, claim: Checkpoint | None = None
    ) -> Mapping[SessionKey, SavedSession]:
        """Return what is known of these sessions; one that is new is not in the answer.

        With a claim they are followed for it from here on: a commit for another partition or log
        that would replace the row of one of them fails with `StoreAway`, and has to recall anew.
        """
        ...

    async def commit(
        self,
        claim: Checkpoint,
        outcome: BatchOutcome,
        *,
        outbox: Sequence[Record] = (),
        dead_letters: Sequence[DeadLetter] = (),
    ) -> None:
        """Write everything and the offset it reaches in one transaction; raise `Fenced`.

        Raise `Contested` where another session has told by now of what the outcome counts as new.
        """
        ...

    async def owners_of(self, digests: Sequence[bytes]) -> Mapping[bytes, int]:
        """Return who told first of these things (see `analytics.measures.identities`)."""
        ...

    def sending(self, *, limit: int) -> AbstractAsyncContextManager[OutboxRecords]:
        """Give unsent records to one sender at a time; forget them if all went well.

        Of each topic and key the oldest come first, and of all keys as many as of the next.
        """
        ...
