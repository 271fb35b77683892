"""Small edits to somebody else's JSON: what is not ours stays, byte for byte."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.connect import jsonc
from apps.connect.jsonc import Json, NotJson, cut, find, parse, put

TEXTS = {
    "empty": "{}",
    "two spaces": '{\n  "a": 1\n}\n',
    "trailing comma": '{\n  "a": 1,\n}\n',
    "one line": '{"a":1}',
    "one line with a list": '{"a": 1, "b": [1,2]}\n',
    "crlf and tabs": '{\r\n\t"a": 1\r\n}\r\n',
    "comments": (
        '{\n    // note\n    "a": 1, // trailing\n    "b": {"x": 1} /* c */ // d\n    // last\n}\n'
    ),
    "env and hooks": (
        '{\n  "env": {},\n  "hooks": {\n    "PreToolUse": [\n'
        '      {"matcher": "Bash", "hooks": []}\n    ]\n  }\n}'
    ),
    "compact": '{"env":{"A":"1"},"hooks":{"PreToolUse":[{"matcher":"Bash"}]}}',
    "byte order mark": '\ufeff{\n  "a": 1\n}',
    "ragged": '{ "a": 1,\n  "b": 2 }',
    "empty list": '{\n  "hooks": {\n    "PreToolUse": []\n  }\n}',
    "only a comment": "// top\n{\n  // only a comment\n}\n",
    "slashes in text": '{"a": "http://x//y /* z */"}',
    "comment after the last": '{\n  "env": {\n    "A": "1",\n    // c\n  },\n}\n',
}
EDITS: list[tuple[jsonc.Path, Json]] = [
    (("env", "B"), "x"),
    (("z",), {"a": {"b": [1, None, True]}}),
    (("hooks", "Stop", 0), {"hooks": [{"type": "http", "n": [1, 2]}]}),
]


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
@pytest.mark.parametrize(("path", "value"), EDITS)
def test_what_is_put_in_is_there_and_taking_it_out_gives_the_text_back(
    text: str, path: jsonc.Path, value: Json
) -> None:
    made = put(text, path, value)

    there = find(parse(made), path)
    assert there is not None
    assert there.value == value
    length = next(n for n in range(1, len(path) + 1) if find(parse(text), path[:n]) is None)
    assert cut(made, path[:length]) == text


def test_a_value_that_is_there_is_replaced_where_it_stands() -> None:
    text = '{\n  "a": {"old": [1, 2]}, // kept\n  "b": 2\n}\n'

    assert put(text, ("a",), "new") == '{\n  "a": "new", // kept\n  "b": 2\n}\n'


def test_new_lines_have_the_indent_and_the_line_ends_of_the_text() -> None:
    made = put('{\r\n\t"a": 1\r\n}\r\n', ("env", "B"), "x")

    assert made == '{\r\n\t"a": 1,\r\n\t"env": {\r\n\t\t"B": "x"\r\n\t}\r\n}\r\n'


@pytest.mark.parametrize(
    "text",
    ["", "nope", "{", '{"a" 1}', '{"a": 1} x', '{"a": tru}', "[1 2]", "[" * 200, '{"a": 1e}'],
)
def test_a_text_that_is_not_json_is_refused_in_words(text: str) -> None:
    with pytest.raises(NotJson):
        parse(text)


@pytest.mark.parametrize("path", [("a", "b"), ("l", "x"), (0,)])
def test_a_place_of_another_kind_is_refused(path: jsonc.Path) -> None:
    with pytest.raises(NotJson, match="another kind"):
        put('{"a": 1, "l": []}', path, 1)


_scalars = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8)
_values = st.recursive(
    _scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(
    document=st.dictionaries(st.sampled_from("abcdef"), _values, max_size=5),
    indent=st.sampled_from([None, 1, 2, 4, "\t"]),
    value=_values,
)
def test_any_document_reads_as_json_does_and_comes_back_after_an_edit(
    document: dict[str, Json], indent: int | str | None, value: Json
) -> None:
    text = json.dumps(document, indent=indent)

    assert parse(text).value == document
    made = put(text, ("zz",), value)
    assert json.loads(made) == {**document, "zz": value}
    assert cut(made, ("zz",)) == text
