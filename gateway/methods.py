"""What clients can call over a socket, by name.

`events.publish` takes one event, a list, or `{"events": […], "traceparent": …}` and answers
`{"results": [verdict, …]}` once the broker has acknowledged or each is refused with a reason.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import msgspec

from analytics.contracts.errors import Forbidden, Refused
from gateway import admission
from gateway.admission import Admission
from gateway.auth import Grant, Scope
from gateway.protocol import codes
from gateway.protocol.codes import Fault

PUBLISH: Final = "events.publish"
ROAD: Final = "websocket"

Method = Callable[[Grant, bytes], Awaitable[bytes | Fault]]
Methods = Mapping[str, Method]


def methods(way_in: Admission) -> Methods:
    """Return every method by name."""

    async def publish(grant: Grant, data: bytes) -> bytes | Fault:
        try:
            grant.require(Scope.PUBLISH)
            verdicts = await way_in.take(admission.split(data), grant=grant, road=ROAD)
        except Forbidden:
            return codes.PERMISSION_DENIED
        except Refused as error:
            return Fault(codes.BAD_CALL.code, str(error))
        return msgspec.json.encode({"results": verdicts})

    return {PUBLISH: publish}
