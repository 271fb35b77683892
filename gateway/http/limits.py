"""Request bodies within limits: as sent, and after decompression.

A body is refused as soon as it is known to be too large: by its Content-Length, while it comes
(chunked bodies have no length), or while it is inflated, so a gzip bomb costs no more than the
limit. A body has to come within its time, and not slower than a rate. What is inflated beyond the
first stretch is inflated in a thread: zlib lets others have the interpreter meanwhile. Bodies in
memory count together (see `Bodies`).
"""

import asyncio
import zlib
from collections.abc import Callable, Collection, Hashable
from typing import Final

from msgspec import Struct
from starlette.requests import Request

from analytics.contracts.errors import BadBody, TooLarge, Unavailable, UnsupportedMediaType
from gateway import metrics
from gateway.http.problem import BodyTooSlow
from gateway.http.truncated_json import Cutter, TruncatedBody

GZIP_NAMES: Final = frozenset({"gzip", "x-gzip"})
PLAIN_NAMES: Final = frozenset({"", "identity"})
GZIP_WINDOW: Final = 31
"""zlib's sign for a gzip header and the largest window."""
CUT_BYTES: Final = 65_536
"""Bytes of an inflated body that are cut before others get their turn."""
MEMBERS_MAX: Final = 64
"""Gzip members a body may be made of."""
INLINE_BYTES: Final = 65_536
"""Inflated bytes beyond which a thread inflates the rest."""
STEP_BYTES: Final = 1_048_576
"""Inflated bytes between two looks at what there is room for."""
GRACE_S: Final = 5.0
"""How long a body may take whatever its rate."""
HELD: Final = "mainstem.held"
"""Where a request's scope holds what its bodies take."""
RETRY_MS: Final = 1_000


class BodyBounds(Struct, frozen=True, kw_only=True):
    """What a body may have and take."""

    bytes_max: int
    seconds_max: float
    bytes_per_second_min: int = 0


class Bodies:
    """The memory that request bodies take until they are answered, in all and by each sender.

    A sender (a tenant, or an address without a token) has half of it at most, so that there is room
    left for the others.
    """

    def __init__(self, *, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._by_sender: dict[Hashable, int] = {}
        self.bytes = 0

    def hold(self, sender: Hashable) -> "BodyAllowance":
        """Return a place for a body, empty yet."""
        return BodyAllowance(self, sender)

    def take(self, sender: Hashable, size: int) -> None:
        """Count more bytes; raise `Unavailable` where there is no room."""
        own = self._by_sender.get(sender, 0)
        if own and (own + size > self._bytes_max // 2 or self.bytes + size > self._bytes_max):
            metrics.LIMITS_HIT.labels("bodies_bytes_max").inc()
            raise Unavailable(
                "too many large bodies are being read; send this one again later",
                retry_after_ms=RETRY_MS,
            )
        self._by_sender[sender] = own + size
        self.bytes += size

    def give_back(self, sender: Hashable, size: int) -> None:
        """Count bytes no more."""
        self.bytes -= size
        left = self._by_sender.pop(sender, 0) - size
        if left > 0:
            self._by_sender[sender] = left


class BodyAllowance:
    """What one request's body takes."""

    __slots__ = ("_bodies", "_bytes", "_sender")

    def __init__(self, bodies: Bodies, sender: Hashable) -> None:
        self._bodies = bodies
        self._sender = sender
        self._bytes = 0

    def grow(self, size: int) -> None:
        """Take more."""
        self._bodies.take(self._sender, size)
        self._bytes += size

    def release(self) -> None:
        """Give all of it back."""
        self._bodies.give_back(self._sender, self._bytes)
        self._bytes = 0


def media_type(request: Request, allowed: Collection[str]) -> str:
    """Return the body's media type; raise `UnsupportedMediaType` if it is not in `allowed`."""
    named = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if named not in allowed:
        wanted = " or ".join(sorted(allowed))
        raise UnsupportedMediaType(f"content type {named!r} is not taken here; send {wanted}")
    return named


def is_plain(request: Request) -> bool:
    """Say whether the body comes as it is."""
    return request.headers.get("content-encoding", "").strip().lower() in PLAIN_NAMES


def is_packed(request: Request) -> bool:
    """Say whether the body has to be inflated."""
    return request.headers.get("content-encoding", "").strip().lower() in GZIP_NAMES


async def read_body(
    request: Request, bounds: BodyBounds, *, held: BodyAllowance | None = None
) -> bytes:
    """Return the whole body, inflated; raise `TooLarge`, `BadBody`, `UnsupportedMediaType`."""
    encoding = request.headers.get("content-encoding", "").strip().lower()
    if encoding not in GZIP_NAMES | PLAIN_NAMES:
        raise UnsupportedMediaType(
            f"content encoding {encoding!r} is not taken here; send gzip or none"
        )
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > bounds.bytes_max:
        raise _too_large(bounds.bytes_max)
    parts: list[bytes] = []

    def take(part: bytes) -> None:
        if held is not None and part:
            held.grow(len(part))
        parts.append(part)

    await _collect(request, bounds, take)
    body = b"".join(parts)
    if encoding not in GZIP_NAMES:
        return body
    return await _inflated(body, bytes_max=bounds.bytes_max, held=held)


async def _inflated(body: bytes, *, bytes_max: int, held: BodyAllowance | None) -> bytes:
    inflation = Inflation(body, bytes_max=bytes_max)
    parts = [inflation.step(INLINE_BYTES)]
    while not inflation.done:
        if held is not None:
            held.grow(len(parts[-1]))
        parts.append(await asyncio.to_thread(inflation.step, STEP_BYTES))
    return b"".join(parts)


async def cut_body(request: Request, bounds: BodyBounds, *, kept_max: int) -> TruncatedBody:
    """Return a plain body, of which no more is ever held than is kept: its JSON is cut beyond that.

    Raise as `read_body` does.
    """
    parts: list[bytes] = []
    cutter: Cutter | None = None
    size = 0

    def take(part: bytes) -> None:
        nonlocal cutter, size
        size += len(part)
        parts.append(part)
        if cutter is None and size > kept_max:
            cutter = Cutter(kept_max=kept_max)
        if cutter is not None:
            _feed(cutter, parts)

    await _collect(request, bounds, take)
    return TruncatedBody(b"".join(parts), {}) if cutter is None else cutter.result()


async def cut_whole(body: bytes, *, kept_max: int) -> TruncatedBody:
    """Return a body that is there already, its JSON cut where it is large."""
    if len(body) <= kept_max:
        return TruncatedBody(body, {})
    cutter = Cutter(kept_max=kept_max)
    for start in range(0, len(body), CUT_BYTES):
        cutter.feed(body[start : start + CUT_BYTES])
        await asyncio.sleep(0)
    return cutter.result()


def _feed(cutter: Cutter, parts: list[bytes]) -> None:
    for part in parts:
        cutter.feed(part)
    parts.clear()


def inflate(body: bytes, *, bytes_max: int) -> bytes:
    """Return what a gzip body holds; raise `TooLarge` past the limit, `BadBody` if it is torn."""
    return Inflation(body, bytes_max=bytes_max).step(bytes_max + 1)


class Inflation:
    """A gzip body on its way to what it holds, step by step."""

    def __init__(self, body: bytes, *, bytes_max: int) -> None:
        self.done = False
        self._rest = body
        self._bytes_max = self._room = bytes_max
        self._members = 1
        self._member = zlib.decompressobj(GZIP_WINDOW)

    def step(self, size: int) -> bytes:
        """Return at most `size` bytes more; raise `TooLarge` past the limit, `BadBody` if torn."""
        parts: list[bytes] = []
        while size > 0 and not self.done:
            part = self._next(min(size, self._room + 1))
            self._room -= len(part)
            if self._room < 0:
                raise _too_large(self._bytes_max)
            size -= len(part)
            parts.append(part)
        return b"".join(parts)

    def _next(self, size: int) -> bytes:
        try:
            part = self._member.decompress(self._rest, size)
        except zlib.error as error:
            raise BadBody(f"the body is not gzip as it says: {error}") from error
        if not self._member.eof:
            self._rest = self._member.unconsumed_tail
            if not part and not self._rest:
                raise BadBody("the gzip body is torn; send it whole")
            return part
        self._rest = self._member.unused_data
        self.done = not self._rest
        if not self.done:
            self._members += 1
            if self._members > MEMBERS_MAX:
                raise BadBody(f"the body has more than {MEMBERS_MAX} gzip members")
            self._member = zlib.decompressobj(GZIP_WINDOW)
        return part


async def _collect(request: Request, bounds: BodyBounds, take: Callable[[bytes], None]) -> None:
    """Hand on each part of a body that comes within its bounds."""
    begun = asyncio.get_running_loop().time()
    size = 0
    try:
        async with asyncio.timeout(min(bounds.seconds_max, GRACE_S)) as deadline:
            async for part in request.stream():
                size += len(part)
                if size > bounds.bytes_max:
                    raise _too_large(bounds.bytes_max)
                take(part)
                deadline.reschedule(begun + _seconds_for(size, bounds))
    except TimeoutError as error:
        metrics.LIMITS_HIT.labels("body_seconds_max").inc()
        raise BodyTooSlow(
            f"the body did not come within {bounds.seconds_max:g} s and faster than "
            f"{bounds.bytes_per_second_min} bytes a second; send it again"
        ) from error


def _seconds_for(size: int, bounds: BodyBounds) -> float:
    """Return after how long a body of which this much came has to be whole."""
    rate = bounds.bytes_per_second_min
    return min(bounds.seconds_max, GRACE_S + size / rate) if rate else bounds.seconds_max


def _too_large(bytes_max: int) -> TooLarge:
    return TooLarge(f"the body has more than {bytes_max} bytes; send less at a time")
