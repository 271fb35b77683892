"""Patterns are RE2's: accepted, refused and applied as Go does, in linear time."""

import pytest

from analytics import patterns
from analytics.patterns import compiled


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("[[:digit:]]+", "7"),
        ("[[:alpha:]_-]+", "my-project"),
        (r"\pL+", "Bücher"),
        (r"\p{Greek}", "λ"),
        (r"\Qa.b\E+", "a.b"),
        ("(?i)claude|OPUS", "opus"),
        ("a(?i)b|c", "aB"),
        ("(?U)a+", "aaa"),
        (r"a\z", "a"),
        ("(?P<n>a)(?:b)", "ab"),
        ("(?<n>a)b", "ab"),
        ("a{,2}", "a{,2}"),
        ("", ""),
        ("a||b", ""),
        (r"\x{e9}", "é"),
    ],
)
def test_what_go_reads_is_read_and_matches_the_whole_value(text: str, value: str) -> None:
    assert compiled(text).matches(value)
    assert not compiled(text).matches(value + "\n!")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("(?=a)", "invalid or unsupported Perl syntax: `(?=`; RE2 has no look-around"),
        ("(?!a)", "invalid or unsupported Perl syntax: `(?!`"),
        ("(?<=a)b", "invalid"),
        ("(?>a)", "invalid or unsupported Perl syntax"),
        (r"(a)\1", r"invalid escape sequence: `\1`"),
        (r"a\Z", r"invalid escape sequence: `\Z`"),
        (r"\C", r"invalid escape sequence: `\C`"),
        ("*", "missing argument to repetition operator: `*`"),
        ("a**", "invalid nested repetition operator: `**`"),
        ("a{1001}", "invalid repeat count: `{1001}`"),
        ("[b-a]", "invalid character class range: `b-a`"),
        ("[[:digits:]]", "invalid character class range: `[:digits:]`"),
        (r"\pQ", r"invalid character class range: `\pQ`"),
        ("(a", "missing closing ): `(a`"),
        ("a)", "unexpected ): `a)`"),
        ("a)|(b", "unexpected )"),
        ("[a", "missing closing ]: `[a`"),
        ("a\\", "trailing backslash at end of expression"),
        (r"\Qa", r"missing closing \E"),
    ],
)
def test_what_go_refuses_is_refused_in_its_words(text: str, said: str) -> None:
    with pytest.raises(ValueError, match="error parsing regexp: ") as refused:
        compiled(text)

    assert said in str(refused.value)


@pytest.mark.parametrize(
    "text",
    [
        "a" * (patterns.CHARACTERS_MAX + 1),
        r"\pL" * (patterns.UNICODE_CLASSES_MAX + 1),
        r"\pL{1000}",
        "((a{10}){10}x{1000}){10}",
        "(((a{10}){10}){10})" * 60,
    ],
)
def test_a_pattern_has_limits_of_length_classes_and_program(text: str) -> None:
    with pytest.raises(ValueError, match=r"more than|too large|repeat count"):
        compiled(text)


def test_a_line_end_is_matched_by_a_dot_only_where_that_is_asked() -> None:
    assert not compiled("a.b").matches("a\nb")
    assert compiled("a.b", dot_is_any=True).matches("a\nb")


@pytest.mark.parametrize(
    ("text", "template", "value", "expected"),
    [
        ("(.+)-(.+)", "$2-$1", "a-b", "b-a"),
        ("(?P<n>.+)-.*", "${n}x$$", "a-b", "ax$"),
        ("(a)|(b)", "<$2>", "a", "<>"),
        ("(a)", "$1x", "a", ""),
        ("(a)", "$9$", "a", "$"),
        ("(é+)", "[$1]", "éé", "[éé]"),
        ("(a)", "$1", "b", None),
    ],
)
def test_groups_are_filled_in_as_go_expands(
    text: str, template: str, value: str, expected: str | None
) -> None:
    assert compiled(text).filled(template, value) == expected


@pytest.mark.parametrize(
    ("text", "template", "value", "expected"),
    [
        ("a*", "x", "baaac", "xbxcx"),
        ("b", "", "abc", "ac"),
        ("", "-", "éa", "-é-a-"),
        (" *x|", "<$0>", "éß", "<>é<>ß<>"),
        ("(?P<k>[a-z]+)=[0-9]+", "$k", "a=1,b=22", "a,b"),
    ],
)
def test_what_is_found_is_replaced_as_go_replaces(
    text: str, template: str, value: str, expected: str
) -> None:
    assert compiled(text).replaced(template, value) == expected


def test_half_a_surrogate_stops_nothing() -> None:
    assert compiled("[^x]+").matches("a\ud83d")
    assert not compiled("a\ud83d").matches("a")
    assert compiled("a").replaced("b", "a\ud83d").startswith("b")


def test_finding_and_replacing_stop_at_their_steps() -> None:
    with pytest.raises(ValueError, match="costs too much"):
        compiled("(.*z|.)").replaced("$1", "a" * 20_000)
    with pytest.raises(ValueError, match="costs too much"):
        compiled(".{500}b").is_in("a" * 100_000)
