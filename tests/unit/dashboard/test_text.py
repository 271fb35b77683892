"""Numbers and times have one form each, and foreign words are never markup."""

from datetime import UTC

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.dashboard import text


@pytest.mark.parametrize(
    ("nanousd", "shown"),
    [
        (0, "$0.00"),
        (3_100_000_000, "$3.10"),
        (4_200_000, "$0.0042"),
        (1_234_567_000_000, "$1,234.57"),
    ],
)
def test_money_has_its_unit(nanousd: int, shown: str) -> None:
    assert text.money(nanousd) == shown


@pytest.mark.parametrize(
    ("ms", "shown"),
    [
        (340, "340 ms"), (2_400, "2.4 s"), (42_000, "42 s"), (200_000, "3 min 20 s"),
        (7_500_000, "2 h 5 min"), (270_000_000, "3 d 3 h"), (float("nan"), "–"), (None, "–"),
    ],
)  # fmt: skip
def test_durations_read_as_people_say_them(ms: float | None, shown: str) -> None:
    assert text.duration(ms) == shown


@pytest.mark.parametrize(
    ("number", "shown"), [(0, "0"), (987_654, "987,654"), (12_340_000, "12.3 M"), (4.2e9, "4.2 B")]
)
def test_counts_have_separators_and_are_short_only_from_a_million_on(
    number: float, shown: str
) -> None:
    assert text.short(number) == shown


def test_an_unknown_time_zone_is_utc() -> None:
    assert text.zone("Nowhere/Else") is UTC
    assert text.zone(None) is UTC


def test_a_moment_of_another_day_says_the_day() -> None:
    noon_ms = 1_767_268_800_000

    assert text.clock(noon_ms, UTC, now_ms=noon_ms) == "12:00"
    assert text.clock(noon_ms, UTC, now_ms=noon_ms + 86_400_000) == "1 Jan 12:00"


def test_foreign_text_cannot_become_markup_or_turn_the_line_around() -> None:
    hostile = '<img src=x onerror="alert(1)">\u202eevil\x00\u200b & more'

    shown = text.escaped(hostile)

    assert shown == "&lt;img src=x onerror=&quot;alert(1)&quot;&gt;evil &amp; more"


def test_our_own_sentences_show_commands_as_code_but_still_escape() -> None:
    assert text.told("run `mainstem up` <now>") == "run <code>mainstem up</code> &lt;now&gt;"
    assert text.told("an odd ` alone") == "an odd ` alone"


@given(st.text())
def test_escaped_text_never_holds_a_tag(foreign: str) -> None:
    shown = text.escaped(foreign, most=50)

    assert "<" not in shown
    assert ">" not in shown
    assert '"' not in shown


@pytest.mark.parametrize(
    ("nanousd", "tokens", "shown"),
    [(0, 0, "$0.00"), (0, 9, "not priced"), (5_000_000_000, 9, "$5.00"), (1_000_000, 9, "$0.0010")],
)
def test_tokens_never_cost_nothing(nanousd: int, tokens: int, shown: str) -> None:
    assert text.cost(nanousd, tokens) == shown
