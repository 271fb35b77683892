"""Golden payloads of every event type: what was once written is read, and written, the same."""

import json
from pathlib import Path
from typing import Final

import msgspec
import pytest

from analytics.contracts import events
from analytics.contracts.errors import BadEvent, UnknownEvent
from tests.support.facts import one_of_each

GOLDEN: Final = Path(__file__).parents[1] / "data" / "golden" / "v1"
PAYLOADS: Final = sorted(GOLDEN.glob("*.json"))


def test_every_event_type_has_a_golden_payload() -> None:
    assert {path.stem for path in PAYLOADS} == set(events.TYPES)


@pytest.mark.requirement("events-only-grow")
@pytest.mark.parametrize("path", PAYLOADS, ids=lambda path: path.stem)
def test_a_golden_payload_is_read_and_written_byte_for_byte(path: Path) -> None:
    payload = path.read_bytes()

    event = events.decode(payload)

    assert events.type_of(event) == path.stem
    assert events.encode(event) == payload


@pytest.mark.parametrize("path", PAYLOADS, ids=lambda path: path.stem)
def test_a_golden_payload_sets_every_field_of_its_first_version(path: Path) -> None:
    fields = json.loads(path.read_bytes())

    event = events.decode(path.read_bytes())

    for name, value in fields.items():
        if name not in {"type", "latency"}:
            told = json.loads(json.dumps(msgspec.to_builtins(event)[name]))
            assert told == value


@pytest.mark.requirement("events-only-grow")
@pytest.mark.parametrize("path", PAYLOADS, ids=lambda path: path.stem)
def test_fields_that_are_not_known_yet_pass(path: Path) -> None:
    fields = json.loads(path.read_bytes())
    fields |= {"from_the_future": {"deeply": [1, "two", None]}, "and_another": 7}

    assert events.decode(json.dumps(fields).encode()) == events.decode(path.read_bytes())


@pytest.mark.parametrize("event", one_of_each(), ids=events.type_of)
def test_defaults_are_left_out_on_the_wire_and_read_back(event: events.Event) -> None:
    payload = events.encode(event)

    assert b'""' not in payload
    assert events.decode(payload) == event
    assert events.read(json.loads(payload)) == event


@pytest.mark.requirement("unreadable-dead-letter")
@pytest.mark.parametrize(
    ("payload", "error"),
    [
        (b"", BadEvent),
        (b"not json", BadEvent),
        (b"[1, 2]", BadEvent),
        (b"\xff\xfe", BadEvent),
        (b'{"type": "prompt.submitted"}', BadEvent),
        (b'{"type": "prompt.submitted", "id": "1", "tenant": "t", "at_ms": -1}', BadEvent),
        (b'{"type": 5}', BadEvent),
        (b'{"type": "nobody.knows", "id": "1"}', UnknownEvent),
        (b"{}", UnknownEvent),
    ],
)
def test_what_is_no_event_is_refused_with_the_payload_as_it_came(
    payload: bytes, error: type[BadEvent]
) -> None:
    with pytest.raises(BadEvent) as refused:
        events.decode(payload)

    assert type(refused.value) is error
    assert refused.value.payload == payload
    assert refused.value.reason


def test_a_decoded_object_that_is_no_event_is_refused_too() -> None:
    with pytest.raises(UnknownEvent, match=r"'nobody\.knows'"):
        events.read({"type": "nobody.knows"})
    with pytest.raises(BadEvent, match="session_id"):
        events.read({"type": "turn.finished", "id": "1", "tenant": "t", "at_ms": 1})


def test_an_id_that_is_too_long_is_refused() -> None:
    with pytest.raises(BadEvent, match="id"):
        events.read(
            {"type": "turn.finished", "id": "x" * 201, "tenant": "t", "at_ms": 1, "session_id": "s"}
        )
