"""Events as Kafka records: CloudEvents 1.0, Kafka protocol binding, binary content mode.

The value is the event's JSON as it is; the attributes travel as `ce_*` headers beside it
(https://github.com/cloudevents/spec, kafka-protocol-binding 1.0.2, section 3.2). The identity of
a record is `(ce_source, ce_id)`: a resent event keeps both, whichever gateway carries it, so the
source names tenant and road, not the gateway.
"""

from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote

from msgspec import Struct

from analytics.contracts import events, topics
from analytics.contracts.events import Event

CONTENT_TYPE: Final = b"application/json"
TYPE_PREFIX: Final = "mainstem."

Headers = tuple[tuple[str, bytes], ...]


class Record(Struct, frozen=True, kw_only=True):
    """What is handed to a producer: where it goes, its key, value and headers."""

    topic: str
    key: bytes
    value: bytes
    headers: Headers


def record(event: Event, *, payload: bytes | None = None, traceparent: str = "") -> Record:
    """Return `event` as a Kafka record; `payload` is its JSON with fields we do not know.

    `traceparent` (W3C Trace Context) is carried as the extension attribute of that name.
    """
    key = topics.key_of(event).encode()
    headers: list[tuple[str, bytes]] = [
        ("ce_specversion", b"1.0"),
        ("ce_id", event.id.encode()),
        ("ce_source", source_of(event).encode()),
        ("ce_type", (TYPE_PREFIX + events.type_of(event)).encode()),
        ("ce_subject", key),
        ("ce_time", rfc3339(event.at_ms).encode()),
        ("ce_partitionkey", key),
        ("content-type", CONTENT_TYPE),
    ]
    if traceparent:
        headers.append(("ce_traceparent", traceparent.encode()))
    return Record(
        topic=topics.of(event).address,
        key=key,
        value=events.encode(event) if payload is None else payload,
        headers=tuple(headers),
    )


def source_of(event: Event) -> str:
    """Return the CloudEvents source: a URI reference made of tenant and road."""
    tenant = event.tenant
    plain = tenant.isascii() and tenant.isalnum()
    return f"/tenants/{tenant if plain else quote(tenant, safe='')}/{event.source}"


def rfc3339(at_ms: int) -> str:
    """Return the instant as RFC 3339 text in UTC with milliseconds."""
    at = datetime.fromtimestamp(at_ms // 1000, tz=UTC)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at_ms % 1000:03d}Z"
