"""The publisher on Kafka: bounded, in order, acknowledged by all replicas, at most once an id.

What waits for the broker is bounded in records and bytes; past that, events are refused and
`post` raises `ProducerFull`. Events leave in the order in which they were handed in, a batch a
partition (see `lanes`); under load batches leave `linger_ms` apart, else at once. An event that is
not acknowledged in time is refused and may be sent again: what of it reaches the broker after all
is known by its id downstream. Posted events (hooks, connections) are kept within the same limits
while the broker is away, which is waited for; the gateway runs on, and refuses.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Final

from aiokafka.errors import KafkaConnectionError, KafkaError
from msgspec import Struct

from analytics.contracts import cloudevents, dead_letters
from analytics.contracts.cloudevents import Record
from analytics.contracts.errors import BrokerAway, MainstemError, ProducerFull
from analytics.contracts.ids import TenantId
from gateway import metrics
from gateway.http.shutdown import end
from gateway.kafka.accumulator import RECORD_OVERHEAD_BYTES, Pending, Queue, Queued, Queues
from gateway.kafka.dedup_cache import Recent, key_of
from gateway.kafka.producer import Delivery, FencedProducer, Partitions, Prepare, Sign
from gateway.kafka.producer_supervisor import ProducerSupervisor
from gateway.kafka.publisher import OutgoingEvent, Receipt, Status

RETRY_AFTER_MS: Final = 1_000
POST_ATTEMPTS_MAX: Final = 5
STRETCH_RECORDS: Final = 128  # of a call, taken in before others get their turn
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


class KafkaPublisher:
    """See the module; `start` and `stop` frame its life."""

    def __init__(
        self, broker: str, *, prepare: Prepare, bounds: Bounds, sign: Sign = lambda record: record
    ) -> None:
        self._broker, self._sign = broker, sign
        self._prepare = prepare
        self._bounds = bounds
        self.recent: Recent[Queued] = Recent(ids_max=bounds.recent_ids_max)
        self._queue: deque[Queued] = deque()
        self._lanes = Queues()
        self._records = 0
        self._bytes = 0
        self.log_id = ""
        self._stopping = False
        self._keeper = ProducerSupervisor(
            self._connect, note=self._note, gone=self._on_gone, drain_ms=bounds.drain_ms
        )
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
        self._tasks = [asyncio.create_task(self._keeper.run()), asyncio.create_task(self._pump())]

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
        await self._keeper.drop()
        left, self._queue = list(self._queue), deque()
        for lane in self._lanes:
            left += [*lane.land(), *lane.waiting]
            lane.waiting.clear()
        for parcel in left:
            self._settle(parcel, STOPPING)

    async def publish(self, outgoing: Sequence[OutgoingEvent]) -> list[Receipt]:
        """Return one verdict an event, in order, once each is acknowledged or refused."""
        begun = time.perf_counter()
        call = Pending()
        tickets = await self._admit_all(outgoing, call)
        if call.undecided:
            await call.wait(ms_max=self._bounds.ack_ms)
            metrics.PUBLISH_SECONDS.observe(time.perf_counter() - begun)
        else:
            await asyncio.sleep(
                0
            )  # who is refused and asks again at once must not hold up the loop
        return [
            ticket if isinstance(ticket, Receipt) else _verdict(item, ticket)
            for item, ticket in zip(outgoing, tickets, strict=True)
        ]

    async def _admit_all(
        self, outgoing: Sequence[OutgoingEvent], call: Pending
    ) -> "list[Queued | _Echo | Receipt]":
        """Admit each, a stretch at a time, with the call held open meanwhile."""
        tickets = [self._admit(item, call) for item in outgoing[:STRETCH_RECORDS]]
        call.undecided += 1
        while len(tickets) < len(outgoing):
            await asyncio.sleep(0)
            stretch = outgoing[len(tickets) : len(tickets) + STRETCH_RECORDS]
            tickets += [self._admit(item, call) for item in stretch]
        call.undecided -= 1
        return tickets

    def post(self, outgoing: Sequence[OutgoingEvent]) -> None:
        """Take events without waiting for the broker; raise `ProducerFull` at the limit."""
        size = sum(len(item.payload or b"") + RECORD_OVERHEAD_BYTES for item in outgoing)
        if self._stopping or not self._has_room(len(outgoing), size):
            metrics.LIMITS_HIT.labels("inflight").inc()
            raise ProducerFull(STOPPING if self._stopping else FULL)
        for item in outgoing:
            ticket = self._admit(item, None)
            if isinstance(ticket, Receipt) and ticket.status is Status.REFUSED:
                metrics.LOST.inc()

    async def dead_letter(
        self, payload: bytes, *, reason: str, origin: str, tenant: TenantId, whole_bytes: int = 0
    ) -> None:
        """Send what could not be read to the dead letters; raise `Unavailable` if it cannot."""
        record = dead_letters.record(
            payload, reason=reason, origin=origin, tenant=tenant, whole_bytes=whole_bytes
        )
        try:
            await self._dead_letter(record)
        except MainstemError:
            metrics.DEAD_LETTERS.labels("no").inc()
            raise
        metrics.DEAD_LETTERS.labels("yes").inc()

    async def _dead_letter(self, record: Record) -> None:
        if not self.ready:
            raise BrokerAway(AWAY)
        if not self._has_room(1, len(record.value)):
            raise ProducerFull(FULL)
        parcel = self._enqueue(record, key=b"", posted=False)
        call = Pending()
        parcel.tell(call)
        await call.wait(ms_max=self._bounds.ack_ms)
        if parcel.outcome != "":
            parcel.abandoned = True
            raise BrokerAway(TIMED_OUT)

    def _admit(self, item: OutgoingEvent, call: Pending | None) -> "Queued | _Echo | Receipt":
        """Return who carries the event, or the verdict; nobody waits for it if it is posted."""
        event = item.event
        key = key_of(event.tenant, event.id)
        if self.recent.accepted(key):
            return Receipt(id=event.id, status=Status.DUPLICATE)
        carrier = self.recent.pending(key)
        if carrier is not None:
            if call is not None:
                carrier.tell(call)
            return _Echo(carrier)
        if self._stopping or not (call is None or self._up.is_set()):
            return _later(event.id, STOPPING if self._stopping else AWAY)
        record = cloudevents.record(event, payload=item.payload, traceparent=item.traceparent)
        if len(record.value) > self._bounds.event_bytes_max:
            metrics.LIMITS_HIT.labels("event_bytes_max").inc()
            reason = f"the event has more than {self._bounds.event_bytes_max} bytes"
            return Receipt(id=event.id, status=Status.REFUSED, reason=reason)
        if call is None:
            return self._enqueue(record, key=key, posted=True)
        if not self._has_room(1, len(record.value)):
            metrics.LIMITS_HIT.labels("inflight").inc()
            return _later(event.id, FULL)
        parcel = self._enqueue(record, key=key, posted=False)
        parcel.tell(call)
        return parcel

    def _has_room(self, records: int, size: int) -> bool:
        bounds = self._bounds
        return (
            self._records + records <= bounds.records_max and self._bytes + size <= bounds.bytes_max
        )

    def _enqueue(self, record: Record, *, key: bytes, posted: bool) -> Queued:
        parcel = Queued(self._sign(record), key=key, posted=posted)
        if key:
            self.recent.begin(key, parcel)
        if not self._records:
            self._emptied.clear()
        self._records += 1
        self._bytes += parcel.bytes
        if not self._queue:
            self._filled.set()
        self._queue.append(parcel)
        return parcel

    async def _pump(self) -> None:
        """Send what waits: at once where nothing is under way, else `linger_ms` apart."""
        loop = asyncio.get_running_loop()
        departed = 0.0
        while True:
            await self._filled.wait()
            await self._up.wait()
            self._filled.clear()
            producer = self._keeper.producer
            if producer is None or not self._up.is_set():
                continue
            early_s = departed + self._bounds.linger_ms / 1_000 - loop.time()
            if early_s > 0 and self._lanes.flying():
                loop.call_later(early_s, self._filled.set)
                continue
            await self._place(producer)
            departed = loop.time()
            for lane in self._lanes.due():
                await self._send(producer, lane)

    async def _place(self, producer: FencedProducer) -> None:
        """Put what was handed in into the lanes, in order."""
        known: dict[str, Partitions] = {}
        while self._queue:
            record = self._queue[0].record
            where = known.get(record.topic)
            if where is None:
                try:
                    known[record.topic] = await producer.partitions(record.topic)
                except (KafkaError, OSError) as error:
                    if self._queue:
                        again = self._failed([self._queue.popleft()], error)
                        self._queue.extendleft(again)
                continue
            lane = self._lanes.at(record.topic, where.of(record.key))
            lane.waiting.append(self._queue.popleft())

    async def _send(self, producer: FencedProducer, lane: Queue) -> None:
        batch = producer.batch()
        for parcel in lane.load(batch.add):
            self._settle(parcel, TIMED_OUT)
        if not lane.flying:
            return
        try:
            delivery = await producer.send(batch, lane.topic, partition=lane.partition)
        except (KafkaError, OSError) as error:
            self._fell(lane, error)
        else:
            delivery.add_done_callback(partial(self._delivered, lane, lane.flying))

    def _delivered(self, lane: Queue, batch: list[Queued], delivery: Delivery) -> None:
        if lane.flying is not batch:
            return
        if delivery.cancelled():
            self._fell(lane, KafkaConnectionError("given up"))
            return
        error = delivery.exception()
        if error is not None:
            self._fell(lane, error)
            return
        for parcel in lane.land():
            self._settle(parcel, "")
        if lane.waiting or self._queue:
            self._filled.set()

    def _fell(self, lane: Queue, error: BaseException) -> None:
        lane.put_back(self._failed(lane.land(), error))
        if lane.waiting:
            self._filled.set()

    def _failed(self, parcels: list[Queued], error: BaseException) -> list[Queued]:
        """Refuse the events, and return posted ones: nobody else will send them again."""
        log.warning(
            "records not delivered",
            extra={
                "topic": parcels[0].record.topic,
                "reason": repr(error),
                "records": len(parcels),
            },
        )
        producer = self._keeper.producer
        if producer is not None:
            producer.note(error)
            if not producer.alive:
                self._note(up=False)
        again: list[Queued] = []
        for parcel in parcels:
            parcel.attempts += 1
            if parcel.posted and parcel.attempts < POST_ATTEMPTS_MAX and not self._stopping:
                again.append(parcel)
            else:
                self._settle(parcel, AWAY)
        return again

    def _settle(self, parcel: Queued, reason: str) -> None:
        self._records -= 1
        self._bytes -= parcel.bytes
        if parcel.key:
            self.recent.settle(parcel.key, accepted=not reason)
        if reason and parcel.posted:
            metrics.LOST.inc()
        parcel.decide(reason)
        if not self._records:
            self._emptied.set()

    def _note(self, *, up: bool) -> None:
        if up == self._up.is_set():
            return
        metrics.BROKER_UP.set(up)
        if up:
            self._up.set()
            self._filled.set()
            return
        self._up.clear()
        if not self._stopping:
            log.warning("broker is away", extra={"records": self._records})
        waiting: list[Queued] = []
        for lane in self._lanes:
            for parcel in lane.flying:
                if not parcel.posted:
                    parcel.decide(AWAY)
            waiting += lane.waiting
            lane.waiting.clear()
        waiting += self._queue
        self._queue.clear()
        self._queue.extend(self._waits_on(waiting))

    def _waits_on(self, waiting: Iterable[Queued]) -> list[Queued]:
        """Refuse what somebody would have to wait for; return what was posted."""
        posted: list[Queued] = []
        for parcel in waiting:
            if parcel.posted:
                posted.append(parcel)
            else:
                self._settle(parcel, AWAY)
        return posted

    def _connect(self, *, idempotent: bool) -> FencedProducer:
        return FencedProducer(
            self._broker,
            prepare=self._prepare,
            on_log=self._on_log,
            request_timeout_ms=self._bounds.ack_ms,
            idempotent=idempotent,
        )

    def _on_gone(self) -> None:
        """Take back what a producer did not deliver: it never will."""
        for lane in self._lanes.flying():
            self._fell(lane, KafkaConnectionError("given up"))

    def _on_log(self, log_id: str) -> None:
        if self.log_id and self.log_id != log_id:
            log.warning("the broker came back with another log; ids are forgotten")
            self.recent.forget()
        self.log_id = log_id


class _Echo(Struct, frozen=True, gc=False):
    """An event that came again while its parcel is on its way."""

    parcel: Queued


def _verdict(item: OutgoingEvent, ticket: Queued | _Echo) -> Receipt:
    event_id = item.event.id
    parcel = ticket if isinstance(ticket, Queued) else ticket.parcel
    if parcel.outcome is None:
        parcel.abandoned = parcel.abandoned or (parcel is ticket and not parcel.posted)
        return _later(event_id, TIMED_OUT)
    if parcel.outcome:
        return _later(event_id, parcel.outcome)
    return Receipt(id=event_id, status=Status.ACCEPTED if parcel is ticket else Status.DUPLICATE)


def _later(event_id: str, reason: str) -> Receipt:
    return Receipt(id=event_id, status=Status.REFUSED, reason=reason, retry_after_ms=RETRY_AFTER_MS)
