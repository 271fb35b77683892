"""The demo: real scripts, played as new sessions that say what they are."""

from collections import Counter
from datetime import UTC, datetime
from itertools import count, pairwise
from random import Random

import pytest

from analytics.contracts import events, topics
from analytics.contracts.agent_events import RequestFailed, RequestFinished, ToolFinished
from apps.load import week
from apps.load.demo import INCIDENT_MS, INCIDENT_PROJECT, Fleet
from apps.load.player import ROLES, play
from apps.load.script import Script, bundled

HOUR_MS = 3_600_000
SCRIPTS = [one for one in bundled().scripts if sum(len(turn.steps) for turn in one.turns) > 1]


def _fleet(seed: int, *, speed: float = 1.0) -> Fleet:
    numbers = count()
    return Fleet(
        SCRIPTS, speed=speed, random=Random(seed), new_id=lambda: f"demo-{seed}-{next(numbers)}"
    )


def test_every_script_names_its_source_and_its_licence() -> None:
    scripts = bundled().scripts

    assert len(scripts) >= 5
    assert {script.licence for script in scripts} == {"MIT", "Apache-2.0"}
    assert all(script.source for script in scripts)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
@pytest.mark.parametrize("seed", range(5))
def test_a_played_session_is_what_the_script_says(script: Script, seed: int) -> None:
    played = [
        timed.event
        for timed in play(
            script, ROLES[0], session_id="demo-1", start_ms=1_000, speed=2.0, random=Random(seed)
        )
    ]

    tools = [step.tool for turn in script.turns for step in turn.steps if step.tool]
    called = [
        event.tool for event in played if isinstance(event, ToolFinished) and not event.agent_id
    ]
    assert len(called) >= len(tools)
    assert set(called) == set(tools)
    assert len({event.id for event in played}) == len(played)
    assert all(now.at_ms <= then.at_ms for now, then in pairwise(played))
    assert all(topics.key_of(event) == "demo-1" for event in played)
    assert all(events.decode(events.encode(event)) == event for event in played)


def test_every_session_says_that_it_is_a_demo() -> None:
    fleet = _fleet(1)
    fleet.begin(0)

    for event in fleet.due(HOUR_MS, 500):
        told = events.encode(event)
        assert b'"project":"demo-' in told
        assert b'"team":"demo"' in told
        assert b'"session_id":"demo-' in told


def test_an_hour_of_the_fleet_has_all_kinds_of_events_and_models() -> None:
    fleet = _fleet(2)
    fleet.begin(0)

    happened = fleet.due(HOUR_MS, 100_000)

    kinds = Counter(events.type_of(event) for event in happened)
    assert {
        "session.started", "prompt.submitted", "request.finished", "request.failed", "tool.started",
        "tool.finished", "agent.started", "agent.finished", "attention.needed", "session.ended",
    } <= set(kinds)  # fmt: skip
    models = {event.model for event in happened if isinstance(event, RequestFinished)}
    assert len(models) >= 5
    assert all(0 <= now.at_ms <= then.at_ms for now, then in pairwise(happened))


def test_no_more_than_the_limit_is_due_and_the_rest_waits() -> None:
    fleet = _fleet(3)
    fleet.begin(0)

    first, second = fleet.due(HOUR_MS, 10), fleet.due(HOUR_MS, 10)

    assert len(first) == len(second) == 10
    assert not {event.id for event in first} & {event.id for event in second}


def test_a_faster_demo_has_more_events_in_the_same_time() -> None:
    slow, fast = _fleet(4), _fleet(4, speed=10.0)
    slow.begin(0)
    fast.begin(0)

    assert len(fast.due(HOUR_MS // 6, 10**6)) > 3 * len(slow.due(HOUR_MS // 6, 10**6))


DAY_MS = 24 * HOUR_MS
TUESDAY_MS = int(datetime(2026, 11, 24, 12, tzinfo=UTC).timestamp() * 1_000)


def test_the_week_before_is_a_week_of_working_hours_in_order_of_time() -> None:
    happened = list(week.events(SCRIPTS, until_ms=TUESDAY_MS))

    days = {event.at_ms // DAY_MS for event in happened}
    assert len(days) == week.DAYS + 1
    assert 10_000 < len(happened) < 40_000
    assert max(event.at_ms for event in happened) < TUESDAY_MS
    assert {event.tenant for event in happened} == {"demo"}


def test_the_week_told_again_later_is_the_same_but_for_what_is_new() -> None:
    first = {event.id: event for event in week.events(SCRIPTS, until_ms=TUESDAY_MS)}
    again = {event.id: event for event in week.events(SCRIPTS, until_ms=TUESDAY_MS + HOUR_MS)}

    assert first.keys() <= again.keys()
    assert all(again[one] == event for one, event in first.items())


def _share_failing(happened: list[events.Event], project: str) -> float:
    ours = [event for event in happened if getattr(event, "project", "") == project]
    failed = sum(isinstance(event, RequestFailed) for event in ours)
    return failed / max(1, sum(isinstance(event, RequestFinished) for event in ours))


def test_the_staged_incident_hits_one_project_and_ends() -> None:
    numbers = count()
    fleet = Fleet(
        SCRIPTS, speed=10.0, random=Random(3), new_id=lambda: f"demo-{next(numbers)}",
        incident_ms=2 * INCIDENT_MS,
    )  # fmt: skip
    fleet.begin(0)

    before = fleet.due(2 * INCIDENT_MS, 10**6)
    during = fleet.due(3 * INCIDENT_MS, 10**6)
    fleet.due(4 * INCIDENT_MS, 10**6)
    after = fleet.due(6 * INCIDENT_MS, 10**6)

    assert _share_failing(before, INCIDENT_PROJECT) < 0.1
    assert _share_failing(during, INCIDENT_PROJECT) > 0.3
    assert _share_failing(during, "demo-search") < 0.1
    assert _share_failing(after, INCIDENT_PROJECT) < 0.1
