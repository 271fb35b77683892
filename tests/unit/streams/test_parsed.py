"""Records come from aiokafka's own parser, uncopied, and its care for what they are stays."""

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.consumer.fetcher import FetchError, FetchResult, PartitionRecords
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import ConsumerRecord, TopicPartition
from msgspec import Struct

from streams.consumer.records import Record, spare_copies

PARTITION = TopicPartition("t", 0)
HEADERS = [("ce_id", b"1")]


class Fetcher:
    """As much of aiokafka's fetcher as keeps fetches."""

    def __init__(self) -> None:
        self._records: dict[TopicPartition, object] = {}


class Consumer(AIOKafkaConsumer):  # type: ignore[misc] # aiokafka has no types
    """A consumer that was never started."""

    def __init__(self) -> None:
        self._fetcher = Fetcher()
        self._closed = True


class Assigned(Struct):
    """An assignment in which every partition is at offset 0 and active."""

    active: bool = True
    paused: bool = False
    position: int = 0

    def state_value(self, tp: TopicPartition) -> "Assigned":
        """Return the state of any partition."""
        return self

    def consumed_to(self, offset: int) -> None:
        """Move on."""
        self.position = offset


def _fetched(data: bytes) -> FetchResult:
    records = PartitionRecords(
        PARTITION, MemoryRecords(data), [], 0, None, None, check_crcs=True, isolation_level=0
    )
    return FetchResult(PARTITION, assignment=Assigned(), partition_records=records, backoff=0)


def _log(count: int) -> bytes:
    builder = DefaultRecordBatchBuilder(
        magic=2, compression_type=0, is_transactional=0, producer_id=-1, producer_epoch=-1,
        base_sequence=-1, batch_size=1 << 20,
    )  # fmt: skip
    for offset in range(count):
        builder.append(offset, 1_000 + offset, b"k", b"v%d" % offset, headers=HEADERS)
    return bytes(builder.build())


def _taken(data: bytes, *, spared: bool) -> list[Record]:
    consumer = Consumer()
    if spared:
        spare_copies(consumer)
    consumer._fetcher._records[PARTITION] = _fetched(data)
    kept = consumer._fetcher._records[PARTITION]
    assert isinstance(kept, FetchResult)
    taken: list[Record] = kept.getall()
    return taken


def test_a_record_says_what_its_copy_would_have_said() -> None:
    data = _log(3)

    spared, copied = _taken(data, spared=True), _taken(data, spared=False)

    assert not any(isinstance(record, ConsumerRecord) for record in spared)
    for one, other in zip(spared, copied, strict=True):
        for name in ("offset", "timestamp", "timestamp_type", "key", "value"):
            assert getattr(one, name) == getattr(other, name), name
        assert tuple(one.headers) == tuple(other.headers) == tuple(HEADERS)


def test_a_record_batch_that_broke_on_its_way_is_noticed() -> None:
    data = bytearray(_log(3))
    data[-1] ^= 0xFF

    with pytest.raises(CorruptRecordException):
        _taken(bytes(data), spared=True)


def test_what_was_fetched_before_and_errors_are_kept_as_they_are() -> None:
    consumer = Consumer()
    error = FetchError(error=CorruptRecordException("x"), backoff=0)
    consumer._fetcher._records[PARTITION] = error

    spare_copies(consumer)
    spare_copies(consumer)

    assert consumer._fetcher._records == {PARTITION: error}
