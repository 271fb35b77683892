"""How much of its rate a tenant may use follows how long events wait for the workers."""

import pytest

from analytics.contracts.ids import TenantId
from gateway.kafka.pace import (
    ALONE,
    COMPANY_MS,
    CUT,
    CUT_EVERY_MS,
    SHARE_FIRST,
    SHARE_LEAST,
    SHARED,
    STILL_MS,
    Delay,
    Pace,
    Waits,
)

FIRST_MS = 1_000_000
LOUD, CALM = TenantId("loud"), TenantId("calm")
ENOUGH = 400
"""Looks after which a share has come to where it goes."""


class Sending:
    """A pace that is told of one tenant, or of two, as time passes."""

    def __init__(self, *tenants: TenantId) -> None:
        self.pace = Pace()
        self.now_ms = FIRST_MS
        self.tenants = tenants or (LOUD,)

    def heard(
        self, waited_ms: int, *, times: int = 1, asking: bool = True, every_ms: int = CUT_EVERY_MS
    ) -> float:
        for _ in range(times):
            self.now_ms += every_ms
            for tenant in self.tenants:
                self.pace.note(tenant, waits=asking and tenant == LOUD, now_ms=self.now_ms)
            self.pace.hear(waited_ms, now_ms=self.now_ms)
        return self.pace.share


@pytest.fixture(params=[(ALONE, (LOUD,)), (SHARED, (LOUD, CALM))], ids=["alone", "shared"])
def case(request: pytest.FixtureRequest) -> tuple[Delay, Sending]:
    delay, tenants = request.param
    return delay, Sending(*tenants)


def test_the_whole_rate_holds_while_nobody_knows_how_far_the_workers_are() -> None:
    sending = Sending()

    assert sending.pace.share == 1.0
    sending.heard(0)
    sending.pace.lose()
    assert sending.pace.share == 1.0


def test_who_asks_for_more_gets_it_as_long_as_events_do_not_wait(
    case: tuple[Delay, Sending],
) -> None:
    delay, sending = case

    first = sending.heard(0, asking=False)

    assert first == SHARE_FIRST
    assert sending.heard(delay.early - 1, times=ENOUGH) == 1.0


def test_it_is_cut_when_events_wait_but_never_to_nothing(case: tuple[Delay, Sending]) -> None:
    delay, sending = case
    sending.heard(0, times=ENOUGH)

    shares = [sending.heard(delay.late + 1) for _ in range(ENOUGH)]

    assert shares[0] == 1.0, "one look is not believed"
    assert CUT in shares
    assert shares[-1] == SHARE_LEAST


def test_what_a_cut_does_is_waited_for_before_the_next() -> None:
    sending = Sending()
    sending.heard(0, times=ENOUGH)
    sending.heard(60_000)

    assert sending.heard(60_000, every_ms=CUT_EVERY_MS - 1) == CUT
    assert sending.heard(60_000, every_ms=1) == CUT * CUT


def test_between_the_two_it_stays_as_it_is(case: tuple[Delay, Sending]) -> None:
    delay, sending = case
    sending.heard(0, times=3)
    middle = (delay.early + delay.late) // 2
    sending.heard(middle, times=ENOUGH)
    before = sending.pace.share

    assert sending.heard(middle, times=10) == before


def test_a_tenant_is_alone_again_once_the_other_has_not_sent_for_long() -> None:
    sending = Sending(LOUD, CALM)
    between = (SHARED.late + ALONE.early) // 2
    sending.heard(between, times=ENOUGH)
    assert sending.pace.share == SHARE_LEAST

    sending.tenants = (LOUD,)
    sending.heard(between, times=COMPANY_MS // CUT_EVERY_MS + ENOUGH)

    assert sending.pace.share == 1.0


def test_once_nobody_asks_it_goes_back_to_the_first_from_above_and_from_below() -> None:
    above, below = Sending(), Sending()
    above.heard(0, times=ENOUGH)
    below.heard(60_000, times=ENOUGH)
    above.now_ms += COMPANY_MS

    assert above.heard(0, times=ENOUGH, asking=False) == SHARE_FIRST
    assert below.heard(0, times=ENOUGH, asking=False) == SHARE_FIRST


def test_nothing_is_asked_of_the_broker_while_nobody_sends() -> None:
    pace = Pace()
    assert not pace.is_idle()
    pace.hear(0, now_ms=0)

    assert pace.is_idle()
    pace.note(LOUD, waits=False, now_ms=0)
    assert not pace.is_idle()
    assert pace.is_idle()


def test_an_event_waits_from_when_its_partition_ended_behind_it() -> None:
    waits = Waits()

    assert waits.look("p", end=10, done=10, now_ms=1_000) == 0
    assert waits.look("p", end=15, done=10, now_ms=1_250) == 0
    assert waits.look("p", end=20, done=10, now_ms=1_500) == 250
    assert waits.look("p", end=20, done=14, now_ms=1_750) == 500
    assert waits.look("p", end=20, done=15, now_ms=2_000) == 500
    assert waits.look("p", end=20, done=20, now_ms=2_250) == 0


def test_another_log_begins_anew() -> None:
    waits = Waits()
    waits.look("p", end=100, done=10, now_ms=0)

    assert waits.look("p", end=5, done=0, now_ms=9_000) == 0


def test_workers_that_get_nothing_done_are_away() -> None:
    waits = Waits()
    waits.look("p", end=10, done=10, now_ms=0)
    waits.look("p", end=20, done=10, now_ms=STILL_MS)

    assert not waits.are_still(now_ms=STILL_MS)
    assert waits.are_still(now_ms=STILL_MS + 1)
    waits.look("p", end=20, done=11, now_ms=STILL_MS + 2)
    assert not waits.are_still(now_ms=STILL_MS + 2)
