"""Quantiles of durations from counts in logarithmic buckets.

Bucket `i` counts values in `(base^i, base^(i+1)]` with `base = 2^(1/32)`: scale 5 of the
exponential histogram of OpenTelemetry and of the native one of Prometheus, so one sketch feeds both
and SQL. A quantile is off by at most `RELATIVE_ERROR` of the value. Merging adds counts, so it does
not matter in which order or in how many pieces values came: the same values give the same bytes.

The bytes are pairs of a little-endian int16 bucket and uint32 count, sorted by bucket; zero has the
bucket `ZERO_BUCKET`. Counts saturate at `COUNT_MAX`; what is not above zero is left out.
"""

import struct
from collections.abc import Mapping
from functools import lru_cache
from math import ceil, log2
from typing import Final

from analytics.contracts.errors import Refused

Counts = dict[int, int]
"""How many values fell into each bucket."""

SCALE: Final = 5
_PER_DOUBLING: Final = 1 << SCALE
BASE: Final = 2.0 ** (1 / _PER_DOUBLING)
RELATIVE_ERROR: Final = (BASE - 1) / (BASE + 1)
"""A quantile's distance from the true value, in parts of it: 1.1%."""

ZERO_BUCKET: Final = -32_768
BUCKET_MIN: Final = -32_767
BUCKET_MAX: Final = 32_767
COUNT_MAX: Final = 2**32 - 1

_PAIR: Final = struct.Struct("<hI")


@lru_cache(maxsize=512)
def _pairs(count: int) -> struct.Struct:
    """Return the layout of so many pairs; there are at most as many as buckets."""
    return struct.Struct("<" + "hI" * count)


class BadSketch(Refused):
    """Bytes that are no sketch."""

    code = "bad-sketch"


@lru_cache(maxsize=16_384)
def bucket_of(value: float) -> int:
    """Return the bucket of `value`; anything not above zero is in the zero bucket."""
    if value <= 0:
        return ZERO_BUCKET
    return ceil(log2(value) * _PER_DOUBLING) - 1


def value_of(bucket: int) -> float:
    """Return the value that stands for a bucket: at most `RELATIVE_ERROR` from all in it."""
    if bucket == ZERO_BUCKET:
        return 0.0
    upper: float = 2.0 ** ((bucket + 1) / _PER_DOUBLING)
    return 2.0 * upper / (1.0 + BASE)


def add(counts: Counts, value: float) -> None:
    """Count one value."""
    bucket = bucket_of(value)
    counts[bucket] = counts.get(bucket, 0) + 1


def merge(into: Counts, other: Mapping[int, int]) -> None:
    """Add the counts of `other`."""
    for bucket, count in other.items():
        into[bucket] = into.get(bucket, 0) + count


def quantile(counts: Mapping[int, int], q: float) -> float | None:
    """Return the value below which a share `q` of the values lies, or None of nothing."""
    total = sum(counts.values())
    if total <= 0:
        return None
    rank = q * (total - 1)
    passed = 0
    last = ZERO_BUCKET
    for last in sorted(counts):
        passed += counts[last]
        if passed > rank:
            break
    return value_of(last)


def to_bytes(counts: Mapping[int, int]) -> bytes:
    """Return the sketch as bytes: the same counts give the same bytes."""
    pairs: list[int] = []
    for bucket in sorted(counts):
        count = counts[bucket]
        if count > 0:
            pairs += (bucket, min(count, COUNT_MAX))
    return _pairs(len(pairs) // 2).pack(*pairs)


def from_bytes(data: bytes) -> Counts:
    """Return the counts that `to_bytes` wrote; raise `BadSketch` for anything else."""
    if len(data) % _PAIR.size:
        raise BadSketch(f"a sketch of {len(data)} bytes is not made of {_PAIR.size}-byte pairs")
    counts: Counts = {}
    for bucket, count in _PAIR.iter_unpack(data):
        counts[bucket] = counts.get(bucket, 0) + count
    return counts
