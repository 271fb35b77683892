"""What follows from an attempt to send, over every state and signal."""

from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from analytics.alerts.dispatch import routing_files
from analytics.alerts.dispatch.groups import Notice, NotifyReason, SentAlert
from analytics.alerts.notify import delivery, messages
from analytics.alerts.notify.delivery import (
    AttemptOutcome,
    AttemptResult,
    DeliveryState,
    Move,
    Policy,
    Tried,
)
from analytics.alerts.notify.receivers import Integration

POLICY: Final = Policy()
YOUNG: Final = Tried(attempts=1, age_ms=0)
ROUTING: Final = routing_files.load(
    "r.yml",
    """
route:
  receiver: root
  routes:
    - matchers: [team="core"]
      receiver: core
      escalate_after: 30m
      escalate_to: [lead, quiet, boss]
receivers:
  - {name: root, webhook_configs: [{url: 'http://root'}]}
  - {name: core, webhook_configs: [{url: 'http://core'}]}
  - {name: lead, slack_configs: [{api_url: 'http://lead'}], webhook_configs: [{url: 'http://l'}]}
  - {name: quiet}
  - {name: boss, webhook_configs: [{url: 'http://boss'}]}
""",
)
ALERT: Final = SentAlert(labels={"alertname": "Slow"}, starts_at_ms=5)


def _notice(receiver: str = "core", kind: str = "webhook", **given: object) -> Notice:
    notice = Notice(
        key="k",
        group="0.0:{}",
        group_key="{}:{}",
        group_labels={"alertname": "Slow"},
        receiver=receiver,
        integration=f"{receiver}/{kind}/0",
        why=NotifyReason.FIRING,
        alerts=(ALERT,),
        at_ms=9,
    )
    return structs.replace(notice, **given)


@pytest.mark.parametrize("state", DeliveryState)
@pytest.mark.parametrize("signal", AttemptResult)
def test_every_state_and_signal_has_one_answer(state: DeliveryState, signal: AttemptResult) -> None:
    sent = {AttemptResult.DELIVERED, AttemptResult.NOBODY}
    dead = {AttemptResult.SPENT, AttemptResult.REFUSED}

    verdict = delivery.after(
        structs.replace(YOUNG, state=state), AttemptOutcome(signal=signal), POLICY, 0.5
    )

    if state is not DeliveryState.WAITING:
        expected = Move(state)
    elif signal is AttemptResult.FAILED:
        expected = Move(DeliveryState.WAITING)
    else:
        expected = Move(
            DeliveryState.SENT if signal in sent else DeliveryState.GIVEN_UP, signal in dead
        )
    assert Move(verdict.state, verdict.passes_on) == expected
    assert (verdict.wait_ms > 0) is (verdict.state is DeliveryState.WAITING)


@given(
    attempts=st.integers(0, 10_000),
    chance=st.floats(0, 1, exclude_max=True),
    asked_ms=st.integers(-5, 10**9),
)
def test_a_wait_lies_between_what_the_receiver_asked_for_and_a_limit(
    attempts: int, chance: float, asked_ms: int
) -> None:
    wait_ms = delivery.wait(attempts, asked_ms, POLICY, chance)

    asked_ms = min(max(asked_ms, 0), POLICY.retry_after_ms_max)
    assert asked_ms <= wait_ms < asked_ms + POLICY.wait_ms_max


def test_the_limit_of_a_wait_doubles_up_to_its_maximum() -> None:
    waits = [delivery.wait(attempts, 0, POLICY, 0.999_999) for attempts in range(1, 9)]

    assert [round(one / 1_000) for one in waits] == [1, 2, 4, 8, 16, 32, 60, 60]


@pytest.mark.parametrize(
    ("attempts", "age_ms", "state"),
    [
        (1, 0, DeliveryState.WAITING),
        (1, POLICY.lasts_ms * 9, DeliveryState.WAITING),
        (POLICY.attempts_min, POLICY.lasts_ms - 120_000, DeliveryState.WAITING),
        (POLICY.attempts_min, POLICY.lasts_ms, DeliveryState.GIVEN_UP),
        (99, 60_000, DeliveryState.WAITING),
    ],
)
def test_a_notice_is_given_up_that_was_tried_often_and_for_long(
    attempts: int, age_ms: int, state: DeliveryState
) -> None:
    tried = Tried(attempts=attempts, age_ms=age_ms)

    verdict = delivery.after(
        tried, AttemptOutcome(signal=AttemptResult.FAILED, reason="away"), POLICY, 0.5
    )

    assert (verdict.state, verdict.reason) == (state, "away")


def test_a_notice_is_for_an_integration_for_nobody_or_for_one_that_is_gone() -> None:
    found = delivery.integration(ROUTING, _notice())

    assert isinstance(found, Integration)
    assert found.id == "core/webhook/0"
    assert delivery.integration(ROUTING, _notice("quiet")) is AttemptResult.NOBODY
    assert delivery.integration(ROUTING, _notice("core", "slack")) is AttemptResult.GONE
    assert delivery.integration(ROUTING, _notice("nobody")) is AttemptResult.GONE


@pytest.mark.parametrize(
    ("dead", "told"),
    [
        (_notice("core"), ["lead/webhook/0", "lead/slack/0"]),
        (_notice("lead"), ["boss/webhook/0"]),
        (_notice("boss"), ["root/webhook/0"]),
        (_notice("root"), []),
        (_notice("core", group="0.9:{}"), ["root/webhook/0"]),
        (_notice("root", group="0:{}"), []),
    ],
    ids=["first", "the quiet one is passed over", "last", "nobody left", "no route", "root"],
)
def test_what_is_given_up_goes_to_who_comes_next(dead: Notice, told: list[str]) -> None:
    assert [one.integration for one in delivery.passed_on(ROUTING, dead, "away")] == told


@pytest.mark.requirement("alert-receiver-dead")
def test_what_is_passed_on_says_who_is_dead_and_what_was_not_told() -> None:
    hook, chat = delivery.passed_on(ROUTING, _notice(), "it answered 503")

    dead, own = hook.alerts
    assert dead.labels["alertname"] == "ReceiverDead"
    assert dead.annotations["summary"] == "core/webhook/0 could not be told: it answered 503"
    assert own == ALERT
    assert hook.why is NotifyReason.UNDELIVERED
    assert "could not be told of this" in str(messages.slack(chat)["blocks"])
    assert len({hook.key, chat.key, "k"}) == 3
    assert delivery.passed_on(ROUTING, _notice(), "another reason")[0].key == hook.key


def test_an_end_is_passed_on_to_who_is_told_of_ends() -> None:
    over = _notice(alerts=(structs.replace(ALERT, ends_at_ms=7),))

    [hook] = delivery.passed_on(ROUTING, over, "away")

    assert hook.integration == "lead/webhook/0"
    assert not hook.is_firing


def test_two_tenants_never_share_what_receivers_know_a_notice_by() -> None:
    keys = {delivery.idempotency_key(one) for one in ("a/k", "b/k", "a/k")}

    assert len(keys) == 2
