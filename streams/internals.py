"""The insides of Faust and aiokafka that `streams.batches` overrides, calls or relies upon.

`batches` is written for how these read in `FAUST_VERSION`. `changed` names those that are gone or
read differently in what is installed; a test runs it, so that an upgrade is a decision: read what
changed, see whether `batches` still holds, and note the new digests.
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
    "faust.transport.consumer:Consumer.getmany": "75337a29",
    "faust.transport.consumer:Consumer._wait_next_records": "881cccf8",
    "faust.transport.consumer:Consumer._drain_messages": "c25c498f",
    "faust.transport.consumer:Consumer.perform_seek": "175fdda3",
    "faust.transport.consumer:Consumer.on_partitions_revoked": "95764d59",
    "faust.transport.consumer:Consumer.pause_partitions": "c7ff9a16",
    "faust.transport.consumer:Consumer.resume_partitions": "4f5c56a8",
    "faust.transport.consumer:Consumer.ack": "d37f1b8a",
    "faust.transport.consumer:Consumer.commit": "b4db65fb",
    "faust.transport.consumer:Consumer.on_stop": "b891e2d3",
    "faust.transport.consumer:ThreadDelegateConsumer._getmany": "effe7dba",
    "faust.transport.consumer:ThreadDelegateConsumer._commit": "58daad9a",
    "faust.transport.drivers.aiokafka:Consumer._new_consumer_thread": "fc3fb245",
    "faust.transport.drivers.aiokafka:Consumer._to_message": "02eddd3d",
    "faust.transport.drivers.aiokafka:AIOKafkaConsumerThread.__post_init__": "32cff67a",
    "faust.transport.drivers.aiokafka:AIOKafkaConsumerThread._create_worker_consumer": "89e6d171",
    "faust.transport.drivers.aiokafka:AIOKafkaConsumerThread.getmany": "d2fe3d4f",
    "faust.transport.drivers.aiokafka:AIOKafkaConsumerThread._fetch_records": "b26e1965",
    "faust.transport.drivers.aiokafka:AIOKafkaConsumerThread.on_thread_stop": "8c73ef56",
    "faust.transport.drivers.aiokafka:AIOKafkaConsumerThread.commit": "03986cc3",
    "faust.transport.drivers.aiokafka:AIOKafkaConsumerThread.highwater": "0f515b30",
    "faust.transport.drivers.aiokafka:AIOKafkaConsumerThread._commit": "6852568c",
    "mode.threads:WorkerThread.stop": "0fabb8e7",
    "mode.threads:ServiceThread.stop": "f829b401",
    "mode.threads:ServiceThread._gather_remaining_tasks": "702747c4",
    "faust.tables.recovery:Recovery._resume_streams": "ef61c97c",
    "faust.app.base:App._on_partitions_revoked": "f21b5112",
    "faust.app.base:App._on_partitions_assigned": "56eb5bd7",
    "faust.app.base:App.on_stop": "5c3635ae",
    "faust.serializers.registry:Registry._prepare_payload": "ce656df2",
    "aiokafka.consumer.fetcher:Fetcher.fetched_records": "88933bf1",
    "aiokafka.consumer.fetcher:Fetcher._notify": "65f6bbb7",
    "aiokafka.consumer.fetcher:Fetcher._create_fetch_waiter": "2b1200e3",
    "aiokafka.consumer.fetcher:Fetcher._get_actions_per_node": "da518d63",
    "aiokafka.consumer.fetcher:Fetcher._proc_fetch_request": "ad1f3453",
    "aiokafka.consumer.fetcher:PartitionRecords.__init__": "7b1717ff",
    "aiokafka.consumer.fetcher:PartitionRecords.__iter__": "88035b12",
    "aiokafka.consumer.fetcher:PartitionRecords._consumer_record": "b3c5d798",
    "aiokafka.consumer.fetcher:PartitionRecords._unpack_records": "bd591e99",
    "aiokafka.consumer.fetcher:FetchResult.getall": "0f1c9ead",
    "aiokafka.consumer.fetcher:FetchResult.check_assignment": "9c7785de",
    "aiokafka.client:AIOKafkaClient._get_conn": "5a8199fd",
    "aiokafka.client:AIOKafkaClient.close": "f9474d69",
    "aiokafka.consumer.group_coordinator:GroupCoordinator.__init__": "a0593a5a",
    "aiokafka.consumer.group_coordinator:GroupCoordinator._coordination_routine": "7f18fa10",
    "aiokafka.consumer.group_coordinator:GroupCoordinator._maybe_leave_group": "21624020",
    "aiokafka.consumer.consumer:AIOKafkaConsumer.stop": "65dff2e9",
    "aiokafka.client:AIOKafkaClient.get_random_node": "fa97c3ea",
}
"""What is overridden, called or relied upon, with a digest of how it reads in `FAUST_VERSION`."""


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
