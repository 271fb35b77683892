"""A column of values as a column of sketch buckets, and sorted counts as the bytes of sketches.

The buckets are exactly those of `sketch.bucket_of`, and the bytes those of `sketch.to_bytes`; only
the work is done for whole columns.
"""

from functools import cache
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from analytics.measures.sketch import COUNT_MAX, bucket_of

Ints = NDArray[np.int64]

TABLE_SIZE: Final = 1 << 16
"""Values below it, such as durations up to a minute, are looked up."""
_PAIR: Final = np.dtype([("bucket", "<i2"), ("count", "<u4")])


def buckets_of(values: Ints) -> Ints:
    """Return the bucket of each value; none of them may be negative."""
    table = _table()
    looked_up: Ints = table[np.minimum(values, TABLE_SIZE - 1)]
    large = np.flatnonzero(values >= TABLE_SIZE)
    if large.size:
        looked_up[large] = [bucket_of(value) for value in values[large].tolist()]
    return looked_up


def sketches(buckets: Ints, counts: Ints, ends: Ints) -> list[bytes]:
    """Return the sketches of consecutive runs of sorted buckets, each run up to its end."""
    pairs = np.empty(len(buckets), _PAIR)
    pairs["bucket"] = buckets
    pairs["count"] = np.minimum(counts, COUNT_MAX)
    data = pairs.tobytes()
    bounds = (ends * _PAIR.itemsize).tolist()
    return [data[start:end] for start, end in pairwise((0, *bounds))]


@cache
def _table() -> Ints:
    return np.array([bucket_of(value) for value in range(TABLE_SIZE)], np.int64)
