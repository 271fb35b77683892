"""The address says what is looked at; what has no meaning gives way and is named."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.dashboard import state
from apps.dashboard.state import CUSTOM, Address, Range

NOW_MS = int(datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp() * 1000)


def test_an_empty_address_is_the_last_hour_and_live() -> None:
    found = Address({})

    chosen = found.range(NOW_MS)

    assert chosen == Range(name="1h", live=True)
    assert chosen.bounds(NOW_MS) == (NOW_MS - 3_600_000, NOW_MS)
    assert found.problems == []


def test_a_fixed_range_in_the_past_is_not_live() -> None:
    found = Address({"range": "custom", "from": "2026-02-01T00:00Z", "to": "2026-02-02T00:00Z"})

    chosen = found.range(NOW_MS)

    assert (chosen.name, chosen.live) == (CUSTOM, False)
    assert chosen.until_ms - chosen.from_ms == 86_400_000
    assert chosen.is_past(NOW_MS)


def test_a_fixed_range_that_reaches_into_the_future_stays_live() -> None:
    found = Address({"range": "custom", "from": "2026-03-01T00:00Z", "to": "2026-03-02T00:00Z"})

    assert found.range(NOW_MS).live


@pytest.mark.parametrize(
    "given_address",
    [
        {"range": "2h"},
        {"range": "custom"},
        {"range": "custom", "from": "yesterday", "to": "today"},
        {"range": "custom", "from": "2026-02-02T00:00Z", "to": "2026-02-01T00:00Z"},
        {"range": "custom", "from": "1999-01-01T00:00Z", "to": "2026-02-01T00:00Z"},
        {"range": "custom", "from": "2027-01-01T00:00Z", "to": "2027-02-01T00:00Z"},
        {"live": "perhaps"},
    ],
)
def test_a_range_without_meaning_shows_the_default_and_says_so(
    given_address: dict[str, str],
) -> None:
    found = Address(given_address)

    assert found.range(NOW_MS) == Range()
    assert found.problems
    assert all(problem.endswith(".") for problem in found.problems)


@pytest.mark.parametrize("value", ["0", "-1", "4001", "1e3", "many", "9" * 5_000])
def test_a_page_out_of_bounds_is_the_first_page(value: str) -> None:
    found = Address({"page": value})

    assert found.number("page", 1, least=1, most=4_000) == 1
    assert len(found.problems) == 1
    assert len(found.problems[0]) < 200


def test_what_was_written_reads_as_it_was() -> None:
    chosen = Range(name=CUSTOM, from_ms=NOW_MS - 7_200_000, until_ms=NOW_MS - 3_600_000, live=False)
    address: dict[str, str] = {}

    state.write(address, state.of_range(chosen))

    assert Address(address).range(NOW_MS) == chosen


def test_writing_the_same_again_changes_nothing() -> None:
    address = {"range": "7d"}

    assert not state.write(address, {"range": "7d", "page": ""})
    assert state.write(address, {"range": ""})
    assert address == {}


def test_a_link_holds_only_what_is_set_and_escapes_it() -> None:
    assert state.link("sessions", agent="a&b=c", state="") == "sessions?agent=a%26b%3Dc"
    assert state.link("") == "."


@given(st.dictionaries(st.sampled_from(["range", "from", "to", "live", "page", "q"]), st.text()))
def test_no_address_breaks_a_page(address: dict[str, str]) -> None:
    found = Address(address)

    start, end = found.range(NOW_MS).bounds(NOW_MS)

    assert start < end
    assert 1 <= found.number("page", 1, least=1, most=10) <= 10
    assert len(found.words("q")) <= state.VALUE_LENGTH_MAX
