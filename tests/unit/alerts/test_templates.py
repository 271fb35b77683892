"""Templates render as Go's do, within the language that is named; the rest is refused by name."""

import re

import pytest

from analytics.alerts import templates
from analytics.alerts.templates import BadTemplate, Data

DATA = Data(
    labels={"job": "api", "__name__": "v"},
    value=1234567.0,
    external_labels={"region": "eu"},
    external_url="http://m",
)


@pytest.mark.requirement("alert-templates")
@pytest.mark.parametrize(
    ("text", "rendered"),
    [
        ("plain", "plain"),
        ("{{ $labels.job }} at {{ $value }}", "api at 1.234567e+06"),
        ("{{ .Labels.job }}{{ $.Labels.job }}{{ .Value }}", "apiapi1.234567e+06"),
        ("{{ $externalLabels.region }} {{ $externalURL }}", "eu http://m"),
        ("{{ $labels.none }}|", "|"),
        ("{{ $labels }}", "map[__name__:v job:api]"),
        ("a {{- ` b` -}} c", "a bc"),
        ("{{/* nothing */}}b", "b"),
        ("{{ $value | humanize }}", "1.235M"),
        ("{{ humanize 0.00001234 }} {{ humanize 0 }}", "12.34u 0"),
        ("{{ humanizeDuration 90061 }} {{ humanizeDuration 3.5 }}", "1d 1h 1m 1s 3.5s"),
        ("{{ humanizeDuration -90 }} {{ humanizeDuration 0.02 }}", "-1m 30s 20ms"),
        ("{{ humanizePercentage 0.1234567 }}", "12.35%"),
        ("{{ humanizeTimestamp 1435065584.128 }}", "2015-06-23 13:19:44.128 +0000 UTC"),
        ('{{ printf "%.2f|%8.1f|%-4s|%q|%d|%%" $value 1.25 "x" "y" 7 }}',
         '1234567.00|     1.2|x   |"y"|7|%'),
        ('{{ printf "%d" $value }}', "%!d(float64=1.234567e+06)"),
        ('{{ printf "%s" }}', "%!s(MISSING)"),
        ('{{ title "hello wide-world" }} {{ toUpper "a" }}', "Hello Wide-World A"),
        ('{{ match "^a.i$" $labels.job }} {{ match "x" "y" }}', "true false"),
        ('{{ reReplaceAll "(.)p(.)" "$2-${1}" $labels.job }}', "i-a"),
        ('{{ $labels.job | toUpper | printf "%s!" }}', "API!"),
        ('{{ humanize (printf "%.0f" $value) }}', "1.235M"),
        ('{{ "}}" }}', "}}"),
    ],
)  # fmt: skip
def test_a_template_renders_as_in_go(text: str, rendered: str) -> None:
    assert templates.parse(text).render(DATA) == rendered


@pytest.mark.requirement("alert-templates")
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{{ $label.x }}", "undefined variable '$label.x'"),
        ("{{ .Foo }}", "undefined variable '.Foo'"),
        ("{{ . }}", "undefined variable '.'"),
        ("{{ if $value }}x{{ end }}", "'if' is not supported"),
        ("{{ range $labels }}", "'range' is not supported"),
        ('{{ query "up" }}', "'query' is not supported"),
        ("{{ frobnicate $value }}", "'frobnicate' is no function"),
        ("{{ $x := 1 }}", "is not supported"),
        ("{{ }}", "empty"),
        ("{{ $value", "not closed"),
        ("{{ (humanize 1 }}", "bracket is not closed"),
        ("{{ humanize 1) }}", "bracket is closed"),
        ("{{ humanize }}", "takes 1 values, found 0"),
        ('{{ match "a" }}', "takes 2 values, found 1"),
        ("{{ $value 1 }}", "cannot be called"),
        ("{{ humanize humanize }}", "brackets of its own"),
        ("{{ | humanize }}", "missing"),
        ("{{ $value.x }}", "asks a text or number for a field"),
        ('{{ "\\z" }}', "unknown escape"),
        ("x" * 20_000, "longer than"),
        ("{{ " + "(" * 40 + "1" + ")" * 40 + " }}", "nest deeper"),
    ],
)
def test_what_is_outside_the_language_is_refused_by_name(text: str, said: str) -> None:
    with pytest.raises(BadTemplate, match=re.escape(said)):
        templates.parse(text)


def test_a_refusal_has_the_line_and_column_of_the_action() -> None:
    with pytest.raises(BadTemplate, match="undefined") as refused:
        templates.parse("one\ntwo {{ $x }}")

    assert (refused.value.line, refused.value.column) == (2, 5)


@pytest.mark.parametrize(
    "text", ['{{ humanize "x" }}', "{{ humanizeTimestamp 1e30 }}", '{{ match "(" "x" }}']
)
def test_what_fails_when_rendering_becomes_a_text_that_says_so(text: str) -> None:
    assert templates.parse(text).render(DATA).startswith("<error expanding template: ")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.0, "0"), (-0.0, "-0"), (1.5, "1.5"), (123456.0, "123456"), (1e6, "1e+06"),
        (1.234e-05, "1.234e-05"), (0.0001, "0.0001"), (100.0, "100"), (1e20, "1e+20"),
        (1.2345678901234569e23, "1.2345678901234569e+23"), (float("nan"), "NaN"),
        (float("inf"), "+Inf"), (float("-inf"), "-Inf"), (-12.25, "-12.25"), (0.1, "0.1"),
    ],
)  # fmt: skip
def test_a_number_is_written_as_go_writes_it(value: float, shown: str) -> None:
    rendered = templates.parse("{{ $value }}").render(Data(labels={}, value=value))

    assert rendered == shown
