"""What hostile senders do to a gateway, in a process of their own: `python -m … KIND PORT TOKEN S`.

Each kind keeps at it until its time is up; how much it did is printed at the end.
"""

import asyncio
import contextlib
import gzip
import itertools
import json
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Final

import uvloop

from apps.local.ports import LOOPBACK

SOCKETS: Final = 2_000
SLOW_BODIES: Final = 500
DRIP_S: Final = 1.0
SENDERS: Final = 2
MIB: Final = 2**20
BOMB_BYTES: Final = 1_024 * MIB
LARGE_BYTES: Final = 16 * MIB
FULL_BYTES: Final = 8 * MIB - 65_536
BAD_RECORDS: Final = 10_000
DEPTH: Final = 2_000_000
HEAD: Final = "POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
OPENINGS: Final = (
    b"",
    b"\r\n",
    b"GET /health/live HTTP/1.1\r\nX-Slow: a",
    b"GET /connection/websocket HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nX: a",
    b"POST /v1/events HTTP/1.1\r\nContent-Length: 900000\r\n\r\n",
)


class Attack:
    """One attack on one gateway."""

    def __init__(self, port: int, token: str, seconds: float) -> None:
        self.done = 0
        self._port = port
        self._token = token
        self._ends = time.monotonic() + seconds

    def goes_on(self) -> bool:
        """Whether there is time left."""
        return time.monotonic() < self._ends

    async def slowloris(self) -> None:
        """Hold many sockets that say a byte a second in a head, or nothing; open them anew."""
        openings = itertools.cycle(OPENINGS)
        await asyncio.gather(*(self._hold(next(openings)) for _ in range(SOCKETS)))

    async def slow_bodies(self) -> None:
        """Hold many sockets that say a byte a second in a body, with a token."""
        head = self._head("/v1/events", "application/json", "Content-Length: 900000\r\n")
        chunked = self._head("/v1/events", "application/json", "Transfer-Encoding: chunked\r\n")
        openings = itertools.cycle((head + b"[", chunked, chunked + b"fffff\r\n"))
        await asyncio.gather(*(self._hold(next(openings)) for _ in range(SLOW_BODIES)))

    async def bombs(self) -> None:
        """Send what unpacks to a gibibyte, once and twice packed."""
        bomb = gzip.compress(bytes(BOMB_BYTES // 16), 9) * 16
        await self._keep_sending(("/v1/traces", "application/json", bomb, "gzip"))

    async def depths(self) -> None:
        """Send JSON that is nothing but depth, and numbers without an end."""
        deep = b"[" * DEPTH
        number = b'[{"type":"session.started","at_ms":' + b"9" * DEPTH + b"}]"
        body = gzip.compress(deep), gzip.compress(number)
        kind = "application/json"
        await self._keep_sending(
            ("/v1/events", kind, body[0], "gzip"), ("/v1/events", kind, body[1], "gzip"),
            ("/v1/logs", kind, body[0], "gzip"), ("/hooks/claude", kind, deep, ""),
        )  # fmt: skip

    async def large(self) -> None:
        """Send bodies of 16 MiB, which are refused, one after the other."""
        await self._keep_sending(("/v1/logs", "application/json", logs(LARGE_BYTES), ""))

    async def full(self) -> None:
        """Send bodies as large as they may be, which are taken, one after the other."""
        await self._keep_sending(("/v1/logs", "application/json", logs(FULL_BYTES), ""))

    async def packed(self) -> None:
        """Send such bodies packed, which costs their sender next to nothing."""
        body = gzip.compress(logs(FULL_BYTES))
        await self._keep_sending(("/v1/logs", "application/json", body, "gzip"))

    async def bad_records(self) -> None:
        """Send batches of records that cannot be read."""
        body = json.dumps([{"type": "nonsense", "n": n} for n in range(BAD_RECORDS)]).encode()
        await self._keep_sending(("/v1/events", "application/json", body, ""))

    async def _keep_sending(self, *requests: tuple[str, str, bytes, str]) -> None:
        await asyncio.gather(*(self._send_on(*one) for one in requests * SENDERS))

    async def _send_on(self, path: str, kind: str, body: bytes, encoding: str) -> None:
        more = f"Content-Length: {len(body)}\r\nConnection: close\r\n"
        if encoding:
            more += f"Content-Encoding: {encoding}\r\n"
        request = self._head(path, kind, more) + body
        while self.goes_on():
            with contextlib.suppress(OSError):
                reader, writer = await asyncio.open_connection(LOOPBACK, self._port)
                writer.write(request)
                with contextlib.suppress(OSError):
                    await writer.drain()
                await reader.read(MIB)
                writer.close()
            self.done += 1
            await asyncio.sleep(0.01)

    async def _hold(self, opening: bytes) -> None:
        while self.goes_on():
            with contextlib.suppress(OSError, RuntimeError):  # uvloop's word for closed
                reader, writer = await asyncio.open_connection(LOOPBACK, self._port)
                self.done += 1
                writer.write(opening)
                while self.goes_on() and not reader.at_eof():
                    await asyncio.sleep(DRIP_S)
                    writer.write(opening[-1:])
                    await writer.drain()
                writer.close()
            await asyncio.sleep(DRIP_S)

    def _head(self, path: str, kind: str, more: str) -> bytes:
        head = HEAD.format(path=path, token=self._token)
        return f"{head}Content-Type: {kind}\r\n{more}\r\n".encode()


def logs(size: int) -> bytes:
    """Return a request of OpenTelemetry's logs of about this size, in records of a kilobyte."""
    record = {
        "timeUnixNano": "1795000000000000000",
        "body": {"stringValue": "claude_code.tool_result"},
        "attributes": [
            {"key": "event.name", "value": {"stringValue": "tool_result"}},
            {"key": "session.id", "value": {"stringValue": "s-large"}},
            {"key": "tool_name", "value": {"stringValue": "Bash"}},
            {"key": "success", "value": {"stringValue": "true"}},
            {"key": "duration_ms", "value": {"stringValue": "12"}},
            {"key": "tool_parameters", "value": {"stringValue": "ls /home/ada/x " * 40}},
        ],
    }
    text = json.dumps(record)
    count = size // (len(text) + 1)
    records = ",".join(
        text.replace("1795000000000000000", str(1_795_000_000_000_000_000 + number * 1_000_000))
        for number in range(count)
    )
    return f'{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{records}]}}]}}]}}'.encode()


async def main(kind: str, port: int, token: str, seconds: float) -> None:
    """Attack for so long."""
    attack = Attack(port, token, seconds)
    run: Callable[[], Awaitable[None]] = getattr(attack, kind)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds + DRIP_S):
            await run()
    sys.stdout.write(f"{attack.done}\n")


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], int(sys.argv[2]), sys.argv[3], float(sys.argv[4])))
