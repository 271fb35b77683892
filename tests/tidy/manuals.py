"""What pages of Markdown say that code can be asked about: headings, links, commands, settings.

Each reader takes the text of a page and yields what is named there; the tests beside this file hold
that against the code. Fenced blocks and code spans are told apart, since a block is typed as it
stands and a span may hold the placeholder of a value.
"""

import ast
import re
import shlex
from collections.abc import Iterator, Mapping
from typing import Final

from tests.tidy.tree import ROOT, File, text_files

_FENCE: Final = re.compile(r"^(`{3,})(\w*)[^\n]*\n(.*?)^\1[ ]*$", re.DOTALL | re.MULTILINE)
_SPAN: Final = re.compile(r"(?<!`)`([^`]+)`(?!`)")
_HEADING: Final = re.compile(r"^#{1,6} +(.+?) *#*$", re.MULTILINE)
_LINK_TEXT: Final = re.compile(r"\[([^\]]*)\]\([^)]*\)")
_TYPED: Final = re.compile(r"(?<![\w/'\"\[.=-])mainstem +([a-z-][^\n|;&>)#]*)")
_SETTING: Final = re.compile(r"\bMAINSTEM_[A-Z0-9_]*[A-Z0-9_*…]")
_PAGES: Final = re.compile(r"\bpages? ((?:(?:, and |, | and )?\*[A-Z][a-z]+\*)+)")
_PAGE: Final = re.compile(r"(?:\*([A-Z][a-z]+)\* pages?\b|\bon \*([A-Z][a-z]+)\*)")
_TITLE: Final = re.compile(r"\*([A-Z][a-z]+)\*")
SHELLS: Final = frozenset({"", "console", "sh", "bash"})


def pages() -> tuple[File, ...]:
    """Return every page of Markdown that is ours, without fragments of changes."""
    return tuple(
        file
        for file in text_files()
        if file.path.endswith(".md") and not file.path.startswith("changes/")
    )


def prose(text: str) -> str:
    """Return a page without its fenced blocks."""
    return _FENCE.sub("", text)


def anchors(text: str) -> frozenset[str]:
    """Return the fragments by which GitHub links to the headings of a page."""
    found: dict[str, int] = {}
    made: set[str] = set()
    for heading in _HEADING.findall(prose(text)):
        slug = _slug(heading)
        count = found.get(slug, 0)
        found[slug] = count + 1
        made.add(f"{slug}-{count}" if count else slug)
    return frozenset(made)


def typed_commands(text: str) -> Iterator[list[str]]:
    """Yield the arguments of every `mainstem …` that a fenced block of a shell holds."""
    for _, language, body in _FENCE.findall(text):
        if language in SHELLS:
            for rest in _TYPED.findall(body.replace("\\\n", " ")):
                yield shlex.split(rest)


def named_commands(text: str) -> Iterator[list[str]]:
    """Yield the words after `mainstem` of every code span that begins with it."""
    for span in _SPAN.findall(prose(text)):
        words = " ".join(span.split()).removeprefix("uv run ")
        if words.startswith("mainstem "):
            yield words.split()[1:]


def settings(text: str) -> frozenset[str]:
    """Return every name of a setting; one that ends in `*`, `_` or `…` stands for several."""
    return frozenset(_SETTING.findall(text))


def dashboard_pages(text: str) -> frozenset[str]:
    """Return the pages of the dashboard that a text names, in italics beside the word page."""
    words = " ".join(prose(text).split())
    lists = (title for names in _PAGES.findall(words) for title in _TITLE.findall(names))
    singles = (one or other for one, other in _PAGE.findall(words))
    return frozenset(lists) | frozenset(singles)


def menu() -> Mapping[str, bool]:
    """Return the title of every page of the dashboard, and whether the menu shows it."""
    tree = ast.parse((ROOT / "apps/dashboard/app.py").read_text())
    return {
        str(words["title"]): "visibility" not in words
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        if node.func.attr == "Page"
        for words in [_constants(node)]
    }


def _slug(heading: str) -> str:
    plain = _LINK_TEXT.sub(r"\1", heading).strip().lower()
    return re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")


def _constants(call: ast.Call) -> dict[str, object]:
    return {
        word.arg: word.value.value
        for word in call.keywords
        if word.arg is not None and isinstance(word.value, ast.Constant)
    }
