"""What a fetch becomes: batches without holes, of limited size, of one log."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import faust
import pytest
from aiokafka.errors import ConsumerStoppedError, IllegalStateError
from aiokafka.structs import TopicPartition
from faust.exceptions import ImproperlyConfigured
from faust.types import TP
from msgspec import Struct

from streams import metrics
from streams.consumer import transport
from streams.consumer.assignment import PartitionAssignment, Waits
from streams.consumer.batch_consumer import BatchConsumer, FetchLimits, Intake
from streams.consumer.commit_pipeline import Bounds
from streams.consumer.fetcher import NOBODY, BatchFetcher
from streams.consumer.fingerprints import mark_of
from streams.consumer.record_batches import RECORD_BYTES, Batch, BatchSplitter
from tests.support.checkpoint_memory import MemoryCheckpoint
from tests.support.stream_steps import RECIPES

PARTITION = TP("t", 0)
PATIENCE_MS = 1_000
"""A fetch that has longer waits for records, where there are none."""
SAID_END = "its end is before offset 50, up to which it was stored"
SAID_OTHER = "its record at offset 4 is not the one that was stored"


class Fetched(Struct, frozen=True):
    """A record from a fetch."""

    offset: int
    value: bytes | None = b"x" * 36
    key: bytes | None = None
    timestamp: int = 0
    headers: Sequence[tuple[str, bytes]] = ()


class Answer(Struct, frozen=True):
    """What a broker says of itself."""

    cluster_id: str


class Client:
    """A connection to a broker that says who it is."""

    def __init__(self, cluster_id: str) -> None:
        self.cluster_id = cluster_id
        self.asked = 0
        self._conns: dict[str, object] = {"0": object()}

    def reconnect(self, cluster_id: str) -> None:
        """Lead to another broker, or to the same one anew."""
        self.cluster_id = cluster_id
        self._conns = {"0": object()}

    def get_random_node(self) -> int:
        """Return the only node."""
        return 0

    async def send(self, node: int, request: object) -> Answer:
        """Answer a metadata request."""
        self.asked += 1
        return Answer(self.cluster_id)


class Log:
    """What aiokafka's consumer is to the fetcher: fetched records, positions and a client."""

    def __init__(self, records: Mapping[TP, Sequence[Fetched]], cluster_id: str = "a") -> None:
        self.records = records
        self.sought: list[tuple[TP, int]] = []
        self.begins = 0
        self.asked: list[Sequence[TP]] = []
        self.is_closed = False
        self.waits, self.came = asyncio.Event(), asyncio.Event()
        self._client = Client(cluster_id)

    async def getmany(self, *partitions: TP, timeout_ms: int) -> Mapping[TP, Sequence[Fetched]]:
        """Return what is there, each record once."""
        if self.is_closed:
            raise ConsumerStoppedError
        self.asked.append(partitions)
        wanted = partitions or tuple(self.records)
        if timeout_ms > PATIENCE_MS and not self.records:
            self.waits.set()
            await self.came.wait()
        found = {tp: records for tp, records in self.records.items() if tp in wanted}
        self.records = {tp: one for tp, one in self.records.items() if tp not in wanted}
        return found

    async def beginning_offsets(self, partitions: Sequence[TP]) -> Mapping[TP, int]:
        """Say where the log begins by now."""
        return dict.fromkeys(partitions, self.begins)

    def seek(self, tp: TP, offset: int) -> None:
        """Go to an offset."""
        assert isinstance(tp, TopicPartition)
        if tp != PARTITION:
            raise IllegalStateError("not assigned")
        self.sought.append((tp, offset))


class Reader:
    """A fetcher, and what it says to those around it."""

    def __init__(self, log: Log, *, records_max: int = 100, bytes_max: int = 1_000_000) -> None:
        self.said: list[tuple[TP, str]] = []
        self.distrusted = 0
        self.batches = BatchFetcher(
            log,
            BatchSplitter(records_max=records_max, bytes_max=bytes_max),
            diverged=lambda tp, reason: self.said.append((tp, reason)),
            distrusted=self._distrust,
        )

    def _distrust(self) -> None:
        self.distrusted += 1

    async def fetch(self, *, within_s: float = PATIENCE_MS / 1_000) -> Mapping[TP, list[Batch]]:
        """Fetch as Faust does."""
        return await self.batches.fetch({PARTITION}, within_s=within_s)


async def _placed(log: Log, offset: int = 0, **limits: int) -> Reader:
    reader = Reader(log, **limits)
    await reader.batches.identify()
    reader.batches.move(PARTITION, offset)
    reader.batches.move(TP("gone", 3), 7)
    return reader


async def test_a_fetch_is_one_batch_from_where_it_was_placed_to_its_last_record() -> None:
    log = Log({PARTITION: [Fetched(5), Fetched(6), Fetched(9)]})
    reader = await _placed(log, 5)

    first = await reader.fetch()
    log.records = {PARTITION: [Fetched(12)]}
    second = await reader.fetch()

    [one], [two] = first[PARTITION], second[PARTITION]
    assert (one.log_id, one.topic, one.partition) == ("a", "t", 0)
    assert (one.first_offset, one.next_offset, len(one.records)) == (5, 10, 3)
    assert (two.first_offset, two.next_offset) == (10, 13)
    assert log.sought == [(PARTITION, 5)]


async def test_a_batch_is_cut_where_it_would_hold_too_much_and_leaves_no_hole() -> None:
    log = Log({PARTITION: [Fetched(n) for n in range(7)]})
    by_records = (await (await _placed(log, records_max=3)).fetch())[PARTITION]
    log.records = {PARTITION: [Fetched(n) for n in range(7)]}

    reader = await _placed(log, bytes_max=2 * (RECORD_BYTES + 36))
    by_bytes = (await reader.fetch())[PARTITION]

    assert [(one.first_offset, one.next_offset) for one in by_records] == [(0, 3), (3, 6), (6, 7)]
    assert [(one.first_offset, one.next_offset) for one in by_bytes] == [
        (0, 2), (2, 4), (4, 6), (6, 7),
    ]  # fmt: skip


async def test_one_record_over_the_limit_is_a_batch_of_its_own() -> None:
    log = Log({PARTITION: [Fetched(0), Fetched(1, b"x" * 999), Fetched(2)]})
    reader = await _placed(log, bytes_max=300)

    cut = (await reader.fetch())[PARTITION]

    assert [len(one.records) for one in cut] == [1, 1, 1]


async def test_records_of_a_partition_that_was_not_placed_yet_are_left() -> None:
    log = Log({PARTITION: [Fetched(0)]})
    reader = Reader(log)
    await reader.batches.identify()

    assert await reader.fetch() == {}


@pytest.mark.requirement("new-log-starts-anew")
async def test_a_connection_to_another_cluster_hands_nothing_on_until_placed_anew() -> None:
    log = Log({PARTITION: [Fetched(0)]})
    reader = await _placed(log)
    await reader.fetch()

    log._client.reconnect("b")
    log.records = {PARTITION: [Fetched(1)]}
    from_another = await reader.fetch()
    log.records = {PARTITION: [Fetched(0)]}
    meanwhile = await reader.fetch()
    log._client.reconnect("c")
    log.records = {PARTITION: [Fetched(2)]}
    await reader.batches.identify()
    buffered = dict(log.records)
    reader.batches.move(PARTITION, 0)
    log.records = {PARTITION: [Fetched(0)]}
    placed = await reader.fetch()

    assert (from_another, meanwhile, buffered) == ({}, {}, {})
    assert reader.distrusted == 1
    assert [(one.log_id, one.first_offset) for one in placed[PARTITION]] == [("c", 0)]


async def test_a_new_connection_to_the_same_cluster_goes_on_after_one_question() -> None:
    log = Log({PARTITION: [Fetched(0)]})
    reader = await _placed(log)
    await reader.fetch()
    before = log._client.asked

    log._client.reconnect("a")
    log.records = {PARTITION: [Fetched(1)]}
    unsure = await reader.fetch()
    log.records = {PARTITION: [Fetched(0), Fetched(1)]}
    first = await reader.fetch()
    log.records = {PARTITION: [Fetched(2)]}
    await reader.fetch()

    assert unsure == {}
    assert first[PARTITION][0].first_offset == 1
    assert log._client.asked == before + 1


@pytest.mark.requirement("log-that-went-back")
async def test_a_log_that_ends_before_what_was_stored_is_said_and_nothing_is_handed_on() -> None:
    log = Log({PARTITION: [Fetched(0)]})
    reader = await _placed(log, 50)

    first, again = await reader.fetch(), await reader.fetch()
    await asyncio.sleep(0)

    assert (first, again) == ({}, {})
    assert reader.said == [(PARTITION, SAID_END)]


@pytest.mark.requirement("log-that-went-back")
async def test_the_record_before_has_to_be_the_one_that_was_stored() -> None:
    records = [Fetched(4, b"last"), Fetched(5), Fetched(6)]
    log = Log({PARTITION: records})
    reader = await _placed(log)

    reader.batches.move(PARTITION, 5, mark_of(0, b"last"))
    same = await reader.fetch()
    log.records = {PARTITION: records}
    reader.batches.move(PARTITION, 5, mark_of(0, b"another"))
    other = await reader.fetch()
    await asyncio.sleep(0)

    assert [(one.first_offset, one.next_offset) for one in same[PARTITION]] == [(5, 7)]
    assert log.sought[-2:] == [(PARTITION, 4), (PARTITION, 4)]
    assert other == {}
    assert reader.said == [(PARTITION, SAID_OTHER)]


@pytest.mark.requirement("log-that-went-back")
async def test_a_log_restored_while_the_broker_was_away_is_known_after_the_new_connection() -> None:
    log = Log({PARTITION: [Fetched(0, b"a"), Fetched(1, b"b")]})
    reader = await _placed(log)
    await reader.fetch()

    log._client.reconnect("a")
    log.records = {PARTITION: [Fetched(2, b"late")]}
    unsure = await reader.fetch()
    log.records = {PARTITION: [Fetched(1, b"x"), Fetched(2, b"late")]}
    restored = await reader.fetch()
    await asyncio.sleep(0)

    assert (unsure, restored) == ({}, {})
    assert log.sought[-1] == (PARTITION, 1)
    assert [tp for tp, _ in reader.said] == [PARTITION]


async def test_records_removed_before_they_were_read_are_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    log = Log({PARTITION: [Fetched(7)]})
    reader = await _placed(log, 2)
    log.begins = 7
    before = metrics.LOST.labels("t")._value.get()

    [batch] = (await reader.fetch())[PARTITION]

    assert (batch.first_offset, batch.next_offset) == (2, 8)
    assert metrics.LOST.labels("t")._value.get() - before == 5
    assert "removed before they were read" in caplog.text


async def test_a_consumer_that_is_closed_says_so_as_faust_expects() -> None:
    log = Log({})
    reader = await _placed(log)
    log.is_closed = True

    with pytest.raises(ConsumerStoppedError):
        await reader.fetch()


def _app(broker: str) -> faust.App:
    return faust.App("test", broker=broker, autodiscover=False)


def _assignment() -> PartitionAssignment:
    neither: Any = None
    return PartitionAssignment(
        RECIPES, MemoryCheckpoint(), neither, watch=neither, waits=Waits(), bounds=Bounds()
    )


LIMITS = FetchLimits(records_max=7, bytes_max=8, fetch_wait_ms=9, fetch_bytes_max=10)


def test_faust_finds_the_transport_of_record_batches_by_the_scheme_of_its_broker() -> None:
    app, assignment = _app("batch+kafka://127.0.0.1:1"), _assignment()

    transport.bind(app, assignment, LIMITS)

    assert isinstance(app.transport, transport.Transport)
    assert isinstance(app.consumer, BatchConsumer)
    assert app.consumer.intake == Intake(assignment, LIMITS)


async def test_an_app_that_was_not_told_where_its_partitions_start_says_what_to_do() -> None:
    consumer = _app("batch+kafka://127.0.0.1:1").consumer

    assert isinstance(consumer, BatchConsumer)
    with pytest.raises(ImproperlyConfigured, match=r"call streams\.consumer\.transport\.bind"):
        await consumer.on_start()


def test_an_app_on_another_transport_is_refused() -> None:
    with pytest.raises(ImproperlyConfigured, match=r"not batch\+kafka"):
        transport.bind(_app("kafka://127.0.0.1:1"), _assignment(), LIMITS)


async def test_a_held_partition_is_not_handed_on_until_it_is_let_go_on() -> None:
    log = Log({PARTITION: [Fetched(0)]})
    reader = await _placed(log)
    reader.batches.hold({PARTITION})

    held = await reader.fetch()
    reader.batches.hold(set())
    let_go = await reader.fetch()

    assert held == {}
    assert [one.next_offset for one in let_go[PARTITION]] == [1]


async def test_no_partition_wanted_is_not_taken_for_all() -> None:
    log = Log({PARTITION: [Fetched(0)]})
    reader = await _placed(log)

    found = await reader.batches.fetch((), within_s=0)

    assert found == {}
    assert log.asked == [(NOBODY,)]


async def test_a_fetch_that_waits_ends_when_a_partition_is_let_go_on_and_loses_nothing() -> None:
    log = Log({})
    reader = await _placed(log)
    reader.batches.hold({PARTITION})
    waiting = asyncio.ensure_future(reader.fetch(within_s=3_600))
    async with asyncio.timeout(5):
        await log.waits.wait()

    reader.batches.hold(set())
    async with asyncio.timeout(5):
        ended = await waiting
    log.records = {PARTITION: [Fetched(0)]}
    log.came.set()
    let_go = await reader.fetch()

    assert ended == {}
    assert [one.next_offset for one in let_go[PARTITION]] == [1]


async def test_a_batch_keeps_of_headers_what_a_burial_reads_and_keeps_it_once() -> None:
    source = ("ce_source", b"/tenants/acme/hook")
    headers = (("ce_id", b"1"), source, ("content-type", b"application/json"))
    log = Log({PARTITION: [Fetched(n, headers=list(headers)) for n in range(2)]})
    reader = await _placed(log)

    [batch] = (await reader.fetch())[PARTITION]

    first, second = batch.records
    assert first.headers == (source,)
    assert first.headers is second.headers


async def test_a_batch_keeps_what_trace_a_record_belongs_to() -> None:
    source, trace = ("ce_source", b"/tenants/acme/hook"), ("ce_traceparent", b"00-1-2-01")
    log = Log({PARTITION: [Fetched(0, headers=[source, ("ce_id", b"1"), trace])]})
    reader = await _placed(log)

    [batch] = (await reader.fetch())[PARTITION]

    assert batch.records[0].headers == (source, trace)
