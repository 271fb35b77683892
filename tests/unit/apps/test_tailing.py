"""Following a topic: where to start, which events fit, how they look on a line."""

import json

import pytest

from analytics.contracts import topics
from analytics.contracts.errors import BadSetting
from apps.cli.tailer import (
    Start,
    TailedRecord,
    as_json,
    as_line,
    conditions,
    fits,
    start_named,
    topic_named,
)

EVENT: dict[str, object] = {
    "type": "request.finished",
    "at_ms": 1,
    "model": "opus",
    "input_tokens": 3,
    "succeeded": True,
    "attributes": {"type": "input"},
}


@pytest.mark.parametrize("name", ["agents.v1", "mainstem.agents.v1"])
def test_a_topic_is_named_short_or_whole(name: str) -> None:
    assert topic_named(name) is topics.AGENTS


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("end", Start("end")),
        ("start", Start("start")),
        ("42", Start("offset", 42)),
        ("10m", Start("age", 600_000)),
        ("2h", Start("age", 7_200_000)),
    ],
)
def test_a_start_is_an_end_an_offset_or_an_age(text: str, start: Start) -> None:
    assert start_named(text) == start


@pytest.mark.parametrize("text", ["", "-1", "10x", "m", "soon"])
def test_any_other_start_is_misuse(text: str) -> None:
    with pytest.raises(BadSetting, match="--from"):
        start_named(text)


def test_an_unknown_topic_and_a_broken_condition_are_misuse() -> None:
    with pytest.raises(BadSetting, match=r"agents\.v1"):
        topic_named("nope")
    with pytest.raises(BadSetting, match="FIELD=VALUE"):
        conditions(["model"])


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ([], True),
        (["model=opus"], True),
        (["model=opus", "input_tokens=3"], True),
        (["succeeded=true"], True),
        (["attributes.type=input"], True),
        (["model=haiku"], False),
        (["model=opus", "input_tokens=4"], False),
        (["missing=1"], False),
        (["model.deeper=1"], False),
    ],
)
def test_an_event_fits_when_every_condition_holds(where: list[str], *, expected: bool) -> None:
    assert fits(EVENT, conditions(where)) is expected


def test_what_is_no_event_fits_only_where_nothing_is_asked() -> None:
    assert fits(None, ())
    assert not fits(None, (("model", "opus"),))


def test_a_record_is_one_line_for_people_and_one_for_programs() -> None:
    found = _found(EVENT, b"{}")

    assert as_line(found).startswith("00:00:01.500 2/7 request.finished model=opus input_tokens=3")
    assert json.loads(as_json(found))["event"] == EVENT
    assert "\n" not in as_json(found)


def test_what_cannot_be_read_is_shown_with_its_reason() -> None:
    found = _found(None, b"\xff\x00 x")

    assert "2/7 not JSON: b'\\xff" in as_line(found)
    assert json.loads(as_json(found))["event"] is None


def _found(event: dict[str, object] | None, value: bytes) -> TailedRecord:
    return TailedRecord(
        partition=2,
        offset=7,
        at_ms=1_500,
        event=event,
        value=value,
        headers={"reason": "not JSON"} if event is None else {},
    )
