"""Templates render as Go's do, within the language that is named; the rest is refused by name."""

import re

import pytest

from analytics.alerts.template import templates
from analytics.alerts.template.execution import STEPS_MAX, TOTAL_STEPS_MAX, Work
from analytics.alerts.template.templates import Around, BadTemplate, Data
from analytics.alerts.template.values import Sample

DATA = Data(
    labels={"job": "api", "__name__": "v"},
    value=1234567.0,
    external_labels={"region": "eu"},
    external_url="http://m/p",
)


@pytest.mark.requirement("alert-templates")
@pytest.mark.parametrize(
    ("text", "rendered"),
    [
        ("plain", "plain"),
        ("{{ $labels.job }} at {{ $value }}", "api at 1.234567e+06"),
        ("{{ .Labels.job }}{{ $.Labels.job }}{{ .Value }}", "apiapi1.234567e+06"),
        ("{{ $externalLabels.region }} {{ $externalURL }}", "eu http://m/p"),
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
        ('{{ tmpl "x" 1 }}{{ define "x" }}<{{ . }}>{{ end }}', "<1>"),
        ("{{ externalURL }} {{ pathPrefix }}", "http://m/p /p"),
        ('{{ join "," (stringSlice "a" "b") }} {{ toJson $labels.job }}', 'a,b "api"'),
        ('{{ date "2006" (toTime 0) }} {{ trimSpace " a " }} {{ urlQueryEscape "a b" }}',
         "1970 a a+b"),
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
        ("{{ $label.x }}", "undefined variable '$label'"),
        ("{{ if true }}{{ $x := 1 }}{{ end }}{{ $x }}", "undefined variable '$x'"),
        ("{{ $x = 1 }}", "undefined variable '$x'"),
        ("{{ range $labels }}", "range has no {{end}}"),
        ("{{ if true }}a{{ else }}b{{ else }}c{{ end }}", "a second else"),
        ("{{ end }}", "unexpected {{end}}"),
        ("{{ break }}", "inside of a range"),
        ("{{ template x }}", "needs a name in quotes"),
        ('{{ define "x" }}{{ $labels }}{{ end }}', "undefined variable '$labels'"),
        ("{{ frobnicate $value }}", "function 'frobnicate' is not defined"),
        ("{{ 1 | 2 }}", "a constant cannot be given a value"),
        ("{{ nil }}", "nil is none"),
        ("{{ ! }}", "unexpected '!'"),
        ("{{ if true }}" * 40 + "{{ end }}" * 40, "nest deeper"),
        ("{{ }}", "empty"),
        ("{{ $value", "not closed"),
        ("{{ (humanize 1 }}", "bracket is not closed"),
        ("{{ humanize 1) }}", "bracket is closed"),
        ("{{ $value 1 }}", "cannot be called"),
        ("{{ | humanize }}", "missing"),
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
    "text",
    [
        '{{ humanize "x" }}', "{{ humanizeTimestamp 1e30 }}", '{{ match "(" "x" }}',
        "{{ humanize }}", '{{ match "a" }}', "{{ $value.x }}", "{{ gt $value 5 }}",
        '{{ template "none" }}', '{{ query "up" | first }}', "{{ index $labels 1 }}",
    ],
)  # fmt: skip
def test_what_fails_when_rendering_becomes_a_text_that_says_so(text: str) -> None:
    assert templates.parse(text).render(DATA).startswith("<error expanding template: ")


@pytest.mark.parametrize(
    "text",
    [
        "{{ range 1000000000 }}{{ end }}",
        '{{ $x := "aaaaaaaa" }}{{ range 60 }}{{ $x = print $x $x }}{{ end }}{{ $x }}',
        '{{ define "t" }}{{ template "t" . }}{{ template "t" . }}{{ end }}{{ template "t" . }}',
        "{{ range 9999 }}{{ range 9999 }}{{ range 9999 }}x{{ end }}{{ end }}{{ end }}",
        '{{ range 9999 }}{{ match "(a+)+b" "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" }}{{ end }}',
        '{{ range 9999 }}{{ query "up" }}{{ end }}',
        '{{ $x := printf "%999s" "a" }}{{ range 999 }}{{ $x }}{{ end }}',
    ],
)
@pytest.mark.requirement("alert-template-bounded")
def test_a_hostile_template_ends_within_its_steps_and_says_so(text: str) -> None:
    work = Work()
    around = Around(ask=lambda _: [Sample({}, 1.0)], work=work)

    said = templates.parse(text).render(DATA, around)

    assert said.startswith("<error expanding template: ")
    assert len(said) < 300
    assert TOTAL_STEPS_MAX - work.steps <= 2 * STEPS_MAX


@pytest.mark.requirement("alert-template-bounded")
def test_templates_of_one_time_share_what_they_may_cost() -> None:
    around = Around(work=Work(100))
    template = templates.parse("{{ range 20 }}{{ . }}{{ end }}")

    said = [template.render(DATA, around).startswith("0123") for _ in range(10)]

    assert said == [True] * said.count(True) + [False] * said.count(False)
    assert 0 < said.count(True) < 10


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
