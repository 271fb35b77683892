"""A worker: Kafka in, store out, until it is told to stop.

It keeps a Faust app over the topics of facts, partials and graves, one agent each, and everything
beside it: the clock that closes windows of quiet partitions, the outbox, the store's jobs, the
watch on lag. Nothing that goes wrong around it ends it: a store that is away is waited for where it
is needed; a stream whose broker is away, that stalls, or that fails for a reason nobody expected is
built anew after a wait. To stop is to finish the batch in hand; whatever comes after it is still on
the broker, and the store knows where to go on.
"""

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Coroutine,
    Mapping,
    Sequence,
)
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import gettempdir
from typing import Any, Final

import faust
from aiokafka.errors import KafkaError
from faust.types import TP
from msgspec import Struct

from analytics.contracts.cloudevents import Record
from analytics.contracts.errors import BrokerAway, MainstemError
from streams import batches, ending, metrics
from streams.agents import activity, burials, connections, merging, reviews
from streams.cutting import Batch
from streams.drive import Drive, Waits
from streams.flow import Bounds
from streams.health import Progress
from streams.ledger import Ledger
from streams.outbox import Outbox
from streams.settings import StreamsSettings
from streams.step import Recipe
from streams.tracing import Traces
from streams.watch import MetricsWatch

LOOK_S: Final = 1.0
"""How often the worker looks whether its stream is still well."""
LAG_LOOK_S: Final = 5.0
"""How often the broker is asked where its partitions end."""
POLL_S_MAX: Final = 86_400.0
"""How long a store may be away before the group thinks that the worker is."""
SEND_WAIT_S: Final = 30.0
RESULTS_BATCH_BYTES: Final = 524_288
"""Results of one look go to the broker in few requests: one after the other, each waits for the
event loop, which folds."""
BUFFERED_MAX: Final = 4
"""Batches of a topic on Faust's queue, from which they are taken at once."""

log = logging.getLogger(__name__)

Job = Callable[[], Awaitable[object]]


class Parts(Struct, frozen=True, kw_only=True):
    """What a worker is made of besides its settings."""

    ledger: Ledger
    recipes: Mapping[str, Recipe[Any]]
    prepare: Job
    """Makes sure that the topics are there; raises `BrokerAway`."""
    jobs: Job
    """Does what the store needs done from time to time."""
    traces: Traces | None = None
    """Who is told of messages that somebody traces."""


class Worker:
    """Runs the stream of one process."""

    def __init__(self, settings: StreamsSettings, parts: Parts) -> None:
        self.progress = Progress(stalled_ms=settings.stalled_ms)
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
            stream = _Stream(self._settings, self._parts, self.progress)
            return await stream.run(stopping)
        except (KafkaError, MainstemError, OSError) as error:
            log.warning("waiting for the broker", extra={"reason": repr(error)})
            self.progress.waits("broker", str(error))
            return "broker"


class _Stream:
    """One Faust app, from its start to its stop."""

    def __init__(self, settings: StreamsSettings, parts: Parts, progress: Progress) -> None:
        self._settings = settings
        self._parts = parts
        self._progress = progress
        self._app = _faust_app(settings)
        self._outbox = Outbox(
            parts.ledger,
            self._send,
            records_max=settings.outbox_records_max,
            waiting_max=settings.outbox_waiting_max,
            wait_s=settings.outbox_wait_ms / 1_000,
        )
        waits = Waits(
            retry_ms=settings.retry_wait_ms,
            retry_ms_max=settings.retry_wait_ms_max,
            fenced_ms=settings.fenced_wait_ms,
        )
        watch = MetricsWatch(progress, on_results=self._outbox.filled, traces=parts.traces)
        bounds = Bounds(
            batches_max=settings.batches_at_once,
            records_max=settings.batch_records_max,
            bytes_max=settings.batch_bytes_max,
            waiting_bytes_max=settings.waiting_bytes_max,
        )
        self._drive = Drive(
            parts.recipes, parts.ledger, self, watch=watch, waits=waits, bounds=bounds
        )
        batches.install(
            self._app,
            self._drive,
            batches.Limits(
                records_max=settings.batch_records_max,
                bytes_max=settings.batch_bytes_max,
                fetch_wait_ms=settings.fetch_wait_ms,
                fetch_bytes_max=settings.fetch_total_bytes_max,
                log_generation=settings.log_generation,
            ),
        )
        for agent in (activity, connections, reviews, merging, burials):
            agent.add_to(self._app, self._give)

    async def run(self, stopping: asyncio.Event) -> str:
        """Run the app and what goes beside it; return why it has to be built anew, or nothing."""
        self._app.finalize()
        started = asyncio.ensure_future(self._app.start())
        stop = asyncio.ensure_future(stopping.wait())
        try:
            await asyncio.wait({started, stop}, return_when=asyncio.FIRST_COMPLETED)
            if stop.done():
                return ""
            started.result()
            log.info("worker started", extra={"group": self._settings.group})
            async with _beside(
                self._ticking(), self._outbox.run(), self._caring(), self._looking()
            ):
                return await self._until_wrong(stop)
        finally:
            stop.cancel()
            await self._finish(started)

    def now_ms(self) -> int:
        """Return the time, in epoch milliseconds."""
        return time.time_ns() // 1_000_000

    def stopwatch(self) -> float:
        """Return seconds since some moment."""
        return time.perf_counter()

    async def sleep(self, seconds: float) -> None:
        """Let time pass."""
        await asyncio.sleep(seconds)

    async def place(self, tp: TP, offset: int, *, mark: int) -> None:
        """Have a partition go on from `offset`, behind the record of that mark."""
        await self._consumer.place(tp, offset, mark=mark)

    def hold(self, held: Collection[TP]) -> None:
        """Have the broker read no further for these partitions, and again for all others."""
        metrics.HELD_PARTITIONS.set(len(held))
        self._consumer.hold(held)

    def hindered(self) -> str:
        """Return why nothing may be stored just now, though the store is there."""
        return self._outbox.full

    def quiet(self, tp: TP, offset: int) -> bool:
        """Say whether the last fetch said that there is nothing from `offset` on."""
        end = self._consumer.end(tp)
        return end is not None and end <= offset

    async def _give(self, batch: Batch) -> None:
        self._drive.give(batch)

    @property
    def _consumer(self) -> batches.BatchConsumer:
        consumer = self._app.consumer
        assert isinstance(consumer, batches.BatchConsumer)
        return consumer

    async def _until_wrong(self, stop: "asyncio.Task[Any]") -> str:
        failed = asyncio.ensure_future(self._drive.failed())
        ends: set[asyncio.Task[Any]] = {stop, failed}
        try:
            while True:
                await asyncio.wait(ends, timeout=LOOK_S, return_when=asyncio.FIRST_COMPLETED)
                if stop.done():
                    return ""
                if failed.done():
                    return "failure"
                if self._app.crashed:
                    log.warning("faust gave up", extra={"reason": repr(self._app.crash_reason)})
                    return "faust"
                if self._consumer.left:
                    log.warning("the group was left")
                    return "group"
                if self._progress.stalled:
                    log.error("no progress in spite of lag", extra={"lag": self._progress.lag})
                    return "stalled"
        finally:
            failed.cancel()

    async def _looking(self) -> None:
        self._progress.joined = True
        while True:
            await self._look_at_lag()
            await asyncio.sleep(LAG_LOOK_S)

    async def _look_at_lag(self) -> None:
        held, reached = self._drive.held(), self._drive.reached()
        try:
            if not held:
                await self._parts.prepare()
            ends = await self._consumer.ends(set(held))
        except (KafkaError, BrokerAway, OSError, TimeoutError) as error:
            self._progress.waits("broker", f"it does not say where its topics end ({error!r})")
            return
        self._progress.waits("broker", "")
        for tp, listed in ends.items():
            fetched = self._consumer.end(tp)
            # Tansu lists an end that is short of what its last batch holds; a fetch knows better.
            if fetched is not None and max(listed, fetched) < reached.get(tp, 0):
                end = max(listed, fetched)
                reason = f"it ends at offset {end}, and was stored up to {reached[tp]}"
                self._drive.diverged(tp, reason)
        self._progress.seen(self._drive.reached(), ends, now_ms=self.now_ms())

    async def _ticking(self) -> None:
        while True:
            await asyncio.sleep(self._settings.tick_ms / 1_000)
            metrics.WAITING_BYTES.set(self._drive.waiting_bytes)
            await self._drive.tick()

    async def _caring(self) -> None:
        while True:
            try:
                await self._parts.jobs()
                metrics.JOB_RUNS.labels("done").inc()
            except MainstemError as error:
                metrics.JOB_RUNS.labels("failed").inc()
                log.info("the store's jobs wait", extra={"reason": str(error)})
            await asyncio.sleep(self._settings.jobs_wait_s)

    async def _send(self, records: Sequence[Record]) -> None:
        producer = self._app.producer
        try:
            async with asyncio.timeout(SEND_WAIT_S):
                sent = [
                    await producer.send(
                        record.topic, record.key, record.value, None, None, list(record.headers)
                    )
                    for record in records
                ]
                await asyncio.gather(*sent)
        except (KafkaError, faust.exceptions.FaustError, OSError, TimeoutError) as error:
            raise BrokerAway(f"the broker did not take results: {error!r}") from error

    async def _finish(self, started: "asyncio.Future[None]") -> None:
        """Finish the batch in hand, show Kafka how far the store is, and leave the group."""
        self._progress.joined = False
        try:
            async with asyncio.timeout(self._settings.stop_wait_s):
                if started.done() and not started.cancelled() and started.exception() is None:
                    await self._drive.close()
                    await self._consumer.commit()
        except TimeoutError:
            log.warning("the batch in hand was left; it will be taken up again")
        await ending.end({started}, within_s=self._settings.stop_wait_s)
        with contextlib.suppress(TimeoutError):
            await ending.bounded(self._app.stop(), within_s=self._settings.stop_wait_s)


def _faust_app(settings: StreamsSettings) -> faust.App:
    brokers = [f"kafka://{address}" for address in settings.broker.split(",")]
    return faust.App(
        settings.group,
        broker=brokers,
        datadir=_scratch(),
        autodiscover=False,
        web_enabled=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
        worker_redirect_stdouts=False,
        stream_wait_empty=False,
        stream_recovery_delay=0.0,
        stream_buffer_maxsize=BUFFERED_MAX,
        broker_max_poll_records=settings.batch_records_max,
        broker_max_poll_interval=POLL_S_MAX,
        broker_commit_interval=settings.commit_interval_s,
        broker_rebalance_timeout=settings.rebalance_timeout_s,
        broker_session_timeout=settings.session_timeout_s,
        broker_heartbeat_interval=settings.heartbeat_s,
        consumer_group_instance_id=settings.instance or None,
        consumer_max_fetch_size=settings.fetch_bytes_max,
        producer_max_batch_size=RESULTS_BATCH_BYTES,
    )


def _scratch() -> Path:
    """Return a folder that Faust may make: it keeps nothing there, and would make it right here."""
    owner = getattr(os, "getuid", os.getpid)()
    return Path(gettempdir()) / f"mainstem-faust-{owner}"


@asynccontextmanager
async def _beside(*works: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run these as long as the context lasts; one that fails is an error of the context."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        yield
        for task in tasks:
            if task.done():
                task.result()
    finally:
        await ending.end(tasks)
