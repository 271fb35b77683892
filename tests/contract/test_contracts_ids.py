"""Ids are made of what a fact is: the same parts give the same id, other parts another."""

from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.contracts.ids import ID_LENGTH_MAX, derived

parts = st.lists(st.text(max_size=8) | st.integers(), max_size=4)


def test_an_id_is_the_same_on_every_machine_and_version() -> None:
    assert derived("claude", 7, "") == "a64564f9891f3b9777b2b8354ac5a736"


@settings(deadline=None)
@given(one=parts, other=parts)
def test_other_parts_give_another_id(one: list[str | int], other: list[str | int]) -> None:
    same = [str(part) for part in one] == [str(part) for part in other]

    assert (derived(*one) == derived(*other)) is same


def test_parts_do_not_run_into_each_other() -> None:
    assert len({derived("ab", "c"), derived("a", "bc"), derived("abc"), derived("abc", "")}) == 4


def test_any_text_has_an_id_that_fits() -> None:
    assert len(derived("\ud800", "x" * 100_000)) <= ID_LENGTH_MAX
