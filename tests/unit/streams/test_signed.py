"""Which records a worker takes where it has keys, and what becomes of the others."""

from collections.abc import Sequence
from typing import Final

import pytest
from aiokafka import ConsumerRecord
from msgspec.structs import replace

from analytics.contracts import cloudevents, dead_letters, topics
from analytics.contracts.cloudevents import Record
from analytics.contracts.ids import TenantId
from analytics.contracts.signatures import ANYBODYS, Seal, SignatureRules, keys_of, seal_of, signed
from analytics.measures.prices import PriceTable
from gateway.kafka.log_consumer import line_values
from streams import metrics
from streams.consumer import topology
from streams.consumer.record_batches import SlimRecord
from tests.support import facts
from tests.support.stream_steps import RULES

KEY: Final = b"k" * 32
OLD: Final = b"o" * 32
STRANGER: Final = b"s" * 32
EVENT: Final = cloudevents.record(facts.request("r1", id="e1"))
GRAVE: Final = dead_letters.record(b"{", reason="r", origin="o", tenant=TenantId("acme"))
NOW_MS: Final = 1_790_000_000_000


def _kept(record: Record, offset: int = 0) -> SlimRecord:
    return SlimRecord(offset, NOW_MS, record.value, record.headers)


def _seal(record: Record, *keys: bytes) -> Seal:
    return seal_of(record.topic, record.value, record.headers, keys=keys or (KEY,))


@pytest.mark.parametrize("record", [EVENT, GRAVE], ids=["event", "dead letter"])
def test_what_a_key_of_ours_signed_is_ours_and_nothing_else(record: Record) -> None:
    ours = signed(record, KEY)

    assert _seal(ours) is Seal.VALID
    assert _seal(ours, STRANGER, KEY) is Seal.VALID
    assert _seal(record) is Seal.MISSING
    assert _seal(signed(record, STRANGER)) is Seal.WRONG
    assert _seal(replace(ours, value=ours.value + b" ")) is Seal.WRONG
    assert _seal(replace(ours, topic=topics.CONNECTIONS.address)) is Seal.WRONG


def test_nobody_signs_a_dead_letter_over_to_another_tenant() -> None:
    ours = signed(GRAVE, KEY)
    other = tuple(
        (name, b"other" if name == dead_letters.TENANT else value) for name, value in ours.headers
    )

    assert _seal(replace(ours, headers=other)) is Seal.WRONG


def _read(topic: str, records: Sequence[Record], rules: SignatureRules) -> tuple[list[int], object]:
    made = topology.signed(topology.recipes(PriceTable({}), RULES), rules)
    reading = made[topic].read(0, [_kept(one, n) for n, one in enumerate(records)], NOW_MS)
    dead_letters = [
        (one.offset, one.tenant, one.reason.split(":")[0]) for one in reading.dead_letters
    ]
    return [one.offset for one in reading.arrivals], dead_letters


def _refused(seal: Seal) -> float:
    return float(metrics.UNSIGNED.labels(EVENT.topic, seal.value)._value.get())


def test_what_is_not_ours_is_a_dead_letter_of_no_tenant_and_its_neighbours_are_read() -> None:
    rules = SignatureRules(keys=(KEY, OLD))
    before = _refused(Seal.MISSING), _refused(Seal.WRONG)

    read, dead_letters = _read(
        EVENT.topic,
        [signed(EVENT, KEY), EVENT, signed(EVENT, STRANGER), signed(EVENT, OLD)],
        rules,
    )

    assert read == [0, 3]
    assert dead_letters == [(1, "", "signature missing"), (2, "", "signature wrong")]
    assert (_refused(Seal.MISSING), _refused(Seal.WRONG)) == (before[0] + 1, before[1] + 1)


def test_records_from_before_are_taken_where_the_rules_say_so_and_wrong_ones_never() -> None:
    rules = SignatureRules(keys=(KEY,), takes_unsigned=True)

    assert _read(EVENT.topic, [EVENT, signed(EVENT, STRANGER)], rules) == (
        [0], [(1, "", "signature wrong")],
    )  # fmt: skip


@pytest.mark.parametrize("topic", [topic.address for topic in topics.FACTS])
def test_every_topic_that_a_worker_reads_is_checked(topic: str) -> None:
    rules = SignatureRules(keys=(KEY,))
    record = replace(EVENT, topic=topic)

    read, dead_letters = _read(topic, [record], rules)

    assert read == []
    assert dead_letters == [(0, "", "signature missing")]


@pytest.mark.parametrize("text", ["", "short", f"{'k' * 32} short", " ".join(["k" * 32] * 9)])
def test_a_key_that_is_missing_or_short_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="key"):
        keys_of(text)


def test_watchers_are_not_shown_what_is_not_ours() -> None:
    ours, theirs = signed(EVENT, KEY), signed(EVENT, STRANGER)
    records = [
        ConsumerRecord(
            topic=one.topic, partition=0, offset=n, timestamp=NOW_MS, timestamp_type=0,
            key=one.key, value=one.value, checksum=None, serialized_key_size=0,
            serialized_value_size=0, headers=one.headers,
        )
        for n, one in enumerate((ours, EVENT, theirs))
    ]  # fmt: skip

    assert list(line_values(records, SignatureRules(keys=(KEY,)))) == [
        (0, ours.value), (1, b""), (2, b""),
    ]  # fmt: skip
    assert [value for _, value in line_values(records, ANYBODYS)] == [
        one.value for one in (ours, EVENT, theirs)
    ]
