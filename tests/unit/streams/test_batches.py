"""What a fetch becomes: batches without holes, of limited size, of one log."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import faust
import pytest
from aiokafka.errors import ConsumerStoppedError, IllegalStateError
from faust.types import TP
from msgspec import Struct

from streams import batches, metrics
from streams.cutting import RECORD_BYTES, Batch, Cutter
from streams.drive import Drive, Waits
from streams.fetching import BatchThread
from streams.flow import Bounds
from streams.marks import mark_of
from streams.places import Places
from tests.support.ledger_memory import MemoryLedger
from tests.support.stream_steps import RECIPES

PARTITION = TP("t", 0)
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
    """What aiokafka's consumer is to the thread: fetched records, positions and a client."""

    def __init__(self, records: Mapping[TP, Sequence[Fetched]], cluster_id: str = "a") -> None:
        self.records = records
        self.sought: list[tuple[TP, int]] = []
        self.begins = 0
        self._client = Client(cluster_id)
        self._closed = False
        self._fetcher = self
        self._subscriptions = self
        self._records: dict[TP, object] = {PARTITION: object()}
        self._fetch_waiters: set[asyncio.Future[None]] = set()

    @contextmanager
    def fetch_context(self) -> Iterator[None]:
        """Be asked."""
        yield

    async def fetched_records(
        self, partitions: set[TP], **_: object
    ) -> Mapping[TP, Sequence[Fetched]]:
        """Return what is there."""
        return {tp: records for tp, records in self.records.items() if tp in partitions}

    def _notify(self, waiter: "asyncio.Future[None]") -> None:
        """Wake whoever waits for records."""
        waiter.set_result(None)

    async def beginning_offsets(self, partitions: Sequence[TP]) -> Mapping[TP, int]:
        """Say where the log begins by now."""
        return dict.fromkeys(partitions, self.begins)

    def seek(self, tp: TP, offset: int) -> None:
        """Go to an offset."""
        if tp != PARTITION:
            raise IllegalStateError("not assigned")
        self.sought.append((tp, offset))


class Owner:
    """The consumer in the main thread."""

    flow_active = True

    def __init__(self) -> None:
        self.sought = asyncio.Event()
        self.said: list[tuple[TP, str]] = []

    def diverged(self, tp: TP, reason: str) -> None:
        """Note which partition is not what was stored."""
        self.said.append((tp, reason))

    async def perform_seek(self) -> None:
        """Note that positions were asked for anew."""
        self.sought.set()


class Thread(BatchThread):
    """The thread's own logic, on the loop of the test."""

    cutter = Cutter(records_max=100, bytes_max=1_000_000)

    def __init__(self, log: Log) -> None:
        self.owner = Owner()
        self.consumer = self.owner  # type: ignore[assignment] # as much of one as is used
        self.diverged = self.owner.diverged
        self.parent_loop = asyncio.get_running_loop()
        self._consumer = log
        self.thread_loop = asyncio.get_running_loop()
        self._places = Places()
        self._known = set()
        self._held = self._active = frozenset()
        self._wanted = set()

    async def call_thread(self, fun: Any, *args: Any, **kwargs: Any) -> Any:
        """Call at once."""
        return await fun(*args, **kwargs)

    async def fetch(self, log: Log) -> Mapping[TP, list[Batch]]:
        """Fetch as Faust does."""
        return await self._fetch_records(log, {PARTITION}, timeout=1.0, max_records=100)


async def _placed(log: Log, offset: int = 0) -> Thread:
    thread = Thread(log)
    await thread.identify()
    await thread.move(PARTITION, offset)
    await thread.move(TP("gone", 3), 7)
    return thread


async def test_a_fetch_is_one_batch_from_where_it_was_placed_to_its_last_record() -> None:
    log = Log({PARTITION: [Fetched(5), Fetched(6), Fetched(9)]})
    thread = await _placed(log, 5)

    first = await thread.fetch(log)
    log.records = {PARTITION: [Fetched(12)]}
    second = await thread.fetch(log)

    [one], [two] = first[PARTITION], second[PARTITION]
    assert (one.log_id, one.topic, one.partition) == ("a", "t", 0)
    assert (one.first_offset, one.next_offset, len(one.records)) == (5, 10, 3)
    assert (two.first_offset, two.next_offset) == (10, 13)
    assert log.sought == [(PARTITION, 5)]


async def test_a_batch_is_cut_where_it_would_hold_too_much_and_leaves_no_hole() -> None:
    log = Log({PARTITION: [Fetched(n) for n in range(7)]})
    thread = await _placed(log)
    thread.cutter = Cutter(records_max=3, bytes_max=10_000)
    by_records = (await thread.fetch(log))[PARTITION]
    await thread.move(PARTITION, 0)
    thread.cutter = Cutter(records_max=100, bytes_max=2 * (RECORD_BYTES + 36))

    by_bytes = (await thread.fetch(log))[PARTITION]

    assert [(one.first_offset, one.next_offset) for one in by_records] == [(0, 3), (3, 6), (6, 7)]
    assert [(one.first_offset, one.next_offset) for one in by_bytes] == [
        (0, 2), (2, 4), (4, 6), (6, 7),
    ]  # fmt: skip


async def test_one_record_over_the_limit_is_a_batch_of_its_own() -> None:
    log = Log({PARTITION: [Fetched(0), Fetched(1, b"x" * 999), Fetched(2)]})
    thread = await _placed(log)
    thread.cutter = Cutter(records_max=100, bytes_max=300)

    cut = (await thread.fetch(log))[PARTITION]

    assert [len(one.records) for one in cut] == [1, 1, 1]


async def test_records_of_a_partition_that_was_not_placed_yet_are_left() -> None:
    log = Log({PARTITION: [Fetched(0)]})
    thread = Thread(log)
    await thread.identify()

    assert await thread.fetch(log) == {}


@pytest.mark.requirement("new-log-starts-anew")
async def test_a_connection_to_another_cluster_hands_nothing_on_until_placed_anew() -> None:
    log = Log({PARTITION: [Fetched(0)]})
    thread = await _placed(log)
    await thread.fetch(log)

    log._client.reconnect("b")
    log.records = {PARTITION: [Fetched(1)]}
    from_another = await thread.fetch(log)
    async with asyncio.timeout(5):
        await thread.owner.sought.wait()
    meanwhile = await thread.fetch(log)
    await thread.identify()
    buffered = dict(log._records)
    await thread.move(PARTITION, 0)
    log.records = {PARTITION: [Fetched(0)]}
    placed = await thread.fetch(log)

    assert (from_another, meanwhile, buffered) == ({}, {}, {})
    assert [(one.log_id, one.first_offset) for one in placed[PARTITION]] == [("b", 0)]


async def test_a_new_connection_to_the_same_cluster_goes_on_after_one_question() -> None:
    log = Log({PARTITION: [Fetched(0)]})
    thread = await _placed(log)
    await thread.fetch(log)
    before = log._client.asked

    log._client.reconnect("a")
    log.records = {PARTITION: [Fetched(1)]}
    unsure = await thread.fetch(log)
    log.records = {PARTITION: [Fetched(0), Fetched(1)]}
    first = await thread.fetch(log)
    log.records = {PARTITION: [Fetched(2)]}
    await thread.fetch(log)

    assert unsure == {}
    assert first[PARTITION][0].first_offset == 1
    assert log._client.asked == before + 1


@pytest.mark.requirement("log-that-went-back")
async def test_a_log_that_ends_before_what_was_stored_is_said_and_nothing_is_handed_on() -> None:
    log = Log({PARTITION: [Fetched(0)]})
    thread = await _placed(log, 50)

    first, again = await thread.fetch(log), await thread.fetch(log)
    await asyncio.sleep(0)

    assert (first, again) == ({}, {})
    assert thread.owner.said == [(PARTITION, SAID_END)]


@pytest.mark.requirement("log-that-went-back")
async def test_the_record_before_has_to_be_the_one_that_was_stored() -> None:
    records = [Fetched(4, b"last"), Fetched(5), Fetched(6)]
    log = Log({PARTITION: records})
    thread = await _placed(log)

    await thread.move(PARTITION, 5, mark_of(0, b"last"))
    same = await thread.fetch(log)
    await thread.move(PARTITION, 5, mark_of(0, b"another"))
    other = await thread.fetch(log)
    await asyncio.sleep(0)

    assert [(one.first_offset, one.next_offset) for one in same[PARTITION]] == [(5, 7)]
    assert log.sought[-2:] == [(PARTITION, 4), (PARTITION, 4)]
    assert other == {}
    assert thread.owner.said == [(PARTITION, SAID_OTHER)]


@pytest.mark.requirement("log-that-went-back")
async def test_a_log_restored_while_the_broker_was_away_is_known_after_the_new_connection() -> None:
    log = Log({PARTITION: [Fetched(0, b"a"), Fetched(1, b"b")]})
    thread = await _placed(log)
    await thread.fetch(log)

    log._client.reconnect("a")
    log.records = {PARTITION: [Fetched(2, b"late")]}
    unsure = await thread.fetch(log)
    log.records = {PARTITION: [Fetched(1, b"x"), Fetched(2, b"late")]}
    restored = await thread.fetch(log)
    await asyncio.sleep(0)

    assert (unsure, restored) == ({}, {})
    assert log.sought[-1] == (PARTITION, 1)
    assert [tp for tp, _ in thread.owner.said] == [PARTITION]


async def test_records_removed_before_they_were_read_are_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    log = Log({PARTITION: [Fetched(7)]})
    thread = await _placed(log, 2)
    log.begins = 7
    before = metrics.LOST.labels("t")._value.get()

    [batch] = (await thread.fetch(log))[PARTITION]

    assert (batch.first_offset, batch.next_offset) == (2, 8)
    assert metrics.LOST.labels("t")._value.get() - before == 5
    assert "removed before they were read" in caplog.text


async def test_a_consumer_that_is_closed_says_so_as_faust_expects() -> None:
    log = Log({})
    thread = await _placed(log)
    log._closed = True

    with pytest.raises(ConsumerStoppedError):
        await thread.fetch(log)


def test_an_app_is_given_the_transport_that_makes_batches() -> None:
    app = faust.App("test", broker="kafka://127.0.0.1:1", autodiscover=False)
    limits = batches.Limits(records_max=7, bytes_max=8, fetch_wait_ms=9, fetch_bytes_max=10)

    drive = Drive(RECIPES, MemoryLedger(), None, watch=None, waits=Waits(), bounds=Bounds())  # type: ignore[arg-type] # neither is asked
    batches.install(app, drive, limits)

    consumer = app.transport.Consumer
    assert issubclass(consumer, batches.BatchConsumer)
    thread = consumer.thread_class
    assert (thread.fetch_wait_ms, thread.fetch_bytes_max) == (9, 10)


async def test_a_held_partition_is_not_handed_on_until_it_is_let_go_on() -> None:
    log = Log({PARTITION: [Fetched(0)]})
    thread = await _placed(log)
    thread.hold({PARTITION})
    await asyncio.sleep(0)

    held = await thread.fetch(log)
    thread.hold(set())
    await asyncio.sleep(0)
    let_go = await thread.fetch(log)

    assert held == {}
    assert [one.next_offset for one in let_go[PARTITION]] == [1]


async def test_a_fetch_that_waits_for_others_hands_on_what_is_let_go_on_meanwhile() -> None:
    log = Log({})
    thread = await _placed(log)
    await thread.fetch(log)
    thread.hold({PARTITION})
    await asyncio.sleep(0)
    waiter = asyncio.get_running_loop().create_future()
    log._fetch_waiters = {waiter}
    held = set(thread._wanted)

    thread.hold(set())
    await asyncio.sleep(0)

    assert PARTITION not in held
    assert PARTITION in thread._wanted
    assert waiter.done()


async def test_a_batch_keeps_of_headers_what_a_burial_reads_and_keeps_it_once() -> None:
    source = ("ce_source", b"/tenants/acme/hook")
    headers = (("ce_id", b"1"), source, ("content-type", b"application/json"))
    log = Log({PARTITION: [Fetched(n, headers=list(headers)) for n in range(2)]})
    thread = await _placed(log)

    [batch] = (await thread.fetch(log))[PARTITION]

    first, second = batch.records
    assert first.headers == (source,)
    assert first.headers is second.headers


async def test_a_batch_keeps_what_trace_a_record_belongs_to() -> None:
    source, trace = ("ce_source", b"/tenants/acme/hook"), ("ce_traceparent", b"00-1-2-01")
    log = Log({PARTITION: [Fetched(0, headers=[source, ("ce_id", b"1"), trace])]})
    thread = await _placed(log)

    [batch] = (await thread.fetch(log))[PARTITION]

    assert batch.records[0].headers == (source, trace)
