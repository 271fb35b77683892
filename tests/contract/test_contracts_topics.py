"""Topics are declared once: every event has one, and a key of its own fields."""

import msgspec
import pytest

from analytics.contracts import events, topics
from analytics.contracts.events import Event
from analytics.contracts.facts import AgentFact
from analytics.contracts.result_events import WindowClosed
from tests.support.facts import fact, one_of_each, request


@pytest.mark.requirement("topics-declared-once")
def test_every_event_type_is_carried_by_exactly_one_topic() -> None:
    carried = [kind for topic in topics.ALL for kind in topic.carries]

    assert len(carried) == len(set(carried))
    assert set(carried) == set(events.TYPES.values())


@pytest.mark.parametrize("event", one_of_each(), ids=events.type_of)
def test_every_event_has_a_topic_and_a_key_on_it(event: Event) -> None:
    topic = topics.of(event)

    assert type(event) in topic.carries
    assert topic.key in {field.name for field in msgspec.structs.fields(event)}
    assert topics.key_of(event)


def test_names_are_plural_and_versioned_and_addresses_prefixed() -> None:
    for topic in topics.ALL:
        assert topic.name.endswith(".v1")
        assert topic.address == "mainstem." + topic.name
        assert topic.partitions > 0
        assert topic.retention_days > 0
        assert topic.about


@pytest.mark.requirement("session-ordered")
def test_what_happens_in_a_session_shares_a_key() -> None:
    keys = {topics.key_of(event) for event in one_of_each() if isinstance(event, AgentFact)}

    assert keys == {"s1"}
    assert topics.key_of(request(session_id="s2")) == "s2"


def test_the_worker_reads_facts_and_not_results() -> None:
    assert topics.METRICS not in topics.FACTS
    assert topics.of(fact(WindowClosed)) is topics.METRICS
