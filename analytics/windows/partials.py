"""What one partition knows of windows that others know something of too, on its way to be merged.

The first stage folds each partition by itself. When it closes a window, the cell it has is final
for that partition: a `Partial`, absolute, which replaces and is never added. A `ShuffleBatch`
carries the partials of one commit to one target of the second stage, and how far the sender's
watermark has come; a parcel without partials says only that. Series are spread over a fixed number
of targets by a digest of what they are, and a record's key is its target, so that all partials of a
series meet in one partition whoever sends them and however many partitions there are.

A partition that has fallen quiet says so in its last parcel (`quiet`): nobody need wait for it.

On the wire a parcel is MessagePack: arrays in the order of the fields, measures as pairs of a
column's place in `rows.MEASURES` and an amount, zeros left out. What `decode` lets through can be
merged: nothing in it fails later, when the parcels of others would suffer for it.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct, structs

from analytics.contracts.errors import Refused
from analytics.contracts.ids import EpochMs, TenantId
from analytics.measures.columns import SUM_MAX
from analytics.measures.rows import MEASURES, WIDTHS_MS, CellKey, CellRow, Grain, Measures
from analytics.measures.sketch import BadSketch, from_bytes

PARCEL_BYTES_MAX: Final = 512 * 1024
"""What one parcel may weigh, unless a single partial weighs more; more goes into several."""
_PARTIAL_BYTES: Final = 96
"""What a partial weighs at most beside its texts, measures and sketch."""
_MEASURE_BYTES: Final = 11
"""What a measure weighs at most: two bytes and nine."""
_LETTER_BYTES: Final = 4
"""What a letter weighs at most."""
TARGETS: Final = 8
"""How many ways series are spread. Fixed: a series that moved would be told of in two places."""
_TARGETS_REMEMBERED: Final = 8_192

_MEASURE_COUNT: Final = len(MEASURES)
_FIRST_COUNT: Final = MEASURES.index("unpriced_calls")
"""So many measures there were at first: a worker that knows no others refuses these."""
_Column = Annotated[int, Meta(ge=0, lt=_FIRST_COUNT)]
_Later = Annotated[int, Meta(ge=_FIRST_COUNT, lt=_MEASURE_COUNT)]
_Amount = Annotated[int, Meta(ge=-SUM_MAX, le=SUM_MAX)]
_FIELDS: Final = CellKey.__struct_fields__


class Partial(Struct, frozen=True, array_like=True, gc=False):
    """One series over one window, as one partition closed it."""

    series: tuple[str, ...]
    """The dimensions of a `CellKey`, in its order."""
    width_ms: int
    start_ms: EpochMs
    columns: tuple[tuple[_Column, _Amount], ...]
    latency: bytes
    later: tuple[tuple[_Later, _Amount], ...] = ()
    """Columns that came later, which a worker from before passes over."""

    @property
    def key(self) -> CellKey:
        """The series as the store names it."""
        tenant, grain, *rest = self.series
        return CellKey(TenantId(tenant), Grain(grain), *rest)

    @property
    def end_ms(self) -> int:
        """Where its window ends."""
        return self.start_ms + self.width_ms

    @property
    def measures(self) -> Measures:
        """All sums, zeros too."""
        sums = [0] * _MEASURE_COUNT
        for column, amount in (*self.columns, *self.later):
            sums[column] = amount
        return Measures(*sums)


class ShuffleBatch(Struct, frozen=True, array_like=True, gc=False):
    """What one partition of a log of facts tells one partition of the second stage."""

    log_id: int
    """The store's number for the log that the partials come from."""
    partition: int
    target: int
    """Which of `TARGETS` it is for; several may share a partition of the topic."""
    watermark_ms: EpochMs
    """How far event time has come there; 0 in all but the last of several parcels of one commit."""
    partials: list[Partial]
    quiet: bool = False
    """Whether the partition is idle, with nothing open: it may say no more for long."""

    @property
    def source(self) -> tuple[int, int, int]:
        """Who sent it, and for which target."""
        return (self.log_id, self.partition, self.target)

    @property
    def until_ms(self) -> int:
        """The latest end of its windows; 0 without any."""
        return max((partial.end_ms for partial in self.partials), default=0)


class BadShuffleBatch(Refused):
    """Bytes that are no parcel of partials."""

    code = "bad-parcel"


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(ShuffleBatch)


def encode(parcel: ShuffleBatch) -> bytes:
    """Return the parcel as bytes."""
    return _encoder.encode(parcel)


def decode(data: bytes) -> ShuffleBatch:
    """Return the parcel that `encode` wrote; raise `BadShuffleBatch` for anything else."""
    try:
        parcel = _decoder.decode(data)
        for partial in parcel.partials:
            if len(partial.series) != len(_FIELDS) or partial.width_ms not in WIDTHS_MS:
                raise BadShuffleBatch(
                    f"a partial of {partial.series!r} over {partial.width_ms!r} ms"
                )
            Grain(partial.series[1])
            from_bytes(partial.latency)
    except (msgspec.MsgspecError, BadSketch, ValueError) as error:
        raise BadShuffleBatch(f"no parcel of partials: {error}") from error
    return parcel


def partial_of(cell: CellRow) -> Partial:
    """Return a closed cell as a partial."""
    amounts = tuple(enumerate(structs.astuple(cell.measures)))
    return Partial(
        tuple(str(value) for value in structs.astuple(cell.key)),
        cell.width_ms,
        cell.start_ms,
        tuple(one for one in amounts[:_FIRST_COUNT] if one[1]),
        cell.latency,
        tuple(one for one in amounts[_FIRST_COUNT:] if one[1]),
    )


@lru_cache(_TARGETS_REMEMBERED)
def target_of(key: CellKey) -> int:
    """Return which of `TARGETS` merges a series."""
    spelled = "\x1f".join(map(str, structs.astuple(key))).encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(spelled, digest_size=8).digest(), "big") % TARGETS


def parcels(
    closed: Iterable[CellRow],
    *,
    log_id: int,
    partition: int,
    watermark_ms: int,
    quiet: bool = False,
) -> list[ShuffleBatch]:
    """Return what to send to each target, in order: every one gets the watermark."""
    shares: list[list[Partial]] = [[] for _ in range(TARGETS)]
    for cell in closed:
        shares[target_of(cell.key)].append(partial_of(cell))
    sent = []
    for target, share in enumerate(shares):
        *early, last = _cut(share)
        sent += [ShuffleBatch(log_id, partition, target, 0, piece) for piece in early]
        sent.append(ShuffleBatch(log_id, partition, target, watermark_ms, last, quiet))
    return sent


def _cut(share: Sequence[Partial]) -> list[list[Partial]]:
    pieces: list[list[Partial]] = [[]]
    size = 0
    for partial in share:
        weight = _weight(partial)
        if pieces[-1] and size + weight > PARCEL_BYTES_MAX:
            pieces.append([])
            size = 0
        pieces[-1].append(partial)
        size += weight
    return pieces


def _weight(partial: Partial) -> int:
    """Return no less than a partial weighs."""
    texts = "".join(partial.series)
    letters = len(texts) if texts.isascii() else len(texts) * _LETTER_BYTES
    amounts = (len(partial.columns) + len(partial.later)) * _MEASURE_BYTES
    return _PARTIAL_BYTES + letters + amounts + len(partial.latency)
