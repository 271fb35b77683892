"""The gateway's smaller parts: the wheel, the memory of ids, settings, health."""

from pathlib import Path

import pytest

from analytics.contracts.errors import BadSetting
from analytics.contracts.ids import TenantId
from gateway.http.health import Pulse, judge
from gateway.http.settings import signing_key
from gateway.kafka.dedup_cache import Recent, key_of
from gateway.settings import load
from gateway.websocket.timer_wheel import SLOT_MS, TimerWheel
from tests.support.gateway import KEY, Clock, settings


class Sleeper:
    """Somebody who notes when they were told."""

    def __init__(self) -> None:
        self.told: list[int] = []

    def tick(self, *, now_ms: int) -> None:
        self.told.append(now_ms)


def test_a_wheel_is_never_early_and_at_most_a_slot_late() -> None:
    clock = Clock(1_000)
    wheel, sleeper = TimerWheel(clock), Sleeper()
    wheel.plan(sleeper, 2_345)

    while not sleeper.told:
        clock.now_ms += 10
        wheel.turn()

    assert 2_345 <= sleeper.told[0] < 2_345 + SLOT_MS + 10


def test_a_wheel_keeps_the_newest_plan_only_and_forgets_whom_it_is_told_to() -> None:
    clock = Clock(0)
    wheel, moved, gone = TimerWheel(clock), Sleeper(), Sleeper()
    wheel.plan(moved, 1_000)
    wheel.plan(moved, 3_000)
    wheel.plan(gone, 1_000)
    wheel.forget(gone)

    for clock.now_ms in range(0, 4_000, 100):
        wheel.turn()

    assert len(moved.told) == 1
    assert moved.told[0] >= 3_000
    assert gone.told == []


def test_a_wheel_that_slept_tells_everyone_once() -> None:
    clock = Clock(0)
    wheel, sleepers = TimerWheel(clock), [Sleeper() for _ in range(5)]
    for number, sleeper in enumerate(sleepers):
        wheel.plan(sleeper, number * 1_000)

    clock.now_ms = 60_000
    wheel.turn()
    wheel.turn()

    assert [sleeper.told for sleeper in sleepers] == [[60_000]] * 5


@pytest.mark.requirement("limits-have-names")
def test_no_more_ids_are_remembered_than_the_limit_and_the_oldest_go_first() -> None:
    recent: Recent[str] = Recent(ids_max=3)

    for number in range(5):
        key = key_of(TenantId("acme"), f"e{number}")
        recent.begin(key, "carrier")
        recent.settle(key, accepted=True)

    known = [recent.accepted(key_of(TenantId("acme"), f"e{number}")) for number in range(5)]
    assert known == [False, False, True, True, True]
    assert len(recent) == 3


def test_an_id_that_was_refused_may_come_again() -> None:
    recent: Recent[str] = Recent(ids_max=3)
    key = key_of(TenantId("acme"), "e1")

    recent.begin(key, "carrier")
    on_its_way = recent.pending(key)
    recent.settle(key, accepted=False)

    assert on_its_way == "carrier"
    assert recent.pending(key) is None
    assert not recent.accepted(key)


def test_no_two_pairs_of_tenant_and_id_share_a_key() -> None:
    assert key_of(TenantId("a"), "bc") != key_of(TenantId("ab"), "c")


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("PORT", "99999", "MAINSTEM_GATEWAY_PORT"),
        ("BROKER", "nowhere", "MAINSTEM_GATEWAY_BROKER"),
        ("FRAME_BYTES_MAX", "much", "MAINSTEM_GATEWAY_FRAME_BYTES_MAX"),
        ("ORIGINS", "https://a.example", "origins"),
    ],
)
def test_a_wrong_setting_is_named_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, says: str
) -> None:
    monkeypatch.setenv(f"MAINSTEM_GATEWAY_{name}", value)

    with pytest.raises(BadSetting) as refused:
        load()

    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


def test_options_win_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAINSTEM_GATEWAY_PORT", "1111")
    monkeypatch.setenv("MAINSTEM_GATEWAY_BROKER", "kafka:9092")

    loaded = load(port=2222, broker=None)

    assert (loaded.port, loaded.broker) == (2222, "kafka:9092")


def test_the_signing_key_comes_from_a_file_and_must_be_long_enough(tmp_path: Path) -> None:
    good, short = tmp_path / "good", tmp_path / "short"
    good.write_bytes(KEY + b"\n")
    short.write_bytes(b"short")

    assert signing_key(settings(token_key_file=good)) == KEY
    with pytest.raises(BadSetting, match="5 bytes"):
        signing_key(settings(token_key_file=short))
    with pytest.raises(BadSetting, match="mainstem token"):
        signing_key(settings(token_key_file=tmp_path / "missing"))


def test_a_wrong_key_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAINSTEM_GATEWAY_TOKEN_KEY", "too-short-secret")

    with pytest.raises(BadSetting) as refused:
        signing_key(load())

    assert "too-short-secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("producer", "lag_ms", "draining", "ready"),
    [
        (True, 0.0, False, True),
        (False, 0.0, False, False),
        (True, 501.0, False, False),
        (True, 0.0, True, False),
    ],
    ids=["all well", "broker away", "loop late", "stopping"],
)
def test_readiness_needs_the_broker_a_loop_on_time_and_no_drain(
    producer: bool, lag_ms: float, draining: bool, ready: bool
) -> None:
    health = judge(producer=producer, lag_ms=lag_ms, lag_ms_max=500, draining=draining)

    assert health.ready is ready


def test_one_late_turn_of_the_loop_fades() -> None:
    pulse = Pulse(lambda: 0.0)

    pulse.note(1_000)
    peak = pulse.lag_ms
    for _ in range(5):
        pulse.note(0)

    assert peak == 500
    assert pulse.lag_ms < 20
