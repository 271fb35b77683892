"""What a client that comes back is given: an unbroken run, or the word that it is broken.

A run is unbroken if all records of the partition after the client's offset are known: from the
ring, or from slices of the log that reach up to it. Nothing else is called recovered. A client with
another epoch was in another log. Offsets of a channel rise and need not be dense, since its
partition holds other channels too.
"""

from collections.abc import Sequence

from msgspec import Struct

from gateway.channels.filters import Accepts
from gateway.channels.names import Stream
from gateway.channels.records import StreamPublication
from gateway.channels.ring import Ring
from gateway.channels.values import Joined, Position, Publication


class Slice(Struct, frozen=True, kw_only=True):
    """All lines of the records in `[first, end)` of one partition, in order."""

    first: int
    end: int
    lines: tuple[StreamPublication, ...] = ()


class Wanted(Struct, frozen=True, kw_only=True):
    """Which publications somebody wants: of what, after which offset, how many at most."""

    stream: Stream
    accepts: Accepts | None
    after: int
    publications_max: int


def is_of(epoch: str, since: Position) -> bool:
    """Say whether a position is of the log with this epoch; one without an epoch is of any."""
    return since.epoch in {"", epoch} and since.offset >= 0


def missing(ring: Ring, after: int, slices: Sequence[Slice]) -> tuple[int, int] | None:
    """Return the first offsets `[first, end)` after `after` that nobody here knows."""
    known = after
    for part in sorted(slices, key=lambda part: part.first):
        if known >= ring.first:
            return None
        if part.first > known:
            return known, min(part.first, ring.first)
        known = max(known, part.end)
    return None if ring.first <= known else (known, ring.first)


def run(ring: Ring, slices: Sequence[Slice], wanted: Wanted) -> tuple[Publication, ...] | None:
    """Return the unbroken run, ascending; `None` if it is broken, or longer than it may be."""
    if wanted.after > ring.end or missing(ring, wanted.after, slices) is not None:
        return None
    found: list[StreamPublication] = []
    for line in ring.after(wanted.stream, wanted.after):
        if wanted.accepts is None or wanted.accepts(line.publication.tags):
            found.append(line)
            if len(found) > wanted.publications_max:
                return None
    older = _older(slices, wanted, before=ring.first + 1)
    if len(found) + len(older) > wanted.publications_max:
        return None
    return tuple(line.publication for line in (*older, *reversed(found)))


def answer(
    epoch: str, top: int, since: Position | None, found: tuple[Publication, ...] | None
) -> Joined:
    """Return what a joining client is told; `found` is its run, if there is one.

    With nothing missed the client is moved to the top, since all up to there is known to it.
    """
    if since is None:
        return Joined(recoverable=True, epoch=epoch, offset=top)
    if found is None:
        return Joined(recoverable=True, epoch=epoch, offset=top, was_recovering=True)
    return Joined(
        recoverable=True,
        epoch=epoch,
        offset=since.offset if found else top,
        was_recovering=True,
        recovered=True,
        publications=found,
    )


def _older(slices: Sequence[Slice], wanted: Wanted, *, before: int) -> list[StreamPublication]:
    """Return what slices hold for `wanted` below `before`, ascending, each line once."""
    found: dict[int, StreamPublication] = {}
    for part in slices:
        for line in part.lines:
            if wanted.after < line.position < before and line.stream == wanted.stream:
                found[line.position] = line
    accepts = wanted.accepts
    chosen = (found[position] for position in sorted(found))
    return [line for line in chosen if accepts is None or accepts(line.publication.tags)]
