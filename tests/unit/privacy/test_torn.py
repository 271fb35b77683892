"""Contents are left out of JSON that was cut in the middle, wherever the cut is."""

import json
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.privacy.filter import Filter
from analytics.privacy.rules import PrivacyRules
from analytics.privacy.torn import without_contents

SAID: Final = "SAID"
NAMES: Final = ("prompt", "tool_input", "text", "summary", "body", "name", "id")
CONTENTS: Final = frozenset({"prompt", "tool_input", "text", "summary", "body"})

VALUES: Final = st.recursive(
    st.none() | st.integers() | st.just("plain") | st.just('a "quoted" \\ one'),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(("x", "y")), inner, max_size=2)
    ),
    max_leaves=8,
)


def _filled(value: object) -> object:
    """Return a value in which every text is one that was said."""
    if isinstance(value, str):
        return SAID + value
    if isinstance(value, list):
        return [_filled(one) for one in value]
    if isinstance(value, dict):
        return {SAID + key: _filled(one) for key, one in value.items()}
    return value


@given(
    fields=st.lists(st.tuples(st.sampled_from(NAMES), VALUES), max_size=6),
    cut=st.floats(0, 1),
    indent=st.sampled_from([None, 2]),
)
def test_nothing_of_a_content_is_left_wherever_the_text_is_cut(
    fields: list[tuple[str, object]], cut: float, indent: int | None
) -> None:
    told = [{name: _filled(value) if name in CONTENTS else value} for name, value in fields]
    text = json.dumps(told, indent=indent)
    torn = text[: int(len(text) * cut)]

    left = without_contents(torn, is_content=CONTENTS.__contains__)

    assert SAID not in left


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ('{"a":1,"prompt":"x","b":2', '{"a":1,"prompt":"<content>","b":2'),
        ('{"prompt" : {"x": [1, {"y": "]"}]}, "b": 2', '{"prompt" :"<content>", "b": 2'),
        ('{"prompt":[[["x"]]],"b":[[', '{"prompt":"<content>","b":[['),
        ('{"prompt":null,"b":', '{"prompt":"<content>""b":'),
        ('{"p\\u0072ompt":"x"', '{"p\\u0072ompt":"<content>"'),
        ("no JSON: at all", "no JSON: at all"),
    ],
)
def test_what_is_no_content_stays(text: str, left: str) -> None:
    assert without_contents(text, is_content=CONTENTS.__contains__) == left


@pytest.mark.parametrize("piece", ["[", '"', '\\"', '{"prompt":', '"prompt":[', "]", "a:"])
def test_whatever_is_in_it_a_text_is_gone_through_once(piece: str) -> None:
    text = piece * (262_144 // len(piece))

    left = Filter(PrivacyRules()).pass_dead_letter(text.encode())

    assert len(left) <= 2 * len(text)
