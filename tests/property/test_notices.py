"""Laws of notification: once per group and state change, in every order, over restarts."""

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.alerts.dispatch import dispatcher as deciding
from analytics.alerts.dispatch.groups import NotifyReason
from tests.support.alerted import CHAT, HOOK, SECOND, World, said

steps = st.lists(
    st.tuples(
        st.sampled_from(["fire", "end", "tick", "tick", "silence"]),
        st.sampled_from(["A", "B"]),
        st.sampled_from(["critical", "warning"]),
        st.sampled_from(["a1", "a2"]),
    ),
    max_size=40,
)


def _played(script: list[tuple[str, str, str, str]], *, restarts: bool) -> World:
    world = World(restarts=restarts)
    for verb, name, severity, agent in script:
        if verb == "fire" and not world.fires(name, agent):
            world.fire(name, severity, agent)
        elif verb == "end":
            world.end(name, agent)
        elif verb == "silence":
            world.silence(f"alertname={name}", 15)
        else:
            world.tick(5)
    return world


@pytest.mark.requirement("alert-notified-once")
@given(script=steps)
def test_no_receiver_hears_twice_that_an_alert_began_or_ended(
    script: list[tuple[str, str, str, str]],
) -> None:
    world = _played(script, restarts=True)
    world.run(60)

    for integration in (HOOK, CHAT):
        news: set[tuple[str, int]] = set()
        over: set[tuple[str, int]] = set()
        for notice in (one for one in world.notices if one.integration == integration):
            episodes = {(one.fingerprint, one.starts_at_ms) for one in notice.alerts}
            ended = {
                (one.fingerprint, one.starts_at_ms) for one in notice.alerts if not one.is_firing
            }
            assert notice.why is not NotifyReason.FIRING or episodes - ended - news, (
                "nothing is news"
            )
            assert not ended & over, "an end is told once"
            assert ended <= news, "only what was told to fire ends"
            assert notice.why is not NotifyReason.RESOLVED or ended
            news |= episodes - ended
            over |= ended
    keys = [one.key for one in world.notices]
    assert len(keys) == len(set(keys))


@pytest.mark.requirement("alert-notified-once")
@given(script=steps)
def test_a_restart_between_evaluation_and_notification_changes_nothing(
    script: list[tuple[str, str, str, str]],
) -> None:
    through, restarted = _played(script, restarts=False), _played(script, restarts=True)

    assert restarted.notices == through.notices
    assert restarted.state == through.state


@pytest.mark.requirement("alert-notified-once")
@given(script=steps)
def test_what_fires_and_is_not_mute_is_known_to_its_receivers_in_the_end(
    script: list[tuple[str, str, str, str]],
) -> None:
    world = _played(script, restarts=False)
    world.run(60)

    for alert in world.alerts.values():
        if not alert.is_firing or alert.fingerprint in world.state.mutes:
            continue
        (group,) = [one for one in world.state.groups.values() if alert.fingerprint in one.alerts]
        assert group.logs[HOOK].firing[alert.fingerprint] == alert.starts_at_ms


@pytest.mark.requirement("alert-inhibition-race")
@pytest.mark.parametrize("order", list(permutations(range(3))))
@pytest.mark.parametrize("old", [False, True], ids=["began just now", "began long ago"])
def test_a_warning_that_comes_with_its_critical_is_never_told(
    order: tuple[int, ...], old: bool
) -> None:
    world = World()
    began_ms = world.now_ms
    world.fire("Slow", "warning")
    world.fire("Down", "critical")
    world.fire("Slow", "warning", "a2")
    world.now_ms = began_ms + (3_600 * SECOND if old else 0)

    world.tick(0, order)
    notices = world.run(60)

    told = {(one.labels["alertname"], one.labels["agent"]) for n in notices for one in n.alerts}
    assert told == {("Down", "a1"), ("Slow", "a2")}


@pytest.mark.requirement("alert-inhibition-race")
def test_a_warning_is_told_once_its_critical_is_over() -> None:
    world = World()
    world.fire("Slow", "warning")
    world.fire("Down", "critical")
    world.run(20)
    world.end("Down")

    notices = [one for one in world.run(40) if one.integration == HOOK]

    assert [{(a.labels["alertname"], a.is_firing) for a in one.alerts} for one in notices] == [
        {("Slow", True), ("Down", False)}
    ]


def test_waiting_counts_from_arrival_even_for_an_alert_that_began_long_ago() -> None:
    world = World()
    world.fire("A")
    world.now_ms = 3_600 * SECOND

    assert world.tick() == []
    assert world.tick(9) == []
    assert said(world.tick(1)) == ["firing"]


def test_alerts_of_a_group_are_told_together_and_later_ones_at_the_next_interval() -> None:
    world = World()
    world.fire("A")
    world.tick()
    world.fire("B")
    first = world.run(10)
    world.fire("C")
    second = world.run(20)

    assert [len(one.alerts) for one in first if one.integration == HOOK] == [2]
    assert [len(one.alerts) for one in second if one.integration == HOOK] == [3]


def test_an_alert_that_ended_before_the_group_waited_is_never_told() -> None:
    world = World()
    world.fire("A")
    world.tick()
    world.end("A")

    assert world.run(120) == []
    assert world.state.groups == {}


def test_only_receivers_that_ask_for_it_hear_of_the_end() -> None:
    world = World()
    world.fire("A")
    world.run(20)
    world.end("A")
    world.run(40)

    assert said(world.notices) == ["firing", "resolved"]
    assert said(world.notices, CHAT) == ["firing"]
    assert world.state.groups == {}


def test_the_same_is_said_again_at_the_first_interval_after_repeating_is_due() -> None:
    world = World()
    world.fire("A")
    world.tick()

    assert [one.at_ms for one in world.run(1_400) if one.integration == HOOK] == [
        10_000,
        610_000,
        1_210_000,
    ]


def test_an_alert_that_begins_anew_between_two_notices_is_told_as_new() -> None:
    world = World()
    world.fire("A")
    world.run(20)
    world.end("A")
    world.tick(1)
    world.fire("A")
    world.run(40)

    assert said(world.notices) == ["firing", "firing"]


def test_a_silenced_alert_is_told_when_the_silence_is_over_if_it_still_fires() -> None:
    world = World()
    world.silence("alertname=A", 100)
    world.fire("A")

    assert world.run(95) == []
    assert said(world.run(40)) == ["firing"]


def test_an_end_under_a_silence_is_told_after_it_to_those_who_knew() -> None:
    world = World()
    world.fire("A")
    world.run(20)
    world.silence("alertname=A", 100)
    world.end("A")
    quiet = world.run(95)

    assert (quiet, said(world.run(40))) == ([], ["resolved"])


def test_an_alert_that_is_gone_without_a_word_has_ended() -> None:
    world = World()
    world.fire("A")
    world.run(20)
    world.alerts.clear()

    assert said(world.run(40)) == ["resolved"]


def test_a_pass_that_comes_late_stays_on_the_grid_of_the_group() -> None:
    world = World()
    world.fire("A")
    world.tick()
    world.tick(55)
    (group,) = world.state.groups.values()

    assert group.due_at_ms == 70_000
    assert deciding.due_at_ms(world.state) == 70_000
