"""Many latency sketches merged at once, in numpy.

The bytes are those of `analytics.measures.sketch`; thousands of sketches become one matrix of
counts, a row a group and a column a bucket, and a quantile is read off its running sums.
"""

from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from analytics.measures.sketch import ZERO_BUCKET, value_of

_PAIR = np.dtype([("bucket", "<i2"), ("count", "<u4")])


class Merged(Struct, frozen=True):
    """Counts a group (row) and bucket (column), and the value each bucket stands for."""

    counts: NDArray[np.int64]
    values: NDArray[np.float64]


def merge(sketches: Sequence[bytes], group_of: Sequence[int], *, groups: int) -> Merged:
    """Return the sum of the sketches of each of `groups` groups."""
    pairs = np.frombuffer(b"".join(sketches), dtype=_PAIR)
    if not len(pairs):
        return Merged(np.zeros((groups, 0), dtype=np.int64), np.zeros(0))
    sizes = np.fromiter((len(data) // _PAIR.itemsize for data in sketches), dtype=np.int64)
    rows = np.repeat(np.asarray(group_of, dtype=np.int64), sizes)
    places = pairs["bucket"].astype(np.int64) - ZERO_BUCKET
    filled = np.flatnonzero(np.bincount(places))
    column_of = np.zeros(filled[-1] + 1, dtype=np.int64)
    column_of[filled] = np.arange(len(filled))
    cells = rows * len(filled) + column_of[places]
    counts = np.bincount(cells, weights=pairs["count"], minlength=groups * len(filled))
    values = np.array([value_of(int(place) + ZERO_BUCKET) for place in filled])
    return Merged(counts.astype(np.int64).reshape(groups, len(filled)), values)


def together(merged: Merged) -> Merged:
    """Return all groups as one."""
    return Merged(merged.counts.sum(axis=0, keepdims=True), merged.values)


def quantile(merged: Merged, q: float) -> NDArray[np.float64]:
    """Return the value below which a share `q` of each group lies; NaN for an empty group."""
    totals = merged.counts.sum(axis=1)
    found = np.full(len(totals), np.nan)
    filled = totals > 0
    if not filled.any():
        return found
    passed = np.cumsum(merged.counts[filled], axis=1)
    ranks = q * (totals[filled] - 1)
    found[filled] = merged.values[np.argmax(passed > ranks[:, None], axis=1)]
    return found
