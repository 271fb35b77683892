"""What README and docs say is so: commands with their options, settings, and pages exist.

Nothing is started: a command is parsed by the program's own parser, and what it would do is left.
"""

import re
from collections.abc import Iterator
from functools import cache
from typing import Any, Final

import pytest
import typer
import typer.main

from apps.cli import main
from tests.tidy import manuals
from tests.tidy.tree import ROOT, File, Rule, complaints, python_files

SETTINGS: Final = "docs/reference/settings.md"
DASHBOARD: Final = "docs/reference/dashboard.md"
BENCHMARKS: Final = "docs/reference/benchmarks.md"
NUMBERS: Final = (
    "no",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
)
SET_BY_OTHERS: Final = frozenset({"MAINSTEM_TOKEN"})
"""What `mainstem connect` writes into an agent's own settings, for the agent to read."""
FOR_TESTS: Final = ("MAINSTEM_FAULTS_", "MAINSTEM_TESTS_")
"""How settings begin that tests alone read."""
DATE: Final = re.compile(r"\b20\d\d-\d\d-\d\d\b")
FIGURE: Final = re.compile(r"\d")
BENCH: Final = re.compile(r"\(`([a-z_-]+)`\)")


def wrong_command(file: File) -> Iterator[str]:
    """Complain of a command in a block that the program's parser would refuse."""
    for words in manuals.typed_commands(file.text):
        for said in _refused(words):
            yield f"`mainstem {' '.join(words)}`: {said}"


def unknown_command(file: File) -> Iterator[str]:
    """Complain of a command in a sentence that is not there, or has no such option."""
    for words in manuals.named_commands(file.text):
        for said in _unknown(words):
            yield f"`mainstem {' '.join(words)}`: {said}"


def unknown_setting(file: File) -> Iterator[str]:
    """Complain of settings that no process reads."""
    known = manuals.settings((ROOT / SETTINGS).read_text()) | SET_BY_OTHERS | _of_tests()
    for name in sorted(manuals.settings(file.text) - known):
        pattern = re.escape(name.rstrip("_…")).replace(r"\*", "[A-Z0-9_]*")
        some = name.endswith(("_", "…")) or "*" in name
        if not some or not any(re.match(pattern, one) for one in known if one != name):
            yield f"names the setting {name}, which nothing reads"


def unknown_page(file: File) -> Iterator[str]:
    """Complain of pages that the dashboard does not have."""
    for title in sorted(manuals.dashboard_pages(file.text) - manuals.menu().keys()):
        yield f"names the page {title!r}, which the dashboard does not have"


def undated_figures(file: File) -> Iterator[str]:
    """Complain of rows of figures without a day, and of benchmarks that do not exist."""
    rows = [line for line in file.lines if line.startswith("| ") and FIGURE.search(line)]
    for row in rows:
        if not DATE.search(row):
            yield f"does not say when this was measured: {row!r}"
        for name in BENCH.findall(row):
            if not (ROOT / "tests/bench" / f"{name.replace('-', '_')}.py").is_file():
                yield f"names the benchmark {name!r}, which is not there"


def table_of_figures(file: File) -> Iterator[str]:
    """Complain of a table of figures: those have a page of their own."""
    if any(line.startswith("|") and FIGURE.search(line) for line in file.lines):
        yield f"has a table of figures; they belong in {BENCHMARKS}"


def _command(words: list[str]) -> tuple[Any, list[str], str]:
    """Return the command that `words` name, what is left of them, and what is wrong."""
    command: Any = typer.main.get_command(main.program(words))
    rest = list(words)
    while hasattr(command, "commands") and rest and not rest[0].startswith("-"):
        if rest[0] not in command.commands:
            return command, rest, f"there is no command {rest[0]!r}"
        command = command.commands[rest.pop(0)]
    return command, rest, ""


def _refused(words: list[str]) -> Iterator[str]:
    command, rest, wrong = _command(words)
    if wrong:
        yield wrong
        return
    try:
        command.make_context("mainstem", rest)
    except typer.Exit:
        return
    except Exception as error:  # noqa: BLE001 - whatever the parser says is the complaint
        yield str(error) or type(error).__name__


def _unknown(words: list[str]) -> Iterator[str]:
    command, rest, wrong = _command(words)
    if wrong and rest[0].isascii() and rest[0].islower():
        yield wrong
    known = {"--help", "-h", "--version"}
    known.update(name for one in command.params for name in (*one.opts, *one.secondary_opts))
    for word in rest:
        if word.startswith("--") and word.split("=")[0] not in known:
            yield f"there is no option {word!r}"


@cache
def _of_tests() -> frozenset[str]:
    named = (manuals.settings(file.text) for file in python_files() if file.room == "tests")
    return frozenset(name for names in named for name in names if name.startswith(FOR_TESTS))


def _file(path: str) -> tuple[File, ...]:
    return (File(path, (ROOT / path).read_text()),)


def test_every_command_in_a_block_is_taken_by_the_parser_of_the_program() -> None:
    assert complaints(wrong_command, manuals.pages()) == []


def test_every_command_in_a_sentence_exists_with_its_options() -> None:
    assert complaints(unknown_command, manuals.pages()) == []


def test_every_setting_that_a_page_names_exists() -> None:
    assert complaints(unknown_setting, manuals.pages()) == []


def test_every_page_of_the_dashboard_that_is_named_exists() -> None:
    assert complaints(unknown_page, manuals.pages()) == []


def test_the_page_about_the_dashboard_names_and_counts_every_page() -> None:
    text = (ROOT / DASHBOARD).read_text()
    counted = re.search(r"^(\w+) pages", text, flags=re.MULTILINE)

    assert set(re.findall(r"\*\*(\w+)\*\*", text)) == manuals.menu().keys()
    assert counted is not None
    assert counted[1].lower() == NUMBERS[len(manuals.menu())]


def test_every_row_of_figures_says_when_and_by_which_benchmark_it_was_measured() -> None:
    assert complaints(undated_figures, _file(BENCHMARKS)) == []


def test_the_readme_leaves_figures_to_their_page() -> None:
    assert complaints(table_of_figures, _file("README.md")) == []


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (wrong_command, "```console\n$ mainstem fly\n```"),
        (wrong_command, "```sh\nmainstem up --wings\n```"),
        (wrong_command, "```\nexport TOKEN=$(mainstem token --scope publish)\n```"),
        (wrong_command, "```console\n$ mainstem alerts blow rules.yml\n```"),
        (wrong_command, "```console\n$ mainstem retention keep\n```"),
        (wrong_command, "```console\n$ mainstem connect\n```"),
        (wrong_command, "```console\n$ uv run mainstem up --port many\n```"),
        (wrong_command, "```console\n$ mainstem up \\\n    --wings\n```"),
        (unknown_command, "say `mainstem fly`"),
        (unknown_command, "say `mainstem up\n--wings`"),
        (unknown_setting, "set MAINSTEM_GATEWAY_WINGS=2"),
        (unknown_setting, "set `MAINSTEM_WINGS_*`"),
        (unknown_page, "see the page *Wings*"),
        (unknown_page, "the pages *Alerts*, *Explore* and *Wings*"),
        (unknown_page, "the *Wings* page"),
        (unknown_page, "it is on *Wings*."),
        (undated_figures, "| start (`first_run`) | 11.0 s |"),
        (undated_figures, "| start (`wings`) | 11.0 s | 2026-11-22 |"),
        (table_of_figures, "| start | 11.0 s |"),
    ],
)
def test_each_rule_of_manuals_complains_of_a_bad_sample(rule: Rule, text: str) -> None:
    assert list(rule(File("docs/a.md", text)))


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (wrong_command, "```console\n$ mainstem up --demo  # and wait\n```"),
        (wrong_command, "```python\nmainstem fly\n```"),
        (wrong_command, "```console\n$ mainstem alerts list | head\n$ mainstem --version\n```"),
        (unknown_command, "`mainstem bench NAME`, `mainstem import …`, `mainstem up --no-open`"),
        (unknown_setting, "`MAINSTEM_GATEWAY_POOL_*` and MAINSTEM_HOME"),
        (unknown_page, "the pages *Alerts* and *Explore*; on *System*"),
        (undated_figures, "| what | figure |\n|---|---|\n| a (`first_run`) | 1 s | 2026-11-22 |"),
    ],
)
def test_no_rule_of_manuals_complains_of_a_good_sample(rule: Rule, text: str) -> None:
    assert list(rule(File("docs/a.md", text))) == []
