"""The internals of Faust and aiokafka that `streams.consumer.batch_consumer` touches.

What Faust's abstract consumer leaves open is no internal of it, nor is what aiokafka's consumer
offers. Beyond that the room is written for how these read in `FAUST_VERSION`. `changed` names those
that are gone or read differently in what is installed; a test runs it, so that an upgrade is a
decision: read what changed, see whether the room still holds, and note the new digests.
"""

import hashlib
import importlib
import inspect
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

FAUST_VERSION: Final = "0.15.3"
"""The version of faust-streaming whose insides this module knows."""

TOUCHED: Final[dict[str, str]] = {
    # Overridden: Kafka is shown what the store says, not what was acknowledged.
    "faust.transport.consumer:Consumer.commit": "b4db65fb",
    # Counted on: what `_getmany` returns becomes messages by `_to_message`, one each, and what lies
    # behind the last `seek` is handed on.
    "faust.transport.consumer:Consumer.getmany": "75337a29",
    "faust.transport.consumer:Consumer._drain_messages": "c25c498f",
    # Counted on: after each assignment, and before the flow goes on, `seek_to_committed` is asked.
    "faust.transport.consumer:Consumer.perform_seek": "175fdda3",
    "faust.tables.recovery:Recovery._resume_streams": "ef61c97c",
    # Called or read: which connections there are, and which broker answers.
    "aiokafka.client:AIOKafkaClient._get_conn": "5a8199fd",
    "aiokafka.client:AIOKafkaClient.get_random_node": "fa97c3ea",
    # Set, and called where aiokafka's own stop fails half way: the broker may be away.
    "aiokafka.consumer.consumer:AIOKafkaConsumer.stop": "65dff2e9",
    "aiokafka.consumer.group_coordinator:GroupCoordinator.close": "afc528a3",
    "aiokafka.consumer.group_coordinator:GroupCoordinator._maybe_leave_group": "21624020",
    "aiokafka.consumer.group_coordinator:GroupCoordinator._stop_heartbeat_task": "d46a72b6",
    "aiokafka.consumer.group_coordinator:GroupCoordinator._stop_commit_offsets_refresh_task": "ed27fba1",  # noqa: E501 (a name)
    "aiokafka.consumer.fetcher:Fetcher.close": "00fcff15",
    "aiokafka.client:AIOKafkaClient.close": "f9474d69",
    # Read and called where the producer's own stop does not end: the broker may be away.
    "aiokafka.producer.producer:AIOKafkaProducer.stop": "f36d3a44",
    "aiokafka.producer.sender:Sender.close": "465c0db7",
    "faust.transport.drivers.aiokafka:Producer.on_stop": "6cfeca2c",
    # Counted on: a wait that is cancelled has taken nothing, what is not asked for stays, and a
    # seek lets go of what was fetched.
    "aiokafka.consumer.fetcher:Fetcher.fetched_records": "88933bf1",
    "aiokafka.consumer.fetcher:FetchResult.check_assignment": "9c7785de",
    # Overridden for one consumer: records are handed on as parsed (see `records`).
    "aiokafka.consumer.fetcher:FetchResult.getall": "0f1c9ead",
    "aiokafka.consumer.fetcher:PartitionRecords.__iter__": "88035b12",
    "aiokafka.consumer.fetcher:PartitionRecords._consumer_record": "b3c5d798",
    "aiokafka.consumer.fetcher:PartitionRecords._unpack_records": "bd591e99",
}
"""What is overridden, called or counted on beyond what the libraries offer for it, with a digest of
how it reads in `FAUST_VERSION`."""


def changed(touched: Mapping[str, str] = MappingProxyType(TOUCHED)) -> list[str]:
    """Return what of `touched` is gone or reads differently in what is installed."""
    return [name for name, digest in touched.items() if _digest(name) != digest]


def _digest(name: str) -> str:
    module, _, path = name.partition(":")
    try:
        found: object = importlib.import_module(module)
    except ImportError:
        return ""
    for part in path.split("."):
        found = getattr(found, part, None)
    if found is None or not callable(found):
        return ""
    return hashlib.blake2b(inspect.getsource(found).encode(), digest_size=4).hexdigest()
