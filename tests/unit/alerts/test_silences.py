"""Silences mute what they say, are replaced and not edited, and links to them work."""

import pytest

from analytics.alerts import matchers
from analytics.alerts.matchers import LabelMatcher, LabelOperator
from analytics.alerts.silence import silences
from analytics.alerts.silence.silences import BadSilence, Silence


def _silence(text: str, starts_at_ms: int = 0, ends_at_ms: int = 100) -> Silence:
    return Silence(
        id="s1",
        matchers=matchers.parse(text),
        starts_at_ms=starts_at_ms,
        ends_at_ms=ends_at_ms,
        created_by="ada",
        comment="known",
    )


@pytest.mark.parametrize(("now_ms", "mutes"), [(-1, False), (0, True), (99, True), (100, False)])
def test_a_silence_holds_from_its_start_up_to_its_end(now_ms: int, mutes: bool) -> None:
    assert _silence("a=b").mutes({"a": "b"}, now_ms) is mutes


@pytest.mark.requirement("alert-silence-link")
@pytest.mark.parametrize(
    "labels",
    [
        {"alertname": "A"},
        {"alertname": "A", "path": 'C:\\x "y", {z}=1&b=2%20'},
        {"alertname": "A", "text": "line one\nline two", "unicode": "äß→"},
    ],
)
def test_the_silence_of_a_link_mutes_the_alert_it_was_made_for(labels: dict[str, str]) -> None:
    found = silences.from_link(silences.link("https://m/", labels))

    assert matchers.all_hold(found, labels)
    assert not matchers.all_hold(found, {**labels, "alertname": "B"})


@pytest.mark.parametrize(
    ("text", "starts", "ends", "said"),
    [
        ("", 0, 1, "needs 1 to"),
        ('a=~".*"', 0, 1, "would mute everything"),
        ("a!=b", 0, 1, "would mute everything"),
        ("a=b", 5, 5, "end after it starts"),
    ],
)
def test_a_silence_without_meaning_is_refused(text: str, starts: int, ends: int, said: str) -> None:
    with pytest.raises(BadSilence, match=said):
        silences.checked(_silence(text, starts, ends))


def test_a_silence_says_when_it_mutes_nothing_or_much() -> None:
    silence = _silence("a=b")

    assert "no alert" in silences.reach(silence, [{"a": "c"}]).caution
    assert silences.reach(silence, [{"a": "b"}]).caution == ""
    assert "mutes 101" in silences.reach(silence, [{"a": "b"}] * 101).caution


def test_a_replaced_silence_ends_as_the_other_begins() -> None:
    old, new = silences.replaced(_silence("a=b"), _silence("a=c"), 40)

    assert (old.ends_at_ms, new.starts_at_ms, new.replaces) == (40, 40, "s1")
    assert silences.expired(old, 50) == old


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            '{a="b",c=~"d.*",}',
            (
                LabelMatcher("a", LabelOperator.EQUAL, "b"),
                LabelMatcher("c", LabelOperator.LIKE, "d.*"),
            ),
        ),
        ("a!=b", (LabelMatcher("a", LabelOperator.UNEQUAL, "b"),)),
        ('a!~"x,y"', (LabelMatcher("a", LabelOperator.UNLIKE, "x,y"),)),
        ('a="q\\"\\\\\\n"', (LabelMatcher("a", LabelOperator.EQUAL, 'q"\\\n'),)),
        ("{}", ()),
        ("a=", (LabelMatcher("a", LabelOperator.EQUAL, ""),)),
    ],
)
def test_matchers_are_read_as_alertmanager_reads_them(
    text: str, expected: tuple[LabelMatcher, ...]
) -> None:
    assert matchers.parse(text) == expected


@pytest.mark.parametrize("text", ["a", "=b", '{a="b"', 'a="b', 'a=b"c', "a=~(", "a=b,,c=d"])
def test_text_that_is_no_matcher_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        matchers.parse(text)
