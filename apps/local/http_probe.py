"""The smallest HTTP question there is: a GET on this machine, answered by a status code.

Used while parts start, so it must cost next to nothing and import nothing heavy.
"""

import asyncio
from typing import Final

from apps.local.ports import LOOPBACK

WAIT_S: Final = 2.0
LINE_BYTES_MAX: Final = 1_024
_API_VERSIONS: Final = b"\x00\x12\x00\x00\x00\x00\x00\x01\xff\xff"
"""ApiVersions, version 0, correlation 1, no client id."""


async def status(port: int, path: str) -> int | None:
    """Return the status code that `path` answers with, or None where nothing answers in time."""
    try:
        async with asyncio.timeout(WAIT_S):
            return await _ask(port, path)
    except (OSError, TimeoutError, ValueError, asyncio.IncompleteReadError):
        return None


async def accepts(port: int, host: str = LOOPBACK) -> bool:
    """Say whether something accepts connections there."""
    try:
        async with asyncio.timeout(WAIT_S):
            _, writer = await asyncio.open_connection(host, port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True


async def answers_kafka(port: int) -> bool:
    """Say whether a broker answers which versions of the protocol it speaks."""
    try:
        async with asyncio.timeout(WAIT_S):
            reader, writer = await asyncio.open_connection(LOOPBACK, port)
            try:
                writer.write(len(_API_VERSIONS).to_bytes(4) + _API_VERSIONS)
                return len(await reader.readexactly(4)) == 4
            finally:
                writer.close()
    except (OSError, TimeoutError, asyncio.IncompleteReadError):
        return False


async def _ask(port: int, path: str) -> int:
    reader, writer = await asyncio.open_connection(LOOPBACK, port, limit=LINE_BYTES_MAX)
    try:
        question = f"GET {path} HTTP/1.1\r\nHost: {LOOPBACK}:{port}\r\nConnection: close\r\n\r\n"
        writer.write(question.encode())
        await writer.drain()
        line = await reader.readline()
        return int(line.split(b" ", 2)[1])
    finally:
        writer.close()
