"""A tenant that sends faster than its share waits, and nobody else does."""

import asyncio
import gzip

import pytest

from analytics.contracts.agent_events import PromptSubmitted
from analytics.contracts.ids import TenantId
from gateway.http.rates import Rate, Rates, read_rate
from gateway.kafka.pace import Pace
from gateway.kafka.publisher import OutgoingEvent, Status
from gateway.kafka.shares import SLICE_LEAST, Shares
from tests.support.facts import fact
from tests.support.gateway import Clock, client, gateway, token
from tests.support.publisher_memory import MemoryPublisher

RATE = Rate(count=100, per_ms=1_000, burst=SLICE_LEAST)


class Sleep:
    """Sleeps by moving the clock on, and remembers for how long."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.slept_s: list[float] = []

    async def __call__(self, seconds: float) -> None:
        """Let time pass."""
        self.slept_s.append(seconds)
        self.clock.now_ms += round(seconds * 1_000)


class Way:
    """Shares in front of a publisher in memory."""

    def __init__(self, rate: str = "10/1s+10", *, wait_ms_max: int = 5_000) -> None:
        self.clock = Clock()
        self.sleep = Sleep(self.clock)
        self.publisher = MemoryPublisher()
        spelled = read_rate(rate)
        self.shares = Shares(
            self.publisher,
            None if spelled is None else Rates(spelled, keys_max=100),
            wait_ms_max=wait_ms_max,
            now_ms=self.clock,
            pace=Pace(),
            sleep=self.sleep,
        )


def events(count: int, *, tenant: str = "loud", mark: str = "") -> list[OutgoingEvent]:
    return [
        OutgoingEvent(
            event=fact(PromptSubmitted, id=f"{tenant}-{mark}-{number}", tenant=TenantId(tenant))
        )
        for number in range(count)
    ]


async def test_a_tenant_within_its_burst_does_not_wait() -> None:
    way = Way()

    verdicts = await way.shares.publish(events(10))

    assert {one.status for one in verdicts} == {Status.ACCEPTED}
    assert way.sleep.slept_s == []


async def test_what_is_faster_than_the_rate_waits_for_its_turn() -> None:
    way = Way()

    for number in range(3):
        await way.shares.publish(events(10, mark=str(number)))

    assert way.sleep.slept_s == [1.0, 1.0]
    assert len(way.publisher.records) == 30


async def test_nobody_else_waits_for_a_tenant_that_floods() -> None:
    way = Way()
    await way.shares.publish(events(10))
    await asyncio.gather(*(way.shares.publish(events(10, mark=str(n))) for n in range(3)))
    slept_s = list(way.sleep.slept_s)

    await way.shares.publish(events(5, tenant="calm"))

    assert way.sleep.slept_s == slept_s


async def test_what_would_wait_too_long_is_refused_for_now_and_takes_nothing() -> None:
    way = Way(wait_ms_max=500)
    await way.shares.publish(events(10))

    refused = await way.shares.publish(events(10, mark="early"))
    way.clock.now_ms += refused[0].retry_after_ms or 0
    taken = await way.shares.publish(events(10, mark="late"))

    assert {(one.status, one.retry_after_ms) for one in refused} == {(Status.REFUSED, 1_000)}
    assert {one.status for one in taken} == {Status.ACCEPTED}
    assert way.sleep.slept_s == []


async def test_a_large_batch_goes_in_slices_each_in_its_turn() -> None:
    way = Way(f"100/1s+{SLICE_LEAST}")

    verdicts = await way.shares.publish(events(SLICE_LEAST * 3))

    assert [one.id for one in verdicts] == [one.event.id for one in events(SLICE_LEAST * 3)]
    assert {one.status for one in verdicts} == {Status.ACCEPTED}
    assert way.sleep.slept_s == [SLICE_LEAST / 100] * 2


async def test_a_slice_larger_than_the_burst_is_taken_whole_and_the_next_waits_for_it() -> None:
    way = Way()

    verdicts = await way.shares.publish(events(40))
    await way.shares.publish(events(1, mark="next"))

    assert len(verdicts) == 40
    assert {one.status for one in verdicts} == {Status.ACCEPTED}
    assert way.sleep.slept_s == [3.1]


async def test_a_large_batch_is_refused_as_a_whole_or_not_at_all() -> None:
    way = Way(f"100/1s+{SLICE_LEAST}", wait_ms_max=1_000)

    taken = await way.shares.publish(events(SLICE_LEAST * 9))
    refused = await way.shares.publish(events(SLICE_LEAST * 9, mark="next"))

    assert {one.status for one in taken} == {Status.ACCEPTED}
    assert 0 < sum(way.sleep.slept_s) <= 1.0
    assert {one.status for one in refused} == {Status.REFUSED}
    assert all(one.retry_after_ms for one in refused)


async def test_another_tenant_finds_a_slice_in_front_of_it_and_not_the_batch() -> None:
    way = Way(f"100/1s+{SLICE_LEAST}")
    in_front: list[int] = []

    async def sleep(seconds: float) -> None:
        way.clock.now_ms += round(seconds * 1_000)
        await way.shares.publish(events(1, tenant="calm", mark=str(len(in_front))))
        in_front.append(len(way.publisher.records))

    way.shares = Shares(
        way.publisher, Rates(RATE, keys_max=100), wait_ms_max=60_000, now_ms=way.clock,
        pace=Pace(), sleep=sleep,
    )  # fmt: skip
    await way.shares.publish(events(SLICE_LEAST * 4))

    assert in_front == [SLICE_LEAST + 1, 2 * SLICE_LEAST + 2, 3 * SLICE_LEAST + 3]


async def test_what_could_not_be_read_counts_too() -> None:
    way = Way()
    for _ in range(10):
        await way.shares.dead_letter(b"?", reason="no", origin="events", tenant=TenantId("loud"))

    await way.shares.publish(events(1))

    assert way.sleep.slept_s == [0.1]


@pytest.mark.parametrize("count", [1, 10_000])
async def test_without_a_rate_nothing_waits(count: int) -> None:
    way = Way("")

    assert len(await way.shares.publish(events(count))) == count
    assert way.sleep.slept_s == []


async def test_a_tenant_whose_bodies_inflate_to_more_than_its_share_is_refused_the_next() -> None:
    packed = gzip.compress(b"[" + b" " * 5_000 + b"]")
    told = {"content-type": "application/json", "content-encoding": "gzip"}
    built = gateway(MemoryPublisher(), rate_inflated_by_tenant="1000/1s+4000")

    async with client(built, bearer=token()) as http:
        first = await http.post("/v1/events", content=packed, headers=told)
        second = await http.post("/v1/events", content=packed, headers=told)
        plain = await http.post("/v1/events", json=[])
    async with client(built, bearer=token(tenant=TenantId("calm"))) as http:
        calm = await http.post("/v1/events", content=packed, headers=told)

    assert (first.status_code, plain.status_code, calm.status_code) == (200, 200, 200)
    assert (second.status_code, second.headers["retry-after"]) == (429, "2")


async def test_a_body_that_is_too_large_once_inflated_counts_too() -> None:
    bomb = gzip.compress(b" " * 10_000)
    told = {"content-type": "application/json", "content-encoding": "gzip"}
    built = gateway(MemoryPublisher(), body_bytes_max=2_048, rate_inflated_by_tenant="1000/1s+1000")

    async with client(built, bearer=token()) as http:
        answers = [await http.post("/v1/events", content=bomb, headers=told) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [413, 429]
