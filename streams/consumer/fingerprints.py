"""What a record is known by when it is met again.

A log that was restored or cut off under the same cluster id goes on at offsets that the store has
passed, with other records. The mark of the last record that was stored is kept beside the offset;
who goes on from there reads that record once more and compares. Marks are digests of time and
value, so two records that agree in both are taken for the same.
"""

from hashlib import blake2b
from typing import Final

NO_MARK: Final = 0
"""Of nothing: there is nothing to compare with."""
_BYTES: Final = 8


def mark_of(timestamp: int, value: bytes | None) -> int:
    """Return the mark of a record: a number of 63 bits, and never `NO_MARK`."""
    digest = blake2b(
        value or b"", digest_size=_BYTES, salt=timestamp.to_bytes(8, "big", signed=True)
    )
    return int.from_bytes(digest.digest(), "big") >> 1 or 1
