"""What the benchmarks of the stream send, and how they read memory."""

from collections import Counter

import pytest

from analytics.contracts import events
from analytics.contracts.agent_events import RequestFinished
from analytics.contracts.events import Event
from tests.bench.preload import SESSION_EVENTS, Load, made
from tests.bench.soak import Sample, growth

LOAD = Load(partitions=2, events=3_001, end_ms=0, sessions=10, projects=7, tools=3)


def _events(load: Load) -> list[Event]:
    return [
        events.decode(made(load, number, 1_000 + number).value) for number in range(load.events)
    ]


def test_a_load_is_of_real_events_each_once_and_its_calls_are_known() -> None:
    sent = _events(LOAD)

    calls = [isinstance(event, RequestFinished) for event in sent]
    assert len({event.id for event in sent}) == 3_001
    assert sum(calls) == LOAD.calls()
    assert [sum(calls[:n]) for n in (0, 1, 39, 40, 41, 777)] == [
        LOAD.calls(n) for n in (0, 1, 39, 40, 41, 777)
    ]
    assert [event.at_ms for event in sent[:3]] == [1_000, 1_001, 1_002]


def test_a_session_has_all_kinds_of_events_and_ends_after_a_while() -> None:
    load = Load(partitions=2, events=10 * (SESSION_EVENTS + 1), end_ms=0, sessions=10)
    kinds: dict[bytes, Counter[type[Event]]] = {}

    for number, event in enumerate(_events(load)):
        kinds.setdefault(made(load, number, 0).key, Counter())[type(event)] += 1

    assert len(kinds) == 20
    assert {sum(counts.values()) for counts in kinds.values()} == {SESSION_EVENTS, 1}
    assert len(kinds[b"load-s3-0"]) == 3


@pytest.mark.parametrize(("after", "grown"), [(100.0, 0.0), (110.0, 0.1)])
def test_memory_grows_from_the_first_quarter_after_the_warm_up_to_the_last(
    after: float, grown: float
) -> None:
    levels = [10.0] * 10 + [100.0] * 40 + [after] * 10
    samples = [
        Sample(
            at_s=0,
            memory_mib={"worker 0": level},
            sent=9,
            stored=7,
            outbox=0,
            remembered=0,
            open_windows=0,
            faults=0,
        )
        for level in levels
    ]

    assert growth(samples, "worker 0") == pytest.approx(grown)
    assert samples[0].lag == 2
