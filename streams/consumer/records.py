"""Records as aiokafka parses them, handed on without a copy.

aiokafka's parser is compiled, but each record it makes is copied into a frozen dataclass in Python,
which costs more than all the rest of a fetch, and passes through more calls on its way.
`spare_copies` takes that out of one consumer: what it hands on are the parser's own records, with
the same names for what we read of them. What makes sure of checksums, control records, aborted
transactions and positions stays as it is.

The internals that this rests on are named in `streams.consumer.internals`.
"""

from collections.abc import Iterator, Sequence
from typing import Protocol

from aiokafka import AIOKafkaConsumer
from aiokafka.consumer.fetcher import PartitionRecords
from aiokafka.structs import TopicPartition


class Record(Protocol):
    """What we read of a record."""

    offset: int
    timestamp: int
    timestamp_type: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


def spare_copies(consumer: AIOKafkaConsumer) -> None:
    """Have `consumer` hand records on as parsed; safe to call again."""
    fetcher = consumer._fetcher  # noqa: SLF001 (see `internals`)
    if not isinstance(fetcher._records, _Fetches):  # noqa: SLF001 (see `internals`)
        fetcher._records = _Fetches(fetcher._records)  # noqa: SLF001 (see `internals`)


class _Fetches(dict[TopicPartition, object]):
    """What was fetched and not taken yet; the records of each fetch are made `_Parsed`."""

    def __setitem__(self, tp: TopicPartition, fetched: object) -> None:
        records = getattr(fetched, "_partition_records", None)
        if records is not None:
            records.__class__ = _Parsed
        super().__setitem__(tp, fetched)


class _Parsed(PartitionRecords):  # type: ignore[misc] # aiokafka has no types
    """The records of one fetch, as they are, and without a call in between for each."""

    def __iter__(self) -> Iterator[Record]:
        records: Iterator[Record] = self._records_iterator
        return records

    def _consumer_record(self, tp: TopicPartition, record: Record) -> Record:
        return record
