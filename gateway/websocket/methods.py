"""What clients can call over a socket, by name.

`events.publish` takes one event, a list, or `{"events": […], "traceparent": …}` and answers
`{"results": [verdict, …]}` once the broker has acknowledged or each is refused with a reason.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Protocol

import msgspec
from msgspec import Struct

from analytics.contracts.errors import Forbidden, Refused
from gateway.http.auth import Grant, TokenScope
from gateway.kafka import admission
from gateway.kafka.admission import Admission
from gateway.protocol import codes
from gateway.protocol.codes import ErrorReply

PUBLISH: Final = "events.publish"
INGEST_PATH: Final = "websocket"


class Link(Protocol):
    """The connection that a call came on, for answers that come later."""

    @property
    def id(self) -> str:
        """The connection's name."""
        ...

    def tell(self, data: bytes, /) -> None:
        """Send the client a message, JSON; nothing if it is gone."""
        ...


class Caller(Struct, frozen=True):
    """Who calls, and on which connection."""

    grant: Grant
    link: Link


Method = Callable[[Caller, bytes], Awaitable[bytes | ErrorReply]]
Methods = Mapping[str, Method]


def methods(way_in: Admission) -> Methods:
    """Return every method by name."""

    async def publish(caller: Caller, data: bytes) -> bytes | ErrorReply:
        grant = caller.grant
        try:
            grant.require(TokenScope.PUBLISH)
            verdicts = await way_in.take(
                admission.split(data), grant=grant, ingest_path=INGEST_PATH
            )
        except Forbidden:
            return codes.PERMISSION_DENIED
        except Refused as error:
            return ErrorReply(codes.BAD_CALL.code, str(error))
        return msgspec.json.encode({"results": verdicts})

    return {PUBLISH: publish}
