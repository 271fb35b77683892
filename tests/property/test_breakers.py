"""The breaker against a model that keeps everything and computes anew, and the law of ejections."""

from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.pool.breaker import Breaker, BreakerLimits, BreakerState, Permit
from analytics.pool.ejection import Ejection, EjectionLimits

NOW_MS: Final = 1_795_000_000_000
LIMITS: Final = st.builds(
    BreakerLimits,
    window_calls=st.integers(1, 12),
    window_ms=st.sampled_from([1_000, 10_000, 60_000]),
    calls_min=st.integers(1, 8),
    failure_share=st.sampled_from([0.1, 0.25, 0.5, 1.0]),
    slow_share=st.sampled_from([0.25, 0.5, 1.0]),
    slow_ms=st.just(1_000),
    probes=st.integers(1, 4),
    open_ms=st.sampled_from([1_000, 5_000]),
    open_ms_max=st.sampled_from([5_000, 12_000]),
    jitter=st.sampled_from([0.0, 0.25, 1.0]),
)
STEPS: Final = st.lists(
    st.tuples(
        st.sampled_from(["begin", "end", "cancel"]),
        st.integers(0, 7),
        st.sampled_from([0, 10, 500, 2_000, 15_000]),
        st.booleans(),
        st.sampled_from([1, 999, 1_000, 5_000]),
    ),
    max_size=120,
)


class Oracle:
    """What the words of the breaker mean, told by a history that forgets nothing.

    A history is a list of phases; each phase has a kind, when it began, when it may end, and every
    call that was let through in it with what came of it.
    """

    def __init__(self, limits: BreakerLimits, chance: float) -> None:
        self.limits = limits
        self.chance = chance
        self.phases: list[tuple[str, int]] = [("closed", 0)]
        self.calls: list[dict[str, int | bool | None]] = []

    def kind(self, now_ms: int) -> str:
        kind, until_ms = self.phases[-1]
        return "half_open" if kind == "open" and now_ms >= until_ms else kind

    def allows(self, now_ms: int) -> bool:
        kind = self.phases[-1][0]
        if kind == "half_open":
            mine = [call for call in self._mine() if call["cancelled"] is False]
            return len(mine) < self.limits.probes
        return self.kind(now_ms) != "open"

    def begin(self) -> int:
        if self.phases[-1][0] == "open":
            self.phases.append(("half_open", 0))
        phase = len(self.phases) - 1
        self.calls.append({"phase": phase, "at": None, "bad": False, "slow": False,
                           "cancelled": False, "order": None})  # fmt: skip
        return len(self.calls) - 1

    def end(self, number: int, now_ms: int, *, failed: bool, took_ms: int) -> None:
        call = self.calls[number]
        ended = sum(one["at"] is not None for one in self.calls)
        call.update(at=now_ms, bad=failed, slow=took_ms >= self.limits.slow_ms, order=ended)
        if call["phase"] != len(self.phases) - 1:
            return
        told = sorted(
            (one for one in self._mine() if one["at"] is not None),
            key=lambda one: one["order"] or 0,
        )
        if self.phases[-1][0] == "half_open":
            if len(told) >= self.limits.probes:
                self.phases.append(self._opening(now_ms) if self._bad(told) else ("closed", 0))
            return
        recent = [
            one
            for one in told[-self.limits.window_calls :]
            if isinstance(one["at"], int) and now_ms - one["at"] < self.limits.window_ms
        ]
        if len(recent) >= self.limits.calls_min and self._bad(recent):
            self.phases.append(self._opening(now_ms))

    def cancel(self, number: int) -> None:
        self.calls[number]["cancelled"] = True

    def _mine(self) -> list[dict[str, int | bool | None]]:
        return [call for call in self.calls if call["phase"] == len(self.phases) - 1]

    def _bad(self, told: list[dict[str, int | bool | None]]) -> bool:
        failed = len([one for one in told if one["bad"]]) / len(told)
        slow = len([one for one in told if one["slow"]]) / len(told)
        return failed >= self.limits.failure_share or slow >= self.limits.slow_share

    def _opening(self, now_ms: int) -> tuple[str, int]:
        in_a_row = 1
        for kind, _ in reversed(self.phases):
            if kind == "closed":
                break
            in_a_row += kind == "open"
        length = min(self.limits.open_ms_max, self.limits.open_ms * in_a_row)
        return ("open", now_ms + int(length * (1 + self.limits.jitter * self.chance)))


@pytest.mark.requirement("breaker-oracle")
@settings(max_examples=300)
@given(limits=LIMITS, steps=STEPS, chance=st.sampled_from([0.0, 0.5, 0.75]))
def test_the_breaker_does_what_its_words_say(
    limits: BreakerLimits, steps: list[tuple[str, int, int, bool, int]], chance: float
) -> None:
    breaker, oracle, now_ms = Breaker(limits, lambda: chance), Oracle(limits, chance), NOW_MS
    running: list[tuple[Permit, int]] = []

    for what, which, pause_ms, failed, took_ms in steps:
        now_ms += pause_ms
        assert breaker.state(now_ms).value == oracle.kind(now_ms)
        assert breaker.allows(now_ms) == oracle.allows(now_ms)
        if what == "begin" and breaker.allows(now_ms):
            running.append((breaker.begin(now_ms), oracle.begin()))
        elif running and what != "begin":
            permit, number = running.pop(which % len(running))
            if what == "end":
                breaker.end(permit, now_ms=now_ms, failed=failed, took_ms=took_ms)
                oracle.end(number, now_ms, failed=failed, took_ms=took_ms)
            else:
                breaker.cancel(permit)
                oracle.cancel(number)


def test_openings_in_a_row_last_longer_up_to_a_limit() -> None:
    limits = BreakerLimits(calls_min=1, probes=1, open_ms=10_000, open_ms_max=25_000, jitter=0)
    breaker, now_ms, lengths = Breaker(limits, lambda: 0.0), NOW_MS, []

    for _ in range(4):
        permit = breaker.begin(now_ms)
        breaker.end(permit, now_ms=now_ms, failed=True, took_ms=1)
        lengths.append(breaker.until_ms - now_ms)
        now_ms = breaker.until_ms

    assert lengths == [10_000, 20_000, 25_000, 25_000]


def test_once_it_has_closed_the_next_opening_is_the_first_again() -> None:
    limits = BreakerLimits(calls_min=1, probes=1, open_ms=10_000, jitter=0)
    breaker, now_ms = Breaker(limits, lambda: 0.0), NOW_MS

    for failed in (True, True, False, True):
        breaker.end(breaker.begin(now_ms), now_ms=now_ms, failed=failed, took_ms=1)
        opened_ms, now_ms = now_ms, max(now_ms, breaker.until_ms)

    assert breaker.until_ms - opened_ms == 10_000


def test_a_permit_from_before_gives_no_probe_back() -> None:
    limits = BreakerLimits(calls_min=1, probes=1, open_ms=1_000, jitter=0)
    breaker = Breaker(limits, lambda: 0.0)
    early = breaker.begin(NOW_MS)
    breaker.end(breaker.begin(NOW_MS), now_ms=NOW_MS, failed=True, took_ms=1)
    probe = breaker.begin(NOW_MS + 1_000)

    breaker.cancel(early)
    assert not breaker.allows(NOW_MS + 1_000)
    breaker.cancel(probe)

    assert breaker.allows(NOW_MS + 1_000)


def test_slow_calls_open_it_though_none_failed() -> None:
    breaker = Breaker(BreakerLimits(calls_min=2, slow_ms=100, slow_share=1.0), lambda: 0.0)

    for _ in range(2):
        breaker.end(breaker.begin(NOW_MS), now_ms=NOW_MS, failed=False, took_ms=100)

    assert breaker.state(NOW_MS) is BreakerState.OPEN


def test_doubt_of_others_lets_probes_through_only() -> None:
    breaker = Breaker(BreakerLimits(probes=2), lambda: 0.0)

    breaker.doubt()
    permits = [breaker.begin(NOW_MS), breaker.begin(NOW_MS)]
    assert not breaker.allows(NOW_MS)
    for permit in permits:
        breaker.end(permit, now_ms=NOW_MS, failed=False, took_ms=1)

    assert breaker.state(NOW_MS) is BreakerState.CLOSED


EJECTIONS: Final = st.builds(
    EjectionLimits,
    failures_in_a_row=st.integers(1, 3),
    members_min=st.integers(2, 4),
    calls_min=st.integers(1, 4),
    deviations=st.sampled_from([0.5, 1.0, 1.9]),
    share_max=st.sampled_from([0.0, 0.1, 0.3, 0.5, 1.0]),
    out_ms=st.sampled_from([1_000, 30_000]),
)
MEMBERS: Final = [f"m{number}" for number in range(12)]
WHAT: Final = st.lists(
    st.tuples(
        st.sampled_from(["fail", "fail", "fail", "work", "sweep", "leave", "limit"]),
        st.sampled_from(MEMBERS),
        st.integers(0, 5_000),
    ),
    max_size=80,
)


@pytest.mark.requirement("balancing-laws")
@given(limits=EJECTIONS, happened=WHAT)
def test_never_more_than_the_share_is_out(
    limits: EjectionLimits, happened: list[tuple[str, str, int]]
) -> None:
    ejection, there, now_ms = Ejection(limits), set(MEMBERS), NOW_MS

    for what, member, pause_ms in happened:
        now_ms += pause_ms
        if what == "sweep":
            ejection.sweep(now_ms, total=len(there))
        elif what == "leave" and member in there:
            there.discard(member)
            ejection.forget(member, now_ms=now_ms, total=len(there))
        elif what in {"fail", "work"} and member in there:
            failed = what == "fail"
            ejection.record(member, failed=failed, now_ms=now_ms, total=len(there))
        out = ejection.out(now_ms)
        one = limits.share_max > 0 and len(there) > 1
        assert len(out) <= max(limits.share_max * len(there), one)
        assert out <= there


def test_failures_in_a_row_eject_and_a_success_between_them_does_not() -> None:
    ejection = Ejection(EjectionLimits(failures_in_a_row=3, out_ms=1_000))

    for failed in (True, True, False, True, True):
        ejection.record("a", failed=failed, now_ms=NOW_MS, total=10)
    assert not ejection.is_out("a", NOW_MS)
    ejection.record("a", failed=True, now_ms=NOW_MS, total=10)

    assert ejection.is_out("a", NOW_MS + 999)
    assert not ejection.is_out("a", NOW_MS + 1_000)


def test_whoever_fails_far_more_than_the_others_is_swept_out() -> None:
    limits = EjectionLimits(failures_in_a_row=1_000, calls_min=10, members_min=5)
    ejection = Ejection(limits)

    for number in range(10):
        for call in range(20):
            failed = number == 7 and call % 2 == 0
            ejection.record(f"m{number}", failed=failed, now_ms=NOW_MS, total=10)
    ejection.sweep(NOW_MS, total=10)

    assert ejection.out(NOW_MS) == {"m7"}


def test_panic_begins_below_its_share_of_members_in_the_balance() -> None:
    ejection = Ejection(EjectionLimits(panic_share=0.5))

    assert ejection.panics(in_balance=4, total=10)
    assert not ejection.panics(in_balance=5, total=10)
