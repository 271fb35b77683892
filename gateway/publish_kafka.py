"""The publisher on Kafka: bounded, in order, acknowledged by all replicas, at most once an id.

What waits for the broker is bounded in records and bytes; past that, events are refused and
`post` raises `ProducerFull`. Events leave in the order in which they were handed in. An event that
is not acknowledged in time is refused and may be sent again: what of it reaches the broker after
all is known by its id downstream. Posted events (hooks, connections) are kept within the same
limits while the broker is away. A broker that is away at the start or later is waited for; the
gateway runs on, and refuses.
"""

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Sequence
from functools import partial
from typing import Final

from aiokafka.errors import (
    IncompatibleBrokerVersion,
    KafkaConnectionError,
    KafkaError,
    UnknownError,
)
from msgspec import Struct

from analytics.contracts import cloudevents, graves
from analytics.contracts.cloudevents import Record
from analytics.contracts.errors import BrokerAway, MainstemError, ProducerFull
from analytics.contracts.ids import TenantId
from gateway import metrics
from gateway.ending import bounded, end
from gateway.producer import Delivery, FencedProducer, Prepare
from gateway.publish import Outgoing, Status, Verdict
from gateway.recent import Recent, key_of

PROBE_MS: Final = 1_000
PROBE_LIMIT_MS: Final = 3_000
BACKOFF_MS: Final = (100, 200, 400, 800, 1_500)
RETRY_AFTER_MS: Final = 1_000
POST_ATTEMPTS_MAX: Final = 5
RECORD_OVERHEAD_BYTES: Final = 512
"""Headers, key and bookkeeping of one record, about."""
TIMED_OUT: Final = "the broker did not acknowledge in time; send it again"
AWAY: Final = "the broker is away; send it again"
FULL: Final = "too much is waiting for the broker; send it again"
STOPPING: Final = "the gateway is stopping; send it again"

log = logging.getLogger(__name__)


class Bounds(Struct, frozen=True, kw_only=True):
    """How much may wait for the broker, and for how long."""

    records_max: int
    bytes_max: int
    event_bytes_max: int
    recent_ids_max: int
    ack_ms: int
    linger_ms: int
    drain_ms: int


class _Parcel:
    """One record on its way; `outcome` is empty once the broker has it, else the reason."""

    __slots__ = ("abandoned", "attempts", "bytes", "key", "outcome", "posted", "record")

    def __init__(
        self, record: Record, *, key: bytes, posted: bool, outcome: asyncio.Future[str]
    ) -> None:
        self.record = record
        self.key = key
        self.posted = posted
        self.outcome = outcome
        self.bytes = len(record.value) + RECORD_OVERHEAD_BYTES
        self.attempts = 0
        self.abandoned = False


class KafkaPublisher:
    """See the module; `start` and `stop` frame its life."""

    def __init__(self, broker: str, *, prepare: Prepare, bounds: Bounds) -> None:
        self._broker = broker
        self._prepare = prepare
        self._bounds = bounds
        self.recent: Recent[_Parcel] = Recent(ids_max=bounds.recent_ids_max)
        self._queue: deque[_Parcel] = deque()
        self._flying: set[_Parcel] = set()
        self._records = 0
        self._bytes = 0
        self.log_id = ""
        self._stopping = False
        self._producer: FencedProducer | None = None
        self._up = asyncio.Event()
        self._filled = asyncio.Event()
        self._emptied = asyncio.Event()
        self._emptied.set()
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def ready(self) -> bool:
        """Whether the broker answers."""
        return self._up.is_set() and not self._stopping

    def start(self) -> None:
        """Begin to look for the broker, and to send; return at once."""
        metrics.INFLIGHT_RECORDS.set_function(lambda: self._records)
        metrics.INFLIGHT_BYTES.set_function(lambda: self._bytes)
        self._tasks = [asyncio.create_task(self._keep()), asyncio.create_task(self._pump())]

    async def stop(self) -> None:
        """Take nothing more, wait for what is on its way within `drain_ms`, and disconnect."""
        self._stopping = True
        limit_s = self._bounds.drain_ms / 1_000
        try:
            async with asyncio.timeout(limit_s):
                await self._emptied.wait()
        except TimeoutError:
            log.warning("stopped with records unsent", extra={"records": self._records})
        await end(self._tasks)
        await self._drop_producer()
        left = [*self._queue, *self._flying]
        self._queue.clear()
        self._flying.clear()
        for parcel in left:
            self._settle(parcel, STOPPING)

    async def publish(self, outgoing: Sequence[Outgoing]) -> list[Verdict]:
        """Return one verdict an event, in order, once each is acknowledged or refused."""
        begun = time.perf_counter()
        tickets = [self._admit(item, posted=False) for item in outgoing]
        waiting = {ticket.outcome for ticket, _ in tickets if isinstance(ticket, _Parcel)}
        if waiting:
            await asyncio.wait(waiting, timeout=self._bounds.ack_ms / 1_000)
            metrics.PUBLISH_SECONDS.observe(time.perf_counter() - begun)
        else:
            await asyncio.sleep(
                0
            )  # who is refused and tries again at once must not hold up the loop
        return [
            ticket if isinstance(ticket, Verdict) else _verdict(item, ticket, first=first)
            for item, (ticket, first) in zip(outgoing, tickets, strict=True)
        ]

    def post(self, outgoing: Sequence[Outgoing]) -> None:
        """Take events without waiting for the broker; raise `ProducerFull` at the limit."""
        size = sum(len(item.payload or b"") + RECORD_OVERHEAD_BYTES for item in outgoing)
        if self._stopping or not self._has_room(len(outgoing), size):
            metrics.LIMITS_HIT.labels("inflight").inc()
            raise ProducerFull(STOPPING if self._stopping else FULL)
        for item in outgoing:
            ticket, _ = self._admit(item, posted=True)
            if isinstance(ticket, Verdict) and ticket.status is Status.REFUSED:
                metrics.LOST.inc()

    async def bury(self, payload: bytes, *, reason: str, origin: str, tenant: TenantId) -> None:
        """Keep what could not be read on the graveyard topic; raise `Unavailable` if it cannot."""
        record = graves.record(payload, reason=reason, origin=origin, tenant=tenant)
        try:
            await self._bury(record)
        except MainstemError:
            metrics.BURIED.labels("no").inc()
            raise
        metrics.BURIED.labels("yes").inc()

    async def _bury(self, record: Record) -> None:
        if not self.ready:
            raise BrokerAway(AWAY)
        if not self._has_room(1, len(record.value)):
            raise ProducerFull(FULL)
        parcel = self._enqueue(record, key=b"", posted=False)
        await asyncio.wait({parcel.outcome}, timeout=self._bounds.ack_ms / 1_000)
        if not parcel.outcome.done() or parcel.outcome.result():
            parcel.abandoned = True
            raise BrokerAway(TIMED_OUT)

    def _admit(self, item: Outgoing, *, posted: bool) -> tuple[_Parcel | Verdict, bool]:
        """Return who carries the event, and whether it was first; or the verdict if nobody does."""
        event = item.event
        key = key_of(event.tenant, event.id)
        if self.recent.accepted(key):
            return Verdict(id=event.id, status=Status.DUPLICATE), False
        carrier = self.recent.pending(key)
        if carrier is not None:
            return carrier, False
        if self._stopping or not (posted or self.ready):
            return _later(event.id, STOPPING if self._stopping else AWAY), False
        record = cloudevents.record(event, payload=item.payload, traceparent=item.traceparent)
        if len(record.value) > self._bounds.event_bytes_max:
            metrics.LIMITS_HIT.labels("event_bytes_max").inc()
            reason = f"the event has more than {self._bounds.event_bytes_max} bytes"
            return Verdict(id=event.id, status=Status.REFUSED, reason=reason), False
        if not posted and not self._has_room(1, len(record.value)):
            metrics.LIMITS_HIT.labels("inflight").inc()
            return _later(event.id, FULL), False
        return self._enqueue(record, key=key, posted=posted), True

    def _has_room(self, records: int, size: int) -> bool:
        bounds = self._bounds
        return (
            self._records + records <= bounds.records_max and self._bytes + size <= bounds.bytes_max
        )

    def _enqueue(self, record: Record, *, key: bytes, posted: bool) -> _Parcel:
        outcome: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        parcel = _Parcel(record, key=key, posted=posted, outcome=outcome)
        if key:
            self.recent.begin(key, parcel)
        self._records += 1
        self._bytes += parcel.bytes
        self._emptied.clear()
        self._queue.append(parcel)
        self._filled.set()
        return parcel

    async def _pump(self) -> None:
        while True:
            await self._filled.wait()
            await self._up.wait()
            producer = self._producer
            if producer is None or not self._queue:
                self._filled.clear()
                continue
            parcel = self._queue.popleft()
            if parcel.abandoned:
                self._settle(parcel, TIMED_OUT)
                continue
            await self._send(producer, parcel)

    async def _send(self, producer: FencedProducer, parcel: _Parcel) -> None:
        try:
            delivery = await producer.send(parcel.record)
        except (KafkaError, OSError) as error:
            self._failed(parcel, error)
        except asyncio.CancelledError:
            self._settle(parcel, STOPPING)
            raise
        else:
            self._flying.add(parcel)
            delivery.add_done_callback(partial(self._delivered, parcel))

    def _delivered(self, parcel: _Parcel, delivery: Delivery) -> None:
        if parcel not in self._flying:
            return
        self._flying.discard(parcel)
        if delivery.cancelled():
            self._failed(parcel, KafkaConnectionError("given up"))
            return
        error = delivery.exception()
        if error is None:
            self._settle(parcel, "")
        else:
            self._failed(parcel, error)

    def _failed(self, parcel: _Parcel, error: BaseException) -> None:
        """Refuse the event, or put a posted one back: nobody else will send it again."""
        parcel.attempts += 1
        if self._producer is not None:
            self._producer.note(error)
        log.warning(
            "record not delivered",
            extra={"topic": parcel.record.topic, "reason": repr(error), "posted": parcel.posted},
        )
        if parcel.posted and parcel.attempts < POST_ATTEMPTS_MAX and not self._stopping:
            self._queue.append(parcel)
            self._filled.set()
            return
        self._settle(parcel, AWAY)

    def _settle(self, parcel: _Parcel, reason: str) -> None:
        self._records -= 1
        self._bytes -= parcel.bytes
        if parcel.key:
            self.recent.settle(parcel.key, accepted=not reason)
        if reason and parcel.posted:
            metrics.LOST.inc()
        if not parcel.outcome.done():
            parcel.outcome.set_result(reason)
        if not self._records:
            self._emptied.set()

    async def _keep(self) -> None:
        """Keep a producer that works, for as long as the gateway lives."""
        failures = 0
        idempotent = True
        while True:
            producer = FencedProducer(
                self._broker,
                prepare=self._prepare,
                on_log=self._on_log,
                request_timeout_ms=self._bounds.ack_ms,
                linger_ms=self._bounds.linger_ms,
                idempotent=idempotent,
            )
            try:
                await producer.start()
            except (UnknownError, IncompatibleBrokerVersion) as error:
                await _discard(producer)
                if idempotent:
                    idempotent = False
                    continue
                failures = await self._wait(failures, error)
            except (KafkaError, MainstemError, OSError, TimeoutError) as error:
                await _discard(producer)
                failures = await self._wait(failures, error)
            except asyncio.CancelledError:
                await _discard(producer)
                raise
            else:
                failures = 0
                self._producer = producer
                log.info("broker is there", extra={"idempotent": idempotent})
                await self._watch(producer)
                await self._drop_producer()

    async def _watch(self, producer: FencedProducer) -> None:
        """Follow the broker's coming and going; return when the producer is of no use any more."""
        while producer.alive:
            self._note(up=await _answers(producer))
            await asyncio.sleep(PROBE_MS / 1_000)
        self._note(up=False)

    def _note(self, *, up: bool) -> None:
        if up == self._up.is_set():
            return
        metrics.BROKER_UP.set(up)
        if up:
            self._up.set()
            return
        self._up.clear()
        if not self._stopping:
            log.warning("broker is away", extra={"records": self._records})
        for parcel in self._flying:
            if not (parcel.posted or parcel.outcome.done()):
                parcel.outcome.set_result(AWAY)
        waiting, self._queue = self._queue, deque()
        for parcel in waiting:
            if parcel.posted:
                self._queue.append(parcel)
            else:
                self._settle(parcel, AWAY)

    def _on_log(self, log_id: str) -> None:
        if self.log_id and self.log_id != log_id:
            log.warning("the broker came back with another log; ids are forgotten")
            self.recent.forget()
        self.log_id = log_id

    async def _wait(self, failures: int, error: BaseException) -> int:
        if not failures:
            log.warning("broker is not there yet", extra={"reason": str(error)})
        await asyncio.sleep(BACKOFF_MS[min(failures, len(BACKOFF_MS) - 1)] / 1_000)
        return failures + 1

    async def _drop_producer(self) -> None:
        self._note(up=False)
        producer, self._producer = self._producer, None
        if producer is not None:
            await _discard(producer, limit_ms=self._bounds.drain_ms)


async def _answers(producer: FencedProducer) -> bool:
    try:
        return await bounded(producer.probe(), within_ms=PROBE_LIMIT_MS)
    except (KafkaError, MainstemError, OSError, TimeoutError):
        return False


async def _discard(producer: FencedProducer, *, limit_ms: int = PROBE_LIMIT_MS) -> None:
    try:
        await bounded(producer.stop(), within_ms=limit_ms)
    except (KafkaError, OSError, TimeoutError) as error:
        log.warning("producer did not stop cleanly", extra={"reason": repr(error)})
        with contextlib.suppress(KafkaError, OSError, TimeoutError):
            await bounded(producer.abandon(), within_ms=PROBE_LIMIT_MS)


def _verdict(item: Outgoing, parcel: _Parcel, *, first: bool) -> Verdict:
    event_id = item.event.id
    if not parcel.outcome.done():
        parcel.abandoned = parcel.abandoned or (first and not parcel.posted)
        return _later(event_id, TIMED_OUT)
    reason = parcel.outcome.result()
    if reason:
        return _later(event_id, reason)
    return Verdict(id=event_id, status=Status.ACCEPTED if first else Status.DUPLICATE)


def _later(event_id: str, reason: str) -> Verdict:
    return Verdict(id=event_id, status=Status.REFUSED, reason=reason, retry_after_ms=RETRY_AFTER_MS)
