"""Request bodies within limits: as sent, and after decompression.

A body is refused as soon as it is known to be too large: by its Content-Length, while it comes
(chunked bodies have no length), or while it is inflated, so a gzip bomb costs no more than the
limit. A body has to come within its time.
"""

import asyncio
import zlib
from collections.abc import Collection
from typing import Final

from starlette.requests import Request

from analytics.contracts.errors import BadBody, TooLarge, UnsupportedMediaType
from gateway.problem import BodyTooSlow

GZIP_NAMES: Final = frozenset({"gzip", "x-gzip"})
PLAIN_NAMES: Final = frozenset({"", "identity"})
GZIP_WINDOW: Final = 31
"""zlib's sign for a gzip header and the largest window."""
MEMBERS_MAX: Final = 64
"""Gzip members a body may be made of."""


def media_type(request: Request, allowed: Collection[str]) -> str:
    """Return the body's media type; raise `UnsupportedMediaType` if it is not in `allowed`."""
    named = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if named not in allowed:
        wanted = " or ".join(sorted(allowed))
        raise UnsupportedMediaType(f"content type {named!r} is not taken here; send {wanted}")
    return named


async def read_body(request: Request, *, bytes_max: int, seconds_max: float) -> bytes:
    """Return the whole body, inflated; raise `TooLarge`, `BadBody`, `UnsupportedMediaType`."""
    encoding = request.headers.get("content-encoding", "").strip().lower()
    if encoding not in GZIP_NAMES | PLAIN_NAMES:
        raise UnsupportedMediaType(
            f"content encoding {encoding!r} is not taken here; send gzip or none"
        )
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > bytes_max:
        raise _too_large(bytes_max)
    try:
        async with asyncio.timeout(seconds_max):
            body = await _collect(request, bytes_max)
    except TimeoutError as error:
        raise BodyTooSlow(f"the body did not come within {seconds_max:g} s") from error
    return inflate(body, bytes_max=bytes_max) if encoding in GZIP_NAMES else body


def inflate(body: bytes, *, bytes_max: int) -> bytes:
    """Return what a gzip body holds; raise `TooLarge` past the limit, `BadBody` if it is torn."""
    parts: list[bytes] = []
    room = bytes_max
    for _ in range(MEMBERS_MAX):
        member = zlib.decompressobj(GZIP_WINDOW)
        try:
            part = member.decompress(body, room + 1)
        except zlib.error as error:
            raise BadBody(f"the body is not gzip as it says: {error}") from error
        room -= len(part)
        if room < 0:
            raise _too_large(bytes_max)
        parts.append(part)
        if not member.eof:
            raise BadBody("the gzip body is torn; send it whole")
        body = member.unused_data
        if not body:
            return b"".join(parts)
    raise BadBody(f"the body has more than {MEMBERS_MAX} gzip members")


async def _collect(request: Request, bytes_max: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > bytes_max:
            raise _too_large(bytes_max)
        parts.append(part)
    return b"".join(parts)


def _too_large(bytes_max: int) -> TooLarge:
    return TooLarge(f"the body has more than {bytes_max} bytes; send less at a time")
