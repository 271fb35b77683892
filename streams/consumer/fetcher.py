"""Fetches for a worker: it makes batches of records and knows which log they are of.

What it promises is said in `streams.consumer.batch_consumer`; what it rests upon inside aiokafka is
named in `streams.consumer.internals`.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Collection, Mapping
from typing import Final

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import IllegalStateError, KafkaError
from aiokafka.protocol.metadata import MetadataRequest
from aiokafka.structs import TopicPartition
from faust.types import TP

from streams import metrics
from streams.consumer.fingerprints import NO_MARK
from streams.consumer.positions import Places
from streams.consumer.record_batches import Batch, BatchSplitter
from streams.consumer.records import Record

log = logging.getLogger(__name__)

ASK_WAIT_S: Final = 2.0
"""How long the broker has to say who it is, where it ends, or that it noted an offset."""

NOBODY: Final = TopicPartition("", -1)
"""Asked for beside the partitions that are wanted: with none at all, aiokafka gives all."""

Fetched = Mapping[TopicPartition, list[Record]]


class BatchFetcher:
    """Makes batches of what one aiokafka consumer fetches."""

    def __init__(
        self,
        kafka: AIOKafkaConsumer,
        splitter: BatchSplitter,
        *,
        diverged: Callable[[TP, str], None],
        distrusted: Callable[[], None],
        log_suffix: str = "",
    ) -> None:
        self._kafka = kafka
        self._splitter = splitter
        self._diverged = diverged
        self._distrusted = distrusted
        self._log_suffix = log_suffix
        self._log_id = ""
        self._foreign = False
        self._places = Places()
        self._known: set[object] = set()
        self._held: frozenset[TP] = frozenset()
        self._held_anew = asyncio.Event()

    async def fetch(self, active: Collection[TP], *, within_s: float) -> dict[TP, list[Batch]]:
        """Return what there is of these partitions, or nothing if it takes longer than that."""
        found = await self._fetched(frozenset(active) - self._held, within_s)
        if not found or not await self._same_log():
            return {}
        batches: dict[TP, list[Batch]] = {}
        for partition, records in found.items():
            tp = TP(partition.topic, partition.partition)
            fit = self._places.fit(tp, records)
            if fit is None:
                continue  # not placed yet: `move` will come back for these
            if fit.misfit:
                self._places.leave(tp)  # nothing is handed on until it is placed again
                self._diverged(tp, fit.misfit)
                continue
            if fit.misses:
                await self._look_for_loss(partition, fit.first_offset)
            if fit.records:
                batches[tp] = list(
                    self._splitter.cut(self._log_id, tp, fit.first_offset, fit.records)
                )
        return batches

    def hold(self, held: Collection[TP]) -> None:
        """Hand nothing more on of these partitions, and of all others again."""
        self._held = frozenset(held)
        self._held_anew.set()

    async def identify(self) -> str:
        """Return the cluster id, asked of the broker now; batches are trusted again."""
        before = self._log_id
        current = await self._identify()
        if before and current != before:
            while await self._kafka.getmany(timeout_ms=0):
                pass  # fetched from the log before
        self._places.clear()
        self._foreign = False
        return current

    def move(self, tp: TP, offset: int, mark: int = NO_MARK) -> None:
        """Go on from `offset`, behind the record of that mark, if the partition is still ours."""
        try:
            self._kafka.seek(TopicPartition(*tp), self._places.put(tp, offset, mark))
        except IllegalStateError:
            self._places.leave(tp)

    async def _fetched(self, wanted: frozenset[TP], within_s: float) -> Fetched:
        """Return what there is of these; nothing if others come to be wanted meanwhile.

        What aiokafka has at hand of partitions that are not wanted stays with it.
        """
        self._held_anew.clear()
        asked = [NOBODY, *(TopicPartition(*tp) for tp in wanted)]
        fetching = asyncio.ensure_future(
            self._kafka.getmany(*asked, timeout_ms=int(within_s * 1_000))
        )
        regulated = asyncio.ensure_future(self._held_anew.wait())
        try:
            await asyncio.wait({fetching, regulated}, return_when=asyncio.FIRST_COMPLETED)
            found: Fetched = fetching.result() if fetching.done() else {}
            return found
        finally:
            fetching.cancel()  # what is at hand is taken in one go, so none of it is lost
            regulated.cancel()

    async def _look_for_loss(self, partition: TopicPartition, first: int) -> None:
        """Say how many records were removed before they were read, if that is why some miss."""
        try:
            async with asyncio.timeout(ASK_WAIT_S):
                begins = await self._kafka.beginning_offsets([partition])
        except (KafkaError, TimeoutError) as error:
            log.warning("offsets are missing", extra={"tp": str(partition), "error": repr(error)})
            return
        lost = begins[partition] - first
        if lost > 0:
            metrics.LOST.labels(partition.topic).inc(lost)
            log.error("removed before they were read", extra={"tp": str(partition), "lost": lost})

    async def _same_log(self) -> bool:
        """Whether the connections still lead to the log that was last identified.

        A broker cannot be replaced without its connections breaking, so asking again only for a
        connection that is new is enough.
        """
        if self._foreign:
            return False
        if self._connections() <= self._known:
            return True
        known = self._log_id
        if await self._identify() == known:
            self._look_back()
            return False
        self._log_id = known
        metrics.LOGS_REPLACED.inc()
        log.warning("the broker was replaced by another: asking the store for positions anew")
        self._foreign = True
        self._distrusted()
        return False

    def _look_back(self) -> None:
        """Go on where each partition is, with a look at the record before: it may be restored."""
        for tp, offset in self._places.again():
            with contextlib.suppress(IllegalStateError):
                self._kafka.seek(TopicPartition(*tp), offset)

    def _connections(self) -> set[object]:
        return set(self._kafka._client._conns.values())  # noqa: SLF001 (see `internals`)

    async def _identify(self) -> str:
        client = self._kafka._client  # noqa: SLF001 (see `internals`)
        node = client.get_random_node()
        if node is None:
            raise KafkaError("no broker is known")
        known = self._connections()
        async with asyncio.timeout(ASK_WAIT_S):
            answer = await client.send(node, MetadataRequest([]))
        self._known = known
        self._log_id = str(getattr(answer, "cluster_id", "") or "") + self._log_suffix
        return self._log_id
