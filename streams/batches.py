"""The seam into Faust: an agent is handed the records of one fetch as one item.

Faust costs about four asyncio tasks a record, whatever the codec. Here it keeps what it is good at
(membership, assignment, lifecycle, backpressure), and an item on its queues is a `Batch`: the
records of one partition's fetch, with the one range of offsets that they cover. Promises:

- the batches of a partition follow each other without a hole, from where `Positions` last said;
- a batch knows which log it came from: a broker replaced by another, whose log starts at 0 again,
  is noticed before its first record is handed on, and `Positions` is asked anew;
- a log that was restored or cut off is noticed too: the record before the first is read once more,
  where a partition is placed and after each new connection, and has to be the one that was stored
  (see `marks`); records that were removed before they were read are counted and said;
- a batch holds at most `records_max` records and, if it is more than one, `bytes_max` bytes;
- a partition that is held is not handed on: at most one fetch of it, `fetch_bytes_max`, waits here,
  and Kafka is not asked for more;
- the store says where a partition starts, never Kafka: what is committed to Kafka shows the lag to
  whoever looks there, and failing to commit it harms nothing.

Every internal of Faust and aiokafka that this rests on is named in `streams.internals`, for the
version that it holds for; a test fails when one of them reads differently.
"""

import asyncio
import logging
from collections.abc import Collection, Coroutine, Iterable, Mapping
from typing import Any, Final, Protocol

import faust
from aiokafka.errors import IllegalStateError, KafkaError
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage, Message
from msgspec import Struct
from yarl import URL

from streams.cutting import Batch, Cutter
from streams.fetching import BatchThread, faust_log
from streams.marks import NO_MARK

log = logging.getLogger(__name__)
POSITION_WAIT_S: Final = 3.0
"""How long a rebalance waits for the store to say where to start; then it goes on behind."""


class Positions(Protocol):
    """Who says where partitions start: what the drive of a worker is to this module."""

    async def assigned(self, partitions: Iterable[TP], *, log_id: str, generation: int) -> None:
        """Take these partitions, and have each placed as soon as the store says where it starts."""
        ...

    def revoked(self, partitions: Iterable[TP]) -> None:
        """Let these partitions go at once; nothing more is written for them."""
        ...

    def diverged(self, tp: TP, reason: str) -> None:
        """Leave a partition: what the broker has is not what the store has of it."""
        ...

    def reached(self) -> Mapping[TP, int]:
        """Return the next offset of each partition, as far as the store has it."""
        ...


class BatchConsumer(driver.Consumer):
    """A Faust consumer whose messages are batches and whose positions come from `Positions`."""

    logger = faust_log
    positions: Positions
    thread_class: type[BatchThread] = BatchThread

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 (Faust fills them in)
        super().__init__(*args, **kwargs)
        self._read_offset = _Unread()
        self._shown: dict[TP, int] = {}

    def _new_consumer_thread(self) -> BatchThread:
        return self.thread_class(self, loop=self.loop, beacon=self.beacon)

    def _to_message(self, tp: TP, record: Batch) -> ConsumerMessage:
        last = record.records[-1]
        return ConsumerMessage(
            topic=record.topic,
            partition=record.partition,
            offset=record.next_offset - 1,
            timestamp=last.timestamp / 1000,
            timestamp_type=0,
            headers=None,
            key=b"",
            value=record,  # type: ignore[arg-type] # the raw codec passes it through as it is
            checksum=None,
            serialized_key_size=0,
            serialized_value_size=0,
            tp=tp,
            generation_id=self.app.consumer_generation_id,
        )

    async def perform_seek(self) -> None:
        """Hold every partition until the store has said where it starts."""
        partitions = self.assignment()
        self.pause_partitions(partitions)
        generation = self.app.consumer_generation_id
        try:
            current = await self._batch_thread.identify()
        except (KafkaError, OSError, TimeoutError) as error:
            log.warning("the broker does not say who it is", extra={"error": repr(error)})
            asyncio.get_running_loop().call_later(1.0, self._seek_again, generation)
            return
        placing = self._keep(
            self.positions.assigned(partitions, log_id=current, generation=generation)
        )
        await asyncio.wait({placing}, timeout=POSITION_WAIT_S)

    def _seek_again(self, generation: int) -> None:
        if not self.should_stop and self.app.consumer_generation_id == generation:
            self._keep(self.perform_seek())

    def _keep(self, work: Coroutine[Any, Any, None]) -> "asyncio.Future[None]":
        return self.add_future(work)

    async def place(self, tp: TP, offset: int, *, mark: int = NO_MARK) -> None:
        """Go on with one partition from `offset`, behind the record of that mark."""
        await self._batch_thread.move(tp, offset, mark)
        if tp in self.assignment():
            self.resume_partitions({tp})

    def hold(self, held: Collection[TP]) -> None:
        """Read no further for these partitions, and again for all others."""
        self._batch_thread.hold(held)

    @property
    def left(self) -> bool:
        """Whether the group is not taken part in any more, for a fatal error."""
        task = self._batch_thread.membership()
        return task is not None and task.done()

    def end(self, tp: TP) -> int | None:
        """Return where the partition ended when it was last fetched, if that is known."""
        try:
            return self.highwater(tp)
        except (IllegalStateError, AssertionError):
            return None

    async def ends(self, partitions: set[TP]) -> Mapping[TP, int]:
        """Ask the broker where these partitions end."""
        if not partitions:
            return {}
        return await self._batch_thread.ends(partitions)

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Let go before Faust does."""
        self.positions.revoked(revoked)
        self._shown.clear()
        await super().on_partitions_revoked(revoked)

    def ack(self, message: Message) -> bool:
        """Forget the message: what is done is in the store, and `commit` reads it there."""
        message.acked = True
        self._unacked_messages.discard(message)
        return True

    async def commit(self, topics: object = None, start_new_transaction: bool = True) -> bool:  # noqa: FBT001, FBT002 (the signature is Faust's)
        """Show Kafka how far the store is."""
        reached = self.positions.reached()
        news = {tp: offset for tp, offset in reached.items() if self._shown.get(tp) != offset}
        if not news or not await self._commit(news):
            return False
        self._shown.update(news)
        return True

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Say nothing: liveness is told by offsets against lag."""

    @property
    def _batch_thread(self) -> BatchThread:
        thread = self._thread
        assert isinstance(thread, BatchThread)
        return thread


class _Unread(dict[TP, int | None]):
    """What Faust knows as read already: nothing, since `place` may go back."""

    def __missing__(self, key: TP) -> None:
        return None

    def __setitem__(self, key: TP, value: int | None) -> None:
        """Keep nothing."""


class Limits(Struct, frozen=True, kw_only=True):
    """What a batch may hold, and how long a fetch may wait for its first record."""

    records_max: int
    bytes_max: int
    fetch_wait_ms: int
    fetch_bytes_max: int
    """Bytes that one fetch asks for, over all partitions."""
    log_generation: int = 0
    """Set to a number it had not, the log counts as another."""


def install(app: faust.App, positions: Positions, limits: Limits) -> None:
    """Make `app` work on batches; call it before anything asks for the app's consumer."""

    class Thread(BatchThread):
        logger = faust_log
        cutter = Cutter(records_max=limits.records_max, bytes_max=limits.bytes_max)
        fetch_wait_ms = limits.fetch_wait_ms
        fetch_bytes_max = limits.fetch_bytes_max
        diverged = staticmethod(positions.diverged)
        log_suffix = f"#{limits.log_generation}" if limits.log_generation else ""

    class Consumer(BatchConsumer):
        logger = faust_log
        thread_class = Thread

    class Transport(driver.Transport):
        pass

    Consumer.positions = positions
    Transport.Consumer = Consumer
    app.transport = Transport([URL(str(url)) for url in app.conf.broker], app)
