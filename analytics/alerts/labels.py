"""Label sets: their fingerprint, how they are written, and sets that can be keys.

The fingerprint is the 64-bit FNV-1a hash that prometheus/common computes over the sorted labels
(`LabelSet.Fingerprint`), so an alert has the same one here as in Alertmanager.
"""

from collections.abc import Iterable, Mapping
from typing import Final

Labels = Mapping[str, str]
Frozen = tuple[tuple[str, str], ...]
"""A label set as sorted pairs."""

_OFFSET: Final = 0xCBF29CE484222325
_PRIME: Final = 0x100000001B3
_MASK: Final = 2**64 - 1


def frozen(labels: Labels) -> Frozen:
    """Return `labels` sorted, without empty ones: an empty label is a missing one."""
    return tuple(sorted((name, value) for name, value in labels.items() if value))


def fingerprint(labels: Labels) -> str:
    """Return the 16 hex digits by which Alertmanager knows a label set."""
    state = _OFFSET
    for name in sorted(labels):
        for byte in (*name.encode(), 0xFF, *labels[name].encode(), 0xFF):
            state = ((state ^ byte) * _PRIME) & _MASK
    return f"{state:016x}"


def written(labels: Labels) -> str:
    """Return a label set as Prometheus writes it: `{a="b", c="d"}`."""
    return "{" + ", ".join(f"{name}={quoted(labels[name])}" for name in sorted(labels)) + "}"


def quoted(value: str) -> str:
    """Return a text in double quotes, as Go's `%q` does for what can be printed."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + escaped.replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r") + '"'


def in_all(sets: Iterable[Labels]) -> dict[str, str]:
    """Return the pairs that every one of `sets` has."""
    every = [set(labels.items()) for labels in sets]
    return dict(sorted(set.intersection(*every))) if every else {}
