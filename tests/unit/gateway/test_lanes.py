"""Lanes keep order whatever happens to a batch; a call waits once for all of its parcels."""

import asyncio

import pytest
from aiokafka.partitioner import DefaultPartitioner
from hypothesis import given
from hypothesis import strategies as st

from analytics.contracts.cloudevents import Record
from gateway.kafka import producer
from gateway.kafka.accumulator import Pending, Queue, Queued, Queues
from gateway.kafka.producer import Partitions


def _parcel(number: int = 0, *, posted: bool = False) -> Queued:
    record = Record(topic="t", key=b"k", value=b"%d" % number, headers=())
    return Queued(record, key=b"%d" % number, posted=posted)


def _values(parcels: list[Queued]) -> list[bytes]:
    return [parcel.record.value for parcel in parcels]


class Room:
    """A batch that takes so many records."""

    def __init__(self, records_max: int) -> None:
        self.records: list[Record] = []
        self._records_max = records_max

    def add(self, record: Record) -> bool:
        """Add a record, and say whether it fits."""
        if len(self.records) >= self._records_max:
            return False
        self.records.append(record)
        return True


_steps = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.integers(1, 5)),
        st.tuples(st.just("load"), st.integers(1, 4)),
        st.tuples(st.sampled_from(["landed", "fell"]), st.just(0)),
    ),
    max_size=40,
)


@pytest.mark.requirement("session-ordered")
@given(steps=_steps)
def test_what_is_sent_again_leaves_in_the_order_in_which_it_was_handed_in(
    steps: list[tuple[str, int]],
) -> None:
    lane = Queue("t", 0)
    given, arrived = 0, list[Queued]()
    for step, count in steps:
        if step == "put":
            lane.waiting.extend(_parcel(given + one) for one in range(count))
            given += count
        elif step == "load" and not lane.flying:
            lane.load(Room(count).add)
        elif step == "landed":
            arrived += lane.land()
        elif step == "fell":
            lane.put_back(lane.land())

    rest = [*lane.flying, *lane.waiting]
    assert _values([*arrived, *rest]) == [b"%d" % number for number in range(given)]


def test_a_parcel_that_nobody_waits_for_is_left_behind() -> None:
    lane, parcels = Queue("t", 0), [_parcel(number) for number in range(5)]
    parcels[0].abandoned = parcels[2].abandoned = True
    lane.waiting.extend(parcels)
    room = Room(2)

    left = lane.load(room.add)

    assert left == [parcels[0], parcels[2]]
    assert lane.flying == [parcels[1], parcels[3]]
    assert list(lane.waiting) == [parcels[4]]
    assert [record.value for record in room.records] == [b"1", b"3"]


def test_a_lane_is_due_while_something_waits_and_nothing_is_under_way() -> None:
    lanes = Queues()
    lane = lanes.at("t", 1)
    nothing = lanes.due()
    lane.waiting.extend([_parcel(1), _parcel(2)])
    waiting = lanes.due()
    lane.load(Room(1).add)
    under_way = (lanes.due(), lanes.flying())
    lane.land()

    assert lanes.at("t", 1) is lane
    assert (nothing, waiting, under_way) == ([], [lane], ([], [lane]))
    assert (lanes.due(), lanes.flying()) == ([lane], [])


async def test_a_call_is_done_once_the_last_of_its_parcels_is_decided() -> None:
    call, parcels = Pending(), [_parcel(number) for number in range(3)]
    for parcel in [*parcels, parcels[0]]:
        parcel.tell(call)

    done = []
    for parcel in parcels:
        parcel.decide("")
        done.append(call.done.done())
    await call.wait(ms_max=60_000)

    assert done == [False, False, True]


async def test_a_call_waits_no_longer_than_it_may_and_hears_nothing_afterwards() -> None:
    call, parcel = Pending(), _parcel()
    parcel.tell(call)

    async with asyncio.timeout(10):
        await call.wait(ms_max=1)
    undecided = parcel.outcome
    parcel.decide("too late")

    assert undecided is None
    assert parcel.outcome == "too late"


async def test_only_the_first_word_on_a_parcel_counts_and_nobody_waits_for_a_decided_one() -> None:
    call, parcel = Pending(), _parcel()

    parcel.decide("away")
    parcel.decide("")
    parcel.tell(call)

    assert (parcel.outcome, call.undecided) == ("away", 0)


@pytest.mark.requirement("session-ordered")
@given(keys=st.lists(st.binary(max_size=40)), partitions=st.integers(1, 64))
def test_a_key_goes_where_any_client_of_kafka_puts_it(keys: list[bytes], partitions: int) -> None:
    there = list(range(partitions))
    ours, theirs = Partitions(there), DefaultPartitioner()

    assert [ours.of(key) for key in keys * 2] == [theirs(key, there, there) for key in keys * 2]


def test_the_partitions_of_keys_are_remembered_within_a_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(producer, "KEYS_MAX", 3)
    partitions = Partitions([0, 1, 2, 3])

    found = {partitions.of(b"%d" % number) for number in range(100)}

    assert len(partitions._known) <= 3
    assert found == {0, 1, 2, 3}
