"""Records of `deadletters.v1`: what could not be read, as it came, with the reason in its headers.

The value is the payload byte for byte, cut at `PAYLOAD_BYTES_MAX`; the header `bytes` always holds
its whole length. Header values are UTF-8 text.
"""

from typing import Final

from analytics.contracts import topics
from analytics.contracts.cloudevents import Record
from analytics.contracts.ids import TenantId

PAYLOAD_BYTES_MAX: Final = 262_144
"""Bytes of a payload that are kept."""
REASON_LENGTH_MAX: Final = 1_000

REASON: Final = "reason"
ORIGIN: Final = "origin"
TENANT: Final = "tenant"
BYTES: Final = "bytes"


def record(
    payload: bytes, *, reason: str, origin: str, tenant: TenantId, whole_bytes: int = 0
) -> Record:
    """Return the dead letters record for `payload`; `origin` is the ingest path by which it came.

    `whole_bytes` is how much of it there was, where it was cut before.
    """
    return Record(
        topic=topics.DEAD_LETTERS.address,
        key=tenant.encode(),
        value=payload[:PAYLOAD_BYTES_MAX],
        headers=(
            (REASON, reason[:REASON_LENGTH_MAX].encode("utf-8", "replace")),
            (ORIGIN, origin.encode("utf-8", "replace")),
            (TENANT, tenant.encode("utf-8", "replace")),
            (BYTES, str(whole_bytes or len(payload)).encode()),
        ),
    )
