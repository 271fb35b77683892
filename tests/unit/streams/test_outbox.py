"""Results leave at least once, and are forgotten only when the broker has them."""

import asyncio
from collections.abc import Sequence

import pytest

from analytics.contracts.cloudevents import Record
from analytics.contracts.errors import BrokerAway
from streams.consumer.outbox_relay import Outbox
from tests.support.checkpoint_memory import MemoryCheckpoint
from tests.support.stream_steps import until

RECORDS = [Record(topic="t", key=b"k", value=b"%d" % n, headers=()) for n in range(7)]


class Topic:
    """Takes records, or is away some times first."""

    def __init__(self, away: int = 0) -> None:
        self.away = away
        self.records: list[Record] = []

    async def __call__(self, records: Sequence[Record]) -> None:
        """Take them, and then perhaps not say so."""
        self.records.extend(records)
        self.away -= 1
        if self.away >= 0:
            raise BrokerAway("no acknowledgement")


def _checkpoints() -> MemoryCheckpoint:
    checkpoints = MemoryCheckpoint()
    checkpoints.outbox = dict(enumerate(RECORDS, start=1))
    return checkpoints


@pytest.mark.requirement("results-published")
async def test_all_results_are_sent_in_order_and_forgotten() -> None:
    checkpoints, topic = _checkpoints(), Topic()

    sent = await Outbox(checkpoints, topic, records_max=3, waiting_max=100, wait_s=1).send_all()

    assert (sent, topic.records, checkpoints.outbox) == (7, RECORDS, {})


async def test_what_was_not_acknowledged_is_sent_again() -> None:
    checkpoints, topic = _checkpoints(), Topic(away=1)
    outbox = Outbox(checkpoints, topic, records_max=3, waiting_max=100, wait_s=1)

    with pytest.raises(BrokerAway):
        await outbox.send_all()
    assert len(checkpoints.outbox) == 7
    await outbox.send_all()

    assert topic.records == [*RECORDS[:3], *RECORDS]
    assert checkpoints.outbox == {}


async def test_a_commit_that_fills_the_outbox_wakes_it() -> None:
    checkpoints, topic = MemoryCheckpoint(), Topic()
    outbox = Outbox(checkpoints, topic, records_max=3, waiting_max=100, wait_s=3_600)
    running = asyncio.create_task(outbox.run())
    await asyncio.sleep(0)

    checkpoints.outbox = dict(enumerate(RECORDS, start=1))
    outbox.filled(len(RECORDS))

    await until(lambda: not checkpoints.outbox)
    running.cancel()
    assert topic.records == RECORDS


async def test_a_broker_that_is_away_is_tried_again() -> None:
    checkpoints, topic = _checkpoints(), Topic(away=2)
    running = asyncio.create_task(
        Outbox(checkpoints, topic, records_max=10, waiting_max=100, wait_s=0.001).run()
    )

    await until(lambda: not checkpoints.outbox)
    running.cancel()

    assert topic.records == RECORDS * 3


async def test_a_full_outbox_says_so_until_some_of_it_was_sent() -> None:
    checkpoints, topic = _checkpoints(), Topic(away=1)
    outbox = Outbox(checkpoints, topic, records_max=5, waiting_max=7, wait_s=1)

    with pytest.raises(BrokerAway):
        await outbox.send_all()
    full = outbox.full
    await outbox.send_all()
    sent = outbox.full
    outbox.filled(8)

    assert full == "7 results wait to be sent, and 7 may"
    assert (sent, outbox.full) == ("", "8 results wait to be sent, and 7 may")


async def test_while_another_worker_sends_nothing_is_sent_twice() -> None:
    checkpoints, mine, theirs = _checkpoints(), Topic(), Topic()

    async with checkpoints.sending(limit=7) as outgoing:
        await theirs(outgoing.records)
        sent = await Outbox(checkpoints, mine, records_max=7, waiting_max=9, wait_s=1).send_all()

    assert (sent, mine.records, theirs.records) == (0, [], RECORDS)
    assert checkpoints.outbox == {}
