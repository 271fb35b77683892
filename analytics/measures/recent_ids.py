"""The ids lately seen of each subject (a connection, a pull request): what is needed to count once.

Each batch leaves one piece of memory for a subject it touched, written in the batch's transaction;
the pieces of a subject, in order, rebuild what is known of it. A piece is a little-endian uint32
length and as many bytes of MessagePack: a list of the digests of the ids, as one. A longer list was
written when subjects were remembered as sessions are, and holds digests of the former kind.

Subjects, ids of one subject and ids altogether have limits. What is forgotten of a partition's
memory is recalled from the store when the subject comes up again; ids beyond `ids_max` of their
subject, the oldest first, are not: one that old would count again if it came again.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Final

import msgspec
from msgspec import Struct

from analytics.contracts.errors import Refused
from analytics.contracts.ids import SessionId, TenantId
from analytics.measures.rows import SeenRow
from analytics.measures.session_memory import DIGEST_BYTES, digest_of, former_digest_of

Subject = tuple[TenantId, SessionId]

_LENGTH_BYTES: Final = 4
_NOTHING: Final = msgspec.Raw(b"")


class BadIds(Refused):
    """Bytes that are no memory of ids; they were not written by this version or broke."""

    code = "bad-ids"


class DedupLimits(Struct, frozen=True, kw_only=True):
    """How much one partition remembers."""

    subjects_max: int
    ids_max: int
    """Ids of one subject."""
    remembered_max: int
    """Ids of all subjects together."""


class _Piece(Struct, array_like=True):
    """What one batch adds to a memory."""

    ids: bytes


class _Found(Struct, array_like=True):
    """A piece as it is found."""

    ids: bytes
    of_session: msgspec.Raw = _NOTHING
    """What else there is in a memory of a session."""


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(_Found)


class RecentIds:
    """The subjects of one partition whose ids are in memory, least recently touched first."""

    def __init__(self, limits: DedupLimits) -> None:
        self._limits = limits
        self._known: dict[Subject, dict[bytes, None]] = {}
        self._fresh: dict[Subject, list[bytes]] = {}
        self._former: set[Subject] = set()
        """Subjects among whose digests are some of the former kind."""
        self._count = 0

    def __len__(self) -> int:
        """Return how many ids are in memory."""
        return self._count

    def unknown(self, subjects: Iterable[Subject]) -> set[Subject]:
        """Return those of which it has to be remembered what the store knows."""
        return set(subjects) - self._known.keys()

    def remember(self, subject: Subject, memories: Sequence[bytes]) -> None:
        """Take up what the store knows of a subject: nothing if it is new."""
        self._count -= len(self._known.get(subject, ()))
        ids: dict[bytes, None] = {}
        for piece in chain.from_iterable(map(_pieces, memories)):
            starts = range(0, len(piece.ids), DIGEST_BYTES)
            ids.update(dict.fromkeys(piece.ids[at : at + DIGEST_BYTES] for at in starts))
            if bytes(piece.of_session):
                self._former.add(subject)
        _trim(ids, self._limits.ids_max)
        self._known[subject] = ids
        self._count += len(ids)

    def are_new(self, subjects: Sequence[Subject], event_ids: Sequence[str]) -> list[bool]:
        """Say of each id of a subject whether it comes for the first time, and note it."""
        known, fresh, former = self._known, self._fresh, self._former
        verdicts: list[bool] = []
        for subject, event_id in zip(subjects, event_ids, strict=True):
            ids = known.get(subject)
            if ids is None:
                raise LookupError(f"{subject!r} was not remembered before the fold")
            digest = digest_of(event_id)
            if digest in ids or (subject in former and former_digest_of(event_id) in ids):
                verdicts.append(False)
                continue
            verdicts.append(True)
            ids[digest] = None
            if subject in fresh:
                fresh[subject].append(digest)
            else:
                fresh[subject] = [digest]
        return verdicts

    def take(self, *, batch_offset: int) -> tuple[SeenRow, ...]:
        """Return what the batch adds to each subject's memory, and forget what is too much."""
        fresh, self._fresh = self._fresh, {}
        rows = tuple(
            SeenRow(
                tenant=subject[0],
                session_id=subject[1],
                batch_offset=batch_offset,
                memory=_encoded(digests),
            )
            for subject, digests in fresh.items()
        )
        for subject, digests in fresh.items():
            ids = self._known.pop(subject)
            self._count += len(digests) - _trim(ids, self._limits.ids_max)
            self._known[subject] = ids
        self._forget(keep=len(fresh))
        return rows

    def _forget(self, *, keep: int) -> None:
        spare = len(self._known) - keep
        while spare > 0 and (
            len(self._known) > self._limits.subjects_max
            or self._count > self._limits.remembered_max
        ):
            oldest = next(iter(self._known))
            self._count -= len(self._known.pop(oldest))
            self._former.discard(oldest)
            spare -= 1


def _encoded(digests: Sequence[bytes]) -> bytes:
    piece = _encoder.encode(_Piece(b"".join(digests)))
    return len(piece).to_bytes(_LENGTH_BYTES, "little") + piece


def _pieces(memory: bytes) -> Iterator[_Found]:
    at = 0
    while at < len(memory):
        length = int.from_bytes(memory[at : at + _LENGTH_BYTES], "little")
        at += _LENGTH_BYTES
        data = memory[at : at + length]
        at += length
        if len(data) != length:
            raise BadIds(f"a memory of ids of {len(memory)!r} bytes breaks off; restore the store")
        try:
            yield _decoder.decode(data)
        except msgspec.MsgspecError as error:
            raise BadIds(f"a memory of ids cannot be read: {error}; restore the store") from error


def _trim(ids: dict[bytes, None], limit: int) -> int:
    """Forget the oldest ids beyond the limit; return how many."""
    excess = max(0, len(ids) - limit)
    for _ in range(excess):
        del ids[next(iter(ids))]
    return excess
