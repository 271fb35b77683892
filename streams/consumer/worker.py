"""A worker: Kafka in, store out, until it is told to stop.

Its stream (see `stream`) lives once; a stream whose broker is away, that stalls, or that fails for
a reason nobody expected is rebuilt after a wait. To stop is to finish the batch in hand;
whatever comes after it is still on the broker, and the store knows where to go on.
"""

import asyncio
import contextlib
import logging
from typing import Any, Final

from aiokafka.errors import KafkaError

from analytics.contracts.errors import MainstemError
from streams import metrics
from streams.consumer import shutdown
from streams.consumer.health import ProgressMonitor
from streams.consumer.stream import Parts, Stream, StreamFailed
from streams.settings import StreamsSettings

LOOK_S: Final = 0.5
"""How often the worker looks whether its stream is still well."""

log = logging.getLogger(__name__)


class Worker:
    """Runs the stream of one process."""

    def __init__(self, settings: StreamsSettings, parts: Parts) -> None:
        self.progress = ProgressMonitor(stalled_ms=settings.stalled_ms)
        self._settings = settings
        self._parts = parts

    async def run(self, stopping: asyncio.Event) -> None:
        """Work until `stopping` is set and the batch in hand is done."""
        wait_s = self._settings.retry_wait_ms / 1_000
        while not stopping.is_set():
            reason = await self._stream_once(stopping)
            if not reason:
                return
            metrics.RESTARTS.labels(reason).inc()
            self.progress.started_anew()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await stopping.wait()
            wait_s = min(wait_s * 2, self._settings.retry_wait_ms_max / 1_000)

    async def _stream_once(self, stopping: asyncio.Event) -> str:
        """Stream until told to stop, or until something is wrong; return what."""
        try:
            await self._parts.prepare()
            self.progress.waits("broker", "")
            stream = Stream(self._settings, self._parts, self.progress)
            return await self._run(stream, stopping)
        except (KafkaError, MainstemError, OSError) as error:
            log.warning("waiting for the broker", extra={"reason": repr(error)})
            self.progress.waits("broker", str(error))
            return "broker"

    async def _run(self, stream: Stream, stopping: asyncio.Event) -> str:
        """Run a stream; return why it has to be rebuilt, or nothing."""
        started = asyncio.ensure_future(stream.app.start())
        stop = asyncio.ensure_future(stopping.wait())
        try:
            await asyncio.wait({started, stop}, return_when=asyncio.FIRST_COMPLETED)
            if stop.done():
                return ""
            started.result()
            return await self._until_wrong(stream, stop)
        finally:
            stop.cancel()
            await self._finish(stream, started)

    async def _until_wrong(self, stream: Stream, stop: "asyncio.Task[Any]") -> str:
        while not stream.app.crashed:
            await asyncio.wait({stop}, timeout=LOOK_S)
            if stop.done():
                return ""
        reason = stream.app.crash_reason
        log.warning("the stream gave up", extra={"reason": repr(reason)})
        return reason.reason if isinstance(reason, StreamFailed) else "faust"

    async def _finish(self, stream: Stream, started: "asyncio.Future[None]") -> None:
        """Finish the batch in hand, show Kafka how far the store is, and leave the group."""
        self.progress.joined = False
        if started.done() and not started.cancelled() and started.exception() is None:
            await stream.finish()
        wait_s = self._settings.stop_wait_s
        await shutdown.end({started}, within_s=wait_s)
        with contextlib.suppress(TimeoutError):
            await shutdown.bounded(stream.app.stop(), within_s=wait_s + shutdown.END_WAIT_S)
