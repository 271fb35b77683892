"""The stream of a worker: one Faust app over the topics of facts, partials and dead letters.

Its agents hand batches on; everything beside them is a task of the app: the clock that closes
windows of quiet partitions, the outbox, the store's jobs, the watch on lag. A store that is away is
waited for where it is needed; a stream that stalls or fails crashes its app, for whoever runs it to
start another. `mainstem worker` does so itself (see `worker`), `faust worker` leaves it to whoever
started the process.
"""

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from tempfile import gettempdir
from typing import Any, Final

import faust
from aiokafka.errors import KafkaError
from faust.app import BootStrategy
from faust.types import TP
from msgspec import Struct

from analytics.contracts.cloudevents import Record
from analytics.contracts.errors import BrokerAway, MainstemError
from analytics.contracts.signatures import ANYBODYS, SignatureRules, signed
from streams import metrics
from streams.consumer import shutdown, transport
from streams.consumer.assignment import PartitionAssignment, Waits
from streams.consumer.batch_consumer import SCHEME, BatchConsumer, FetchLimits
from streams.consumer.commit_pipeline import Bounds
from streams.consumer.health import ProgressMonitor
from streams.consumer.instrumentation import MetricsWatch
from streams.consumer.outbox_relay import Outbox
from streams.consumer.partition_processor import TopicSource
from streams.consumer.record_batches import Batch
from streams.consumer.tracing import Traces
from streams.settings import StreamsSettings
from streams.store.checkpoint import CheckpointStore

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
AddAgent = Callable[[faust.App, Callable[[Batch], Awaitable[None]]], None]


class Parts(Struct, frozen=True, kw_only=True):
    """What a worker is made of besides its settings."""

    checkpoints: CheckpointStore
    recipes: Mapping[str, TopicSource[Any]]
    agents: tuple[AddAgent, ...]
    """Who attaches the Faust agents that hand batches on (see `streams.agents`)."""
    prepare: Job
    """Makes sure that the topics are there; raises `BrokerAway`."""
    jobs: Job
    """Does what the store needs done from time to time."""
    traces: Traces | None = None
    """Who is told of messages that somebody traces."""
    signatures: SignatureRules = ANYBODYS
    """What signs the records that are sent."""
    closed: Callable[[], object] = lambda: None
    """Called after each commit that closed windows."""


class StreamFailed(MainstemError):
    """A stream that cannot go on, and may if it is rebuilt."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the stream has to be rebuilt: {reason}")
        self.reason = reason


class WithoutWeb(BootStrategy):
    """Starts no web server: Faust's own listens for everybody, and knows no token."""

    enable_web = False


class StreamApp(faust.App):
    """The Faust app of a worker: its topics, its agents and how it takes part in its group."""

    BootStrategy = WithoutWeb
    give: Callable[[Batch], object]
    """Has a batch stored in its turn; set by the stream of this app."""
    around: "Callable[[StreamApp], AbstractAsyncContextManager[None]] | None" = None
    """What is entered before the app connects anywhere, and left when it has stopped."""

    def __init__(self, settings: StreamsSettings, agents: Sequence[AddAgent]) -> None:
        brokers = [f"{SCHEME}://{address}" for address in settings.broker.split(",")]
        super().__init__(
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
            broker_max_poll_interval=POLL_S_MAX,
            broker_rebalance_timeout=settings.rebalance_timeout_s,
            broker_session_timeout=settings.session_timeout_s,
            broker_heartbeat_interval=settings.heartbeat_s,
            consumer_group_instance_id=settings.instance or None,
            consumer_max_fetch_size=settings.fetch_bytes_max,
            producer_max_batch_size=RESULTS_BATCH_BYTES,
        )
        self._stop_wait_s = settings.stop_wait_s
        for add_to in agents:
            add_to(self, self._take)
        self.finalize()

    async def on_first_start(self) -> None:
        """Enter what the app needs around it."""
        await super().on_first_start()
        if self.around is not None:
            await self.add_async_context(self.around(self))

    async def on_stop(self) -> None:
        """Stop within a limit: Faust stops no agent of an app that is interrupted here."""
        try:
            await shutdown.bounded(super().on_stop(), within_s=self._stop_wait_s)
        except (KafkaError, OSError, TimeoutError) as error:
            log.warning("the stream was stopped half way", extra={"reason": repr(error)})

    async def _take(self, batch: Batch) -> None:
        self.give(batch)


class Stream:
    """One Faust app, from its start to its stop."""

    def __init__(
        self,
        settings: StreamsSettings,
        parts: Parts,
        progress: ProgressMonitor,
        *,
        app: StreamApp | None = None,
    ) -> None:
        self._settings = settings
        self._parts = parts
        self._progress = progress
        self.app = app or StreamApp(settings, parts.agents)
        self._stored = asyncio.Event()
        self._outbox = Outbox(
            parts.checkpoints,
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
        watch = MetricsWatch(progress, on_stored=self._left, traces=parts.traces)
        bounds = Bounds(
            batches_max=settings.batches_at_once,
            records_max=settings.batch_records_max,
            bytes_max=settings.batch_bytes_max,
            waiting_bytes_max=settings.waiting_bytes_max,
        )
        self._assignment = PartitionAssignment(
            parts.recipes, parts.checkpoints, self, watch=watch, waits=waits, bounds=bounds
        )
        transport.bind(
            self.app,
            self._assignment,
            FetchLimits(
                records_max=settings.batch_records_max,
                bytes_max=settings.batch_bytes_max,
                fetch_wait_ms=settings.fetch_wait_ms,
                fetch_bytes_max=settings.fetch_total_bytes_max,
                log_generation=settings.log_generation,
            ),
        )
        self.app.give = self._assignment.give
        self.app.task(self._beside)
        self.app.on_before_shutdown.connect(self._on_before_shutdown, weak=False)

    async def prepare(self) -> None:
        """Wait until the broker is there and has the topics, or the app is told to stop."""
        wait_s = self._settings.retry_wait_ms / 1_000
        while not self.app.should_stop:
            try:
                await self._parts.prepare()
            except (KafkaError, MainstemError, OSError) as error:
                log.warning("waiting for the broker", extra={"reason": repr(error)})
                self._progress.waits("broker", str(error))
                await self.app.sleep(wait_s)
                wait_s = min(wait_s * 2, self._settings.retry_wait_ms_max / 1_000)
            else:
                self._progress.waits("broker", "")
                return

    async def finish(self) -> None:
        """Finish the batch in hand, and show Kafka how far the store is."""
        self._progress.joined = False
        try:
            async with asyncio.timeout(self._settings.stop_wait_s):
                await self._assignment.close()
                await self._consumer.commit()
        except TimeoutError:
            log.warning("the batch in hand was left; it will be taken up again")

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

    async def _on_before_shutdown(self, *_: object, **__: object) -> None:
        await self.finish()

    def _left(self, results: int) -> None:
        self._stored.set()
        if results:
            self._outbox.filled(results)
            self._parts.closed()

    async def _beside(self) -> None:
        """Do what goes beside the agents; raise `StreamFailed` if only a new stream can go on."""
        works = (
            self._ticking(),
            self._outbox.run(),
            self._caring(),
            self._looking(),
            self._showing(),
        )
        tasks = [asyncio.ensure_future(work) for work in works]
        failed = asyncio.ensure_future(self._assignment.failed())
        ends: set[asyncio.Future[Any]] = {failed, *tasks}
        try:
            while not self._progress.stalled:
                await asyncio.wait(ends, timeout=LOOK_S, return_when=asyncio.FIRST_COMPLETED)
                if failed.done() or shutdown.ended(tasks):
                    raise StreamFailed("failure")
            log.error("no progress in spite of lag", extra={"lag": self._progress.lag})
            raise StreamFailed("stalled")
        finally:
            await shutdown.end(ends)

    @property
    def _consumer(self) -> BatchConsumer:
        consumer = self.app.consumer
        assert isinstance(consumer, BatchConsumer)
        return consumer

    async def _showing(self) -> None:
        """Show Kafka how far the store is, soon after it is further."""
        while True:
            await self._stored.wait()
            self._stored.clear()
            await self._consumer.commit()
            await asyncio.sleep(self._settings.commit_interval_s)

    async def _looking(self) -> None:
        self._progress.joined = True
        while True:
            await self._look_at_lag()
            await asyncio.sleep(LAG_LOOK_S)

    async def _look_at_lag(self) -> None:
        held, reached = self._assignment.held(), self._assignment.reached()
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
                self._assignment.diverged(tp, reason)
        self._progress.seen(self._assignment.reached(), ends, now_ms=self.now_ms())

    async def _ticking(self) -> None:
        while True:
            await asyncio.sleep(self._settings.tick_ms / 1_000)
            metrics.WAITING_BYTES.set(self._assignment.waiting_bytes)
            await self._assignment.tick()

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
        producer, keys = self.app.producer, self._parts.signatures.keys
        if keys:
            records = [signed(record, keys[0]) for record in records]
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


def _scratch() -> Path:
    """Return a folder that Faust may make: it keeps nothing there, and would make it right here."""
    owner = getattr(os, "getuid", os.getpid)()
    return Path(gettempdir()) / f"mainstem-faust-{owner}"
