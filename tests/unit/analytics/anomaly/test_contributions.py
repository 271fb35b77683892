"""Which part of a whole moved it."""

from analytics.anomaly.contributions import contributions


def test_the_part_that_moved_most_comes_first_and_nothing_is_said_of_what_stayed() -> None:
    found = contributions(
        {"model": {"opus": 10, "haiku": 5}, "tool": {"bash": 3}},
        {"model": {"opus": 40, "haiku": 5}, "tool": {"bash": 9, "edit": 2}},
    )

    assert [(one.dimension, one.part, one.change, one.share) for one in found] == [
        ("model", "opus", 30, 1.0),
        ("tool", "bash", 6, 0.75),
        ("tool", "edit", 2, 0.25),
    ]


def test_a_list_is_cut_and_an_empty_one_is_empty() -> None:
    assert contributions({}, {}) == ()
    assert len(contributions({}, {"tool": {str(k): k + 1.0 for k in range(20)}}, limit=3)) == 3
