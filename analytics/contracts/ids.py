"""Typed names and times that every room passes around.

Ids are opaque text chosen by senders or by us; nothing parses them. Times on the wire are
milliseconds since 1970-01-01 UTC. `derived` makes an id from what an event naturally is, so that
the same fact sent twice carries the same id whoever sends it.
"""

import hashlib
from typing import Annotated, Final, NewType

from msgspec import Meta

ID_LENGTH_MAX: Final = 200
"""Characters an id may have; longer ones are refused."""

EpochMs = Annotated[int, Meta(ge=0, le=253_402_300_799_999)]
"""Milliseconds since 1970-01-01 UTC, up to the year 9999."""

Count = Annotated[int, Meta(ge=0, le=2**62)]
"""How many; never negative."""

EventId = NewType("EventId", str)
TenantId = NewType("TenantId", str)
SessionId = NewType("SessionId", str)
ConnectionId = NewType("ConnectionId", str)

DEFAULT_TENANT: Final = TenantId("local")
"""The tenant of a laptop: what `mainstem up` issues its token for."""


def derived(*parts: str | int) -> EventId:
    """Return the id of the fact that `parts` name: the same parts give the same id.

    A 128-bit BLAKE2b digest (RFC 7693) over the parts, each preceded by its length so that no two
    lists of parts read alike.
    """
    named = [str(part).encode("utf-8", "surrogatepass") for part in parts]
    spelled = b"".join([len(data).to_bytes(4, "big") + data for data in named])
    return EventId(hashlib.blake2b(spelled, digest_size=16).hexdigest())
