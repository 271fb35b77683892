"""Records become events or dead_letters."""

import pytest

from analytics.contracts import dead_letters, events, topics
from analytics.contracts.ids import TenantId
from streams.consumer import deserialising
from tests.support import facts
from tests.support.stream_steps import Written, written

NOW_MS = facts.T0_MS + 5_000


def test_every_event_of_a_topic_is_read_with_its_offset_payload_and_broker_time() -> None:
    made = [event for event in facts.one_of_each() if topics.of(event) is topics.AGENTS]

    read = deserialising.events_of(topics.AGENTS)(0, written(made, first_offset=7), NOW_MS)

    assert [arrival.event for arrival in read.arrivals] == made
    assert [arrival.offset for arrival in read.arrivals] == list(range(7, 7 + len(made)))
    assert [arrival.received_ms for arrival in read.arrivals] == [one.at_ms for one in made]
    assert read.arrivals[0].payload == events.encode(made[0])
    assert read.dead_letters == []


@pytest.mark.requirement("unreadable-dead-letter")
@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "truncated"),
        (b"\xff\xfe", "malformed"),
        (b'{"type":"session.danced"}', "'session.danced' is not known"),
        (b'{"type":"turn.finished","id":"x"}', "missing required field"),
        (events.encode(facts.fact(events.ConnectionOpened)), "belongs on mainstem.connections.v1"),
    ],
)
def test_what_is_no_event_of_the_topic_becomes_a_dead_letter_with_a_reason(
    payload: bytes, reason: str
) -> None:
    headers = (("ce_source", b"/tenants/a%2Fb/hook"),)
    record = Written(41, facts.T0_MS, payload, headers=headers)

    read = deserialising.events_of(topics.AGENTS)(3, [record], NOW_MS)

    [dead_letter] = read.dead_letters
    assert reason in dead_letter.reason
    assert (dead_letter.partition, dead_letter.offset, dead_letter.payload) == (3, 41, payload)
    assert (dead_letter.tenant, dead_letter.origin, dead_letter.at_ms) == ("a/b", "worker", NOW_MS)
    assert read.arrivals == []


def test_a_record_without_a_value_or_a_time_does_not_stop_anything() -> None:
    made = written([facts.request("r")])
    record = Written(1, -1, made[0].value, headers=made[0].headers)

    read = deserialising.events_of(topics.AGENTS)(0, [Written(0, -1, None), record], NOW_MS)

    assert [dead_letter.offset for dead_letter in read.dead_letters] == [0]
    assert [arrival.received_ms for arrival in read.arrivals] == [NOW_MS]


def test_graves_keep_the_reason_and_origin_that_they_came_with() -> None:
    made = dead_letters.record(
        b"\x00raw", reason="no JSON", origin="hooks", tenant=TenantId("acme")
    )
    record = Written(5, facts.T0_MS, made.value, headers=made.headers)

    read = deserialising.read_dead_letters(0, [record], NOW_MS)

    [dead_letter] = read.dead_letters
    assert (dead_letter.tenant, dead_letter.origin, dead_letter.reason) == (
        "acme",
        "hooks",
        "no JSON",
    )
    assert (dead_letter.payload, dead_letter.at_ms, dead_letter.offset) == (
        b"\x00raw",
        facts.T0_MS,
        5,
    )


def test_a_grave_without_headers_is_kept_all_the_same() -> None:
    read = deserialising.read_dead_letters(0, [Written(0, facts.T0_MS, b"x")], NOW_MS)

    assert [(dead_letter.reason, dead_letter.payload) for dead_letter in read.dead_letters] == [
        ("", b"x")
    ]
