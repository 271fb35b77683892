"""The rate limits' laws, and the same answers as a limiter that others wrote."""

from typing import Final
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from throttled import MemoryStore, Throttled, per_sec

from analytics.contracts.errors import BadSetting
from gateway.http.rates import Rate, Rates, read_rate, take_all

NOW_MS: Final = 1_795_000_000_000
EXACT_MS: Final = 125
"""Eighths of a second are exact as the other limiter's floats, and so are eighths of a burst."""
RATES: Final = st.builds(
    Rate,
    count=st.integers(1, 1_000),
    per_ms=st.sampled_from([1_000, 60_000]),
    burst=st.integers(1, 500),
)
STEPS: Final = st.lists(
    st.tuples(st.integers(0, 5_000), st.integers(1, 20)), min_size=1, max_size=60
)


@given(rate=RATES, steps=STEPS)
def test_no_stretch_of_time_sees_more_than_the_burst_and_what_refilled(
    rate: Rate, steps: list[tuple[int, int]]
) -> None:
    rates, now_ms, taken = Rates(rate, keys_max=10), NOW_MS, list[tuple[int, int]]()

    for pause_ms, cost in steps:
        now_ms += pause_ms
        if rates.take("key", now_ms=now_ms, cost=cost).allowed:
            taken.append((now_ms, cost))

    for start, (since_ms, _) in enumerate(taken):
        for end in range(start, len(taken)):
            total = sum(cost for _, cost in taken[start : end + 1])
            assert total * rate.per_ms <= (
                rate.burst * rate.per_ms + (taken[end][0] - since_ms) * rate.count
            )


@given(rate=RATES, steps=STEPS)
def test_whoever_waits_as_told_is_let_in_and_not_a_millisecond_before(
    rate: Rate, steps: list[tuple[int, int]]
) -> None:
    rates, now_ms = Rates(rate, keys_max=10), NOW_MS

    for pause_ms, cost in steps:
        now_ms += pause_ms
        reading = rates.take("key", now_ms=now_ms, cost=cost)
        if reading.allowed or cost > rate.burst:
            continue
        wait_ms = reading.retry_after_ms
        assert rates.fits("key", now_ms=now_ms + wait_ms, cost=cost)
        assert not rates.fits("key", now_ms=now_ms + wait_ms - 1, cost=cost)


@given(rate=RATES, steps=STEPS)
def test_what_is_said_to_remain_can_be_taken_at_once_and_no_more(
    rate: Rate, steps: list[tuple[int, int]]
) -> None:
    rates, now_ms = Rates(rate, keys_max=10), NOW_MS

    for pause_ms, cost in steps:
        now_ms += pause_ms
        left = rates.take("key", now_ms=now_ms, cost=cost).remaining
        assert left == 0 or rates.fits("key", now_ms=now_ms, cost=left)
        assert not rates.fits("key", now_ms=now_ms, cost=left + 1)


@pytest.mark.requirement("rates-held")
@settings(max_examples=60)
@given(steps=STEPS, count=st.sampled_from([1, 2, 4, 8]), burst=st.integers(1, 50))
def test_a_limiter_that_others_wrote_lets_the_same_requests_in(
    steps: list[tuple[int, int]], count: int, burst: int
) -> None:
    ours = Rates(Rate(count=count, per_ms=1_000, burst=burst), keys_max=10)
    now_ms = 1_000_000
    with patch("throttled.utils.now_mono_f", lambda: now_ms / 1_000):
        theirs = Throttled(
            using="gcra", quota=per_sec(count, burst=burst), store=MemoryStore(), key="key"
        )
        for pause_ms, cost in steps:
            now_ms += pause_ms // EXACT_MS * EXACT_MS
            said = theirs.limit(cost=cost)
            reading = ours.take("key", now_ms=now_ms, cost=cost)
            assert reading.allowed == (not said.limited)
            assert reading.remaining == said.state.remaining


@given(names=st.lists(st.integers(0, 1_000), max_size=300), keys_max=st.integers(1, 20))
def test_no_more_senders_are_remembered_than_the_limit(names: list[int], keys_max: int) -> None:
    rates = Rates(Rate(count=1, per_ms=1_000, burst=5), keys_max=keys_max)

    for name in names:
        rates.take(name, now_ms=NOW_MS)
        assert len(rates) <= keys_max


def test_a_refusal_by_one_limit_costs_nothing_at_the_others() -> None:
    wide = Rates(Rate(count=10, per_ms=1_000, burst=10), keys_max=5)
    narrow = Rates(Rate(count=1, per_ms=1_000, burst=1), keys_max=5)

    for _ in range(3):
        take_all([(wide, "a"), (narrow, "a")], now_ms=NOW_MS)

    assert wide.look("a", now_ms=NOW_MS).remaining == 8


@pytest.mark.parametrize("text", ["1", "0/1s", "5/0s", "5/1m", "5/1s+", "-5/1s", "5/1s+0", " 5/1s"])
def test_a_rate_that_has_no_meaning_is_a_bad_setting(text: str) -> None:
    with pytest.raises(BadSetting):
        read_rate(text)


def test_a_rate_is_read_as_it_is_spelled() -> None:
    assert read_rate("100/60s+500") == Rate(count=100, per_ms=60_000, burst=500)
    assert read_rate("7/1s") == Rate(count=7, per_ms=1_000, burst=7)
    assert read_rate("") is None
