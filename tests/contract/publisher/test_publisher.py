"""What every publisher promises."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from analytics.contracts import dead_letters, events, topics
from analytics.contracts.agent_events import PromptSubmitted, SessionStarted
from analytics.contracts.events import Event, ReviewFeedback
from analytics.contracts.ids import EventId, SessionId, TenantId
from gateway.kafka.publisher import OutgoingEvent, Publisher, Status
from tests.support.broker import RunningBroker, kafka, tansu
from tests.support.gateway import until
from tests.support.publisher_kafka import landed, publisher_on
from tests.support.publisher_memory import MemoryPublisher

__all__ = ["kafka", "tansu"]

TENANT = TenantId("acme")
Seen = Callable[[], Awaitable[list[tuple[str, bytes, bytes]]]]


class Bench:
    """A publisher and what its broker holds: topic, key and value of each record."""

    def __init__(self, publisher: Publisher, seen: Seen) -> None:
        self.publisher = publisher
        self.seen = seen


def _memory_bench() -> Bench:
    publisher = MemoryPublisher()

    async def seen() -> list[tuple[str, bytes, bytes]]:
        dead_letters = [
            (topics.DEAD_LETTERS.address, b"acme", one.payload) for one in publisher.dead_letters
        ]
        return [(one.topic, one.key, one.value) for one in publisher.records] + dead_letters

    return Bench(publisher, seen)


@asynccontextmanager
async def _broker_bench(broker: RunningBroker) -> AsyncIterator[Bench]:
    async with publisher_on(broker.address) as publisher:
        await until(lambda: publisher.ready, seconds_max=20)
        start = len(await landed(broker.address))

        async def seen() -> list[tuple[str, bytes, bytes]]:
            found = (await landed(broker.address))[start:]
            return [(one.topic, one.key, one.value) for one in found]

        yield Bench(publisher, seen)


@pytest.fixture(
    params=[
        "memory",
        pytest.param("tansu", marks=pytest.mark.embedded),
        pytest.param("kafka", marks=pytest.mark.kafka),
    ]
)
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    if request.param == "memory":
        yield _memory_bench()
        return
    async with _broker_bench(request.getfixturevalue(request.param)) as on_broker:
        yield on_broker


_numbers = iter(range(1, 1_000_000))


def _started(
    session: str = "s1", *, event_id: str = "", tenant: TenantId = TENANT
) -> OutgoingEvent:
    name = event_id or f"contract-{next(_numbers)}"
    return OutgoingEvent(
        event=SessionStarted(
            id=EventId(name), tenant=tenant, at_ms=1, session_id=SessionId(session)
        )
    )


def _prompted(session: str) -> OutgoingEvent:
    event = PromptSubmitted(
        id=EventId(f"contract-{next(_numbers)}"),
        tenant=TENANT,
        at_ms=1,
        session_id=SessionId(session),
        text="long enough for some batches" * 100,
    )
    return OutgoingEvent(event=event)


async def test_what_is_accepted_is_on_the_broker_under_its_key(bench: Bench) -> None:
    feedback: Event = ReviewFeedback(
        id=EventId(f"contract-{next(_numbers)}"), tenant=TENANT, at_ms=1, pull_request="a/b#1"
    )
    given = [_started("s1"), OutgoingEvent(event=feedback)]

    verdicts = await bench.publisher.publish(given)

    assert [verdict.status for verdict in verdicts] == [Status.ACCEPTED] * 2
    assert sorted(await bench.seen()) == sorted(
        [
            (topics.AGENTS.address, b"s1", events.encode(given[0].event)),
            (topics.REVIEWS.address, b"a/b#1", events.encode(feedback)),
        ]
    )


async def test_verdicts_come_in_order_and_name_their_event(bench: Bench) -> None:
    given = [_started(f"s{number}") for number in range(50)]

    verdicts = await bench.publisher.publish(given)

    assert [verdict.id for verdict in verdicts] == [one.event.id for one in given]


@pytest.mark.requirement("counted-once-by-id")
async def test_the_same_id_is_written_once_within_a_batch_and_across(bench: Bench) -> None:
    given = _started()

    first = await bench.publisher.publish([given, given])
    again = await bench.publisher.publish([given])

    assert [verdict.status for verdict in [*first, *again]] == [
        Status.ACCEPTED, Status.DUPLICATE, Status.DUPLICATE,
    ]  # fmt: skip
    assert len(await bench.seen()) == 1


@pytest.mark.requirement("counted-once-by-id")
async def test_the_same_id_sent_at_the_same_time_is_accepted_once(bench: Bench) -> None:
    given = _started()

    answers = await asyncio.gather(*(bench.publisher.publish([given]) for _ in range(5)))

    statuses = sorted(verdict.status for [verdict] in answers)
    assert statuses == [Status.ACCEPTED] + [Status.DUPLICATE] * 4
    assert len(await bench.seen()) == 1


async def test_ids_belong_to_a_tenant(bench: Bench) -> None:
    mine = _started()
    theirs = _started(event_id=mine.event.id, tenant=TenantId("umbrella"))

    verdicts = await bench.publisher.publish([mine, theirs])

    assert [verdict.status for verdict in verdicts] == [Status.ACCEPTED] * 2


@pytest.mark.requirement("session-ordered")
async def test_what_a_session_does_stays_in_order_however_it_is_handed_in(bench: Bench) -> None:
    given = [_started() for _ in range(60)]

    calls = [bench.publisher.publish(given[start : start + 10]) for start in range(0, 50, 10)]
    published = asyncio.gather(*calls)
    await asyncio.sleep(0)
    bench.publisher.post(given[50:])
    await published

    await _until_seen(bench, 60)
    ids = [events.decode(value).id for _, _, value in await bench.seen()]
    assert ids == [one.event.id for one in given]


@pytest.mark.requirement("session-ordered")
async def test_each_session_stays_in_order_over_many_batches(bench: Bench) -> None:
    given = [_prompted(f"s{number % 7}") for number in range(420)]

    calls = [bench.publisher.publish(given[start : start + 20]) for start in range(0, 420, 20)]
    answers = await asyncio.gather(*calls)

    assert {one.status for verdicts in answers for one in verdicts} == {Status.ACCEPTED}
    seen = [(key, events.decode(value).id) for _, key, value in await bench.seen()]
    for number in range(7):
        ids = [event_id for key, event_id in seen if key == b"s%d" % number]
        assert ids == [one.event.id for one in given[number::7]]


async def test_posted_events_arrive_and_are_known_by_their_id(bench: Bench) -> None:
    given = _started()

    bench.publisher.post([given])
    bench.publisher.post([given])
    await _until_seen(bench, 1)
    [verdict] = await bench.publisher.publish([given])

    assert verdict.status is Status.DUPLICATE
    assert len(await bench.seen()) == 1


async def test_a_payload_with_more_fields_is_carried_as_it_is(bench: Bench) -> None:
    given = _started()
    payload = events.encode(given.event)[:-1] + b',"mood":"good"}'

    await bench.publisher.publish([OutgoingEvent(event=given.event, payload=payload)])

    [(_, _, value)] = await bench.seen()
    assert value == payload


async def test_what_becomes_a_dead_letter_is_in_the_dead_letters_as_it_came(bench: Bench) -> None:
    payload = b"\x00\xff not an event"

    await bench.publisher.dead_letter(payload, reason="no event", origin="hooks", tenant=TENANT)

    assert await bench.seen() == [(topics.DEAD_LETTERS.address, b"acme", payload)]


async def test_an_event_near_the_limit_is_accepted(bench: Bench) -> None:
    event = PromptSubmitted(
        id=EventId(f"contract-{next(_numbers)}"),
        tenant=TENANT,
        at_ms=1,
        session_id=SessionId("s1"),
        text="x",
    )
    payload = events.encode(event)[:-1] + b',"more":"' + b"x" * 900_000 + b'"}'

    [verdict] = await bench.publisher.publish([OutgoingEvent(event=event, payload=payload)])

    assert verdict.status is Status.ACCEPTED


async def test_nothing_to_publish_is_answered_with_nothing(bench: Bench) -> None:
    assert await bench.publisher.publish([]) == []


def test_a_grave_keeps_the_head_of_a_large_payload_and_its_length() -> None:
    payload = b"x" * (dead_letters.PAYLOAD_BYTES_MAX + 5)

    record = dead_letters.record(payload, reason="r" * 5_000, origin="logs", tenant=TENANT)

    headers = dict(record.headers)
    assert len(record.value) == dead_letters.PAYLOAD_BYTES_MAX
    assert headers[dead_letters.BYTES] == str(len(payload)).encode()
    assert len(headers[dead_letters.REASON]) == dead_letters.REASON_LENGTH_MAX


async def _until_seen(bench: Bench, count: int) -> None:
    async with asyncio.timeout(10):
        while len(await bench.seen()) < count:  # noqa: ASYNC110 - a broker has no event to wait for
            await asyncio.sleep(0.01)
