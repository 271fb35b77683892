"""Quantiles of values, of classic buckets and of sketches, as Prometheus takes them.

Source: Prometheus' `promql/quantile.go` (quantile, bucketQuantile, coalesceBuckets,
ensureMonotonic).
"""

from collections.abc import Mapping, Sequence

import numpy as np

from analytics.measures import sketch
from analytics.promql.series import Floats


def _edge(share: float) -> float | None:
    """Return the answer for a share that is none."""
    if np.isnan(share):
        return np.nan
    if share < 0:
        return -np.inf
    return np.inf if share > 1 else None


def quantile(values: Floats, share: float) -> float:
    """Return the value below which a share of `values` lies; NaN counts as the smallest."""
    edge = _edge(share)
    if edge is not None or not len(values):
        return np.nan if edge is None else edge
    ordered = np.sort(values)
    ordered = np.roll(ordered, int(np.isnan(ordered).sum()))
    rank = share * (len(ordered) - 1)
    lower = max(0, int(np.floor(rank)))
    upper = min(len(ordered) - 1, lower + 1)
    weight = rank - np.floor(rank)
    return float(ordered[lower] * (1 - weight) + ordered[upper] * weight)


def of_sketch(counts: Mapping[int, int], share: float) -> float:
    """Return a quantile of a sketch, NaN of an empty one."""
    edge = _edge(share)
    if edge is not None:
        return edge
    found = sketch.quantile(counts, share)
    return np.nan if found is None else found


def of_buckets(buckets: Sequence[tuple[float, float]], share: float) -> float:
    """Return a quantile from pairs of an upper bound and how many values are at most that."""
    edge = _edge(share)
    if edge is not None:
        return edge
    bounds, counts = _tidied(buckets)
    if len(bounds) < 2 or not np.isposinf(bounds[-1]):
        return np.nan
    if counts[-1] == 0:
        return np.nan
    rank = share * counts[-1]
    place = int(np.searchsorted(counts[:-1], rank))
    if place == len(bounds) - 1:
        return bounds[-2]
    if place == 0 and bounds[0] <= 0:
        return bounds[0]
    start, before = (bounds[place - 1], counts[place - 1]) if place else (0.0, 0.0)
    within = (rank - before) / (counts[place] - before)
    return float(start + (bounds[place] - start) * within)


def _tidied(buckets: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    """Sort buckets, add those of one bound together, and let counts never fall."""
    added: dict[float, float] = {}
    for bound, count in sorted(buckets, key=lambda pair: pair[0]):
        added[bound] = added.get(bound, 0.0) + count
    counts, highest = [], -np.inf
    for count in added.values():
        highest = max(highest, count) if count == count else highest  # noqa: PLR0124
        counts.append(highest)
    return list(added), counts
