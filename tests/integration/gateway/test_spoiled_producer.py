"""A producer that lost count of its records is replaced: the gateway takes events again."""

import asyncio

import pytest
from aiokafka import TopicPartition

from analytics.contracts import events, topics
from analytics.contracts.agent_events import SessionStarted
from analytics.contracts.ids import EventId, SessionId
from gateway.kafka.publisher import OutgoingEvent, Status
from gateway.kafka.publisher_kafka import KafkaPublisher
from tests.integration.gateway.conftest import READY_S
from tests.support.broker import RunningBroker, kafka
from tests.support.gateway import TENANT, until
from tests.support.publisher_kafka import PARTITIONS, landed, publisher_on

__all__ = ["kafka"]


def _outgoing(event_id: str, *, session: str = "spoiled") -> OutgoingEvent:
    event = SessionStarted(
        id=EventId(event_id), tenant=TENANT, session_id=SessionId(session), at_ms=1
    )
    return OutgoingEvent(event=event)


def _lose_count(publisher: KafkaPublisher) -> None:
    """Skip a number of every partition, as aiokafka does with a batch that it gives up."""
    fenced = publisher._keeper.producer
    assert fenced is not None
    for partition in range(PARTITIONS):
        place = TopicPartition(topics.AGENTS.address, partition)
        fenced._producer._txn_manager.increment_sequence_number(place, 1)


async def _until_taken(publisher: KafkaPublisher, event_id: str) -> None:
    async with asyncio.timeout(READY_S):
        while (await publisher.publish([_outgoing(event_id)]))[0].status is Status.REFUSED:
            await until(lambda: publisher.ready, seconds_max=READY_S)
            await asyncio.sleep(0.05)


@pytest.mark.kafka
@pytest.mark.requirement("refused-may-be-resent")
async def test_events_that_follow_a_lost_one_are_refused_only_until_the_producer_is_replaced(
    kafka: RunningBroker,
) -> None:
    async with publisher_on(kafka.address) as publisher:
        await until(lambda: publisher.ready, seconds_max=READY_S)
        [before] = await publisher.publish([_outgoing("before")])
        _lose_count(publisher)

        [refused] = await publisher.publish([_outgoing("after")])
        await _until_taken(publisher, "after")

    assert (before.status, refused.status) == (Status.ACCEPTED, Status.REFUSED)
    agents = [one for one in await landed(kafka.address) if one.key == b"spoiled"]
    assert [events.decode(one.value).id for one in agents] == ["before", "after"]


@pytest.mark.kafka
@pytest.mark.requirement("session-ordered")
async def test_posted_events_outlive_a_producer_that_lost_count_and_stay_in_order(
    kafka: RunningBroker,
) -> None:
    names = [f"posted-{number}" for number in range(20)]
    async with publisher_on(kafka.address) as publisher:
        await until(lambda: publisher.ready, seconds_max=READY_S)
        await publisher.publish([_outgoing("posted-before", session="posted")])
        _lose_count(publisher)

        publisher.post([_outgoing(name, session="posted") for name in names])
        await until(lambda: not publisher.ready, seconds_max=READY_S)
        await until(lambda: publisher.ready, seconds_max=READY_S)
        [last] = await publisher.publish([_outgoing("posted-after", session="posted")])

    assert last.status is Status.ACCEPTED
    agents = [one for one in await landed(kafka.address) if one.key == b"posted"]
    ids = [events.decode(one.value).id for one in agents]
    assert ids == ["posted-before", *names, "posted-after"]
