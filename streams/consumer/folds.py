"""What a step asks of the fold of its partition, and what some folds can do beside it."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeVar, runtime_checkable

from analytics.measures.rows import BatchOutcome, SessionRow
from streams.store.checkpoint import SessionKey

A_contra = TypeVar("A_contra", contravariant=True)


class Fold(Protocol[A_contra]):
    """What counts the records of one partition: a `PartitionFold`, a `MergeFold`, or a plainer."""

    @property
    def open_count(self) -> int:
        """How many cells of windows are open."""
        ...

    @property
    def remembered_count(self) -> int:
        """How many entries are in memory beside them: of sessions, ids or partials."""
        ...

    def unknown(self, arrivals: Sequence[A_contra]) -> set[SessionKey]:
        """Return the sessions that have to be remembered before these are folded."""
        ...

    def remember(self, key: SessionKey, row: SessionRow | None, memories: Sequence[bytes]) -> None:
        """Take what the store knows of a session; nothing for one that is new."""
        ...

    def fold(
        self, arrivals: Sequence[A_contra], *, first_offset: int, next_offset: int, now_ms: int
    ) -> BatchOutcome:
        """Count these, and say what has to be written."""
        ...

    def tick(self, *, next_offset: int, now_ms: int) -> BatchOutcome | None:
        """Let time pass while the partition is quiet."""
        ...


@runtime_checkable
class Telling(Protocol):
    """A fold whose records may tell again what other sessions told: a `PartitionFold`."""

    def copies(self, arrivals: Sequence[Any]) -> list[bytes]:
        """Return the digests of what these tell that may be another session's."""
        ...

    def learn(self, owners: Mapping[bytes, int]) -> None:
        """Take in whose some things are, for what is folded next."""
        ...


@runtime_checkable
class Settling(Protocol):
    """A fold that closes windows in slices: a `PartitionFold`."""

    @property
    def closing_count(self) -> int:
        """How many windows of series have ended and wait to be closed."""
        ...

    def settle(self, *, next_offset: int, now_ms: int) -> BatchOutcome:
        """Close some of them."""
        ...
