"""Events as Kafka records: CloudEvents 1.0, Kafka protocol binding, binary content mode.

The value is the event's JSON as it is; the attributes travel as `ce_*` headers beside it
(https://github.com/cloudevents/spec, kafka-protocol-binding 1.0.2, section 3.2). The identity of
a record is `(ce_source, ce_id)`: a resent event keeps both, whichever gateway carries it, so the
source names tenant and ingest path, not the gateway.
"""

from datetime import UTC, datetime
from functools import lru_cache
from typing import Final
from urllib.parse import quote

from msgspec import Struct

from analytics.contracts import events, topics, traces
from analytics.contracts.events import Event
from analytics.contracts.facts import Source

CONTENT_TYPE: Final = b"application/json"
TYPE_PREFIX: Final = "mainstem."

CACHED_MAX: Final = 4_096
"""Sources, and seconds, whose text is remembered."""

Header = tuple[str, bytes]
Headers = tuple[Header, ...]


class Record(Struct, frozen=True, kw_only=True, gc=False):
    """What is handed to a producer: where it goes, its key, value and headers."""

    topic: str
    key: bytes
    value: bytes
    headers: Headers


class _Way(Struct, frozen=True):
    topic: str
    key: str
    type: Header


_WAYS: Final = {
    kind: _Way(topic.address, topic.key, ("ce_type", f"{TYPE_PREFIX}{name}".encode()))
    for topic in topics.ALL
    for name, kind in events.TYPES.items()
    if kind in topic.carries
}
_SPECVERSION: Final[Header] = ("ce_specversion", b"1.0")
_CONTENT_TYPE: Final[Header] = ("content-type", CONTENT_TYPE)


def record(event: Event, *, payload: bytes | None = None, traceparent: str = "") -> Record:
    """Return `event` as a Kafka record; `payload` is its JSON with fields we do not know.

    `traceparent` (W3C Trace Context) is carried as the extension attribute of that name.
    """
    way = _WAYS[type(event)]
    key = str(getattr(event, way.key)).encode()
    headers: Headers = (
        _SPECVERSION,
        ("ce_id", event.id.encode()),
        _source(event.tenant, event.source),
        way.type,
        ("ce_subject", key),
        ("ce_time", rfc3339(event.at_ms).encode()),
        ("ce_partitionkey", key),
        _CONTENT_TYPE,
    )
    if traceparent:
        headers += ((traces.HEADER, traceparent.encode()),)
    return Record(
        topic=way.topic,
        key=key,
        value=events.encode(event) if payload is None else payload,
        headers=headers,
    )


def source_of(event: Event) -> str:
    """Return the CloudEvents source: a URI reference made of tenant and ingest path."""
    return _source(event.tenant, event.source)[1].decode()


@lru_cache(maxsize=CACHED_MAX)
def _source(tenant: str, ingest_path: Source) -> Header:
    plain = tenant.isascii() and tenant.isalnum()
    source = f"/tenants/{tenant if plain else quote(tenant, safe='')}/{ingest_path}"
    return "ce_source", source.encode()


def rfc3339(at_ms: int) -> str:
    """Return the instant as RFC 3339 text in UTC with milliseconds."""
    at_s, ms = divmod(at_ms, 1_000)
    return f"{_second(at_s)}.{ms:03d}Z"


@lru_cache(maxsize=CACHED_MAX)
def _second(at_s: int) -> str:
    return f"{datetime.fromtimestamp(at_s, tz=UTC):%Y-%m-%dT%H:%M:%S}"
