"""What every route needs."""

from collections.abc import Callable, Hashable
from functools import partial
from typing import Final, ParamSpec, TypeVar

from msgspec import Struct, field
from starlette.requests import Request

from analytics.contracts.errors import BadBody, TooLarge
from gateway import metrics
from gateway.http import limits
from gateway.http.auth import Grant
from gateway.http.body_readers import Readers
from gateway.http.guard import GRANT
from gateway.http.health import Health
from gateway.http.truncated_json import TruncatedBody
from gateway.kafka.admission import Admission
from gateway.kafka.publisher import Publisher
from gateway.kafka.shares import Inflated
from gateway.otlp.lineage import Lineage

OFFLOAD_BYTES: Final = 65_536
"""Bodies larger than this are read in a thread, so that sockets and hooks do not wait for them."""
JSON: Final = "application/json"
NDJSON: Final = "application/x-ndjson"
PROTOBUF: Final = "application/x-protobuf"

Given = ParamSpec("Given")
Read = TypeVar("Read")


class Parts(Struct, frozen=True, kw_only=True):
    """The gateway's insides, as its routes see them."""

    publisher: Publisher
    admission: Admission
    wall_ms: Callable[[], int]
    health: Callable[[], Health]
    body_bytes_max: int
    hook_bytes_max: int
    hook_body_bytes_max: int
    body_seconds_max: float
    body_bytes_per_second_min: int
    bodies: limits.Bodies
    readers: Readers
    keep_content: bool
    inflated: Inflated
    lineage: Lineage = field(default_factory=Lineage)

    async def body(self, request: Request, *, bytes_max: int | None = None) -> bytes:
        """Return the request's body within the limits."""
        grant: Grant | None = request.scope.get(GRANT)
        packed = grant is not None and limits.is_packed(request)
        if grant is not None and packed:
            self.inflated.check(grant.tenant)
        bounds = self._bounds(self.body_bytes_max if bytes_max is None else bytes_max)
        held = request.scope[limits.HELD] = self.bodies.hold(_sender(request))
        try:
            body = await limits.read_body(request, bounds, held=held)
        except TooLarge:
            metrics.LIMITS_HIT.labels("body_bytes_max").inc()
            if grant is not None and packed:
                self.inflated.count(grant.tenant, self.body_bytes_max)
            raise
        if grant is not None and packed:
            self.inflated.count(grant.tenant, len(body))
        return body

    async def hook_body(self, request: Request) -> TruncatedBody:
        """Return a hook's body, cut where it is larger than what is kept of one."""
        bytes_max = max(self.hook_body_bytes_max, self.hook_bytes_max)
        kept_max = self.hook_bytes_max
        if limits.is_plain(request):
            try:
                bounds = self._bounds(bytes_max)
                cut = await limits.cut_body(request, bounds, kept_max=kept_max)
            except TooLarge:
                metrics.LIMITS_HIT.labels("hook_body_bytes_max").inc()
                raise
        else:
            body = await self.body(request, bytes_max=bytes_max)
            cut = await limits.cut_whole(body, kept_max=kept_max)
        if cut.lost:
            metrics.LIMITS_HIT.labels("hook_bytes_max").inc()
        return cut

    def _bounds(self, bytes_max: int) -> limits.BodyBounds:
        return limits.BodyBounds(
            bytes_max=bytes_max,
            seconds_max=self.body_seconds_max,
            bytes_per_second_min=self.body_bytes_per_second_min,
        )

    async def off_loop(
        self,
        request: Request,
        size: int,
        read: Callable[Given, Read],
        *given: Given.args,
        **named: Given.kwargs,
    ) -> Read:
        """Call `read`, beside the loop and in the sender's turn where `size` is large."""
        try:
            if size <= OFFLOAD_BYTES:
                return read(*given, **named)
            return await self.readers.run(_sender(request), partial(read, *given, **named))
        except RecursionError as error:
            raise BadBody("the body is nested too deep; send it flatter") from error


def _sender(request: Request) -> Hashable:
    """Return whose turn and memory a body is: its tenant's, else its address's."""
    grant: Grant | None = request.scope.get(GRANT)
    if grant is not None:
        return grant.tenant
    peer = request.scope.get("client")
    return peer and peer[0]
