"""Links of documents lead somewhere, and a diagram is drawn with nodes that exist."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.tidy import manuals
from tests.tidy.tree import DATA, ROOT, File, paths, text_files

LINK: Final = re.compile(r"\]\((?!https?://|mailto:)([^)#\s]*)(?:#([^)\s]*))?\)")
PAGE_LINES_MAX: Final = 80


def dead_link(file: File) -> Iterator[str]:
    """Complain of links to files that are not there, and to headings that their page lacks."""
    folder = (ROOT / file.path).parent
    for target, anchor in LINK.findall(manuals.prose(file.text)):
        found = folder / target
        if target and not found.exists():
            yield f"links to {target!r}, which is not there"
        elif anchor and (not target or found.suffix == ".md"):
            text = found.read_text() if target else file.text
            if anchor not in manuals.anchors(text):
                yield f"links to the heading {anchor!r} of {target or 'itself'!r}, which has none"


def _documents() -> tuple[File, ...]:
    return tuple(file for file in text_files() if file.path.endswith(".md"))


def test_every_link_of_a_document_leads_to_a_file() -> None:
    assert [f"{file.path}: {said}" for file in _documents() for said in dead_link(file)] == []


@pytest.mark.parametrize(
    "text",
    [
        "[a](docs/none.md)", "![b](none.png)", "[c](none.md#part)",
        "# Part\n[e](#parts)", "[f](CONTRIBUTING.md#no-such-part)",
        "```sh\n# Part\n```\n[g](#part)", "# Part\n# Part\n[h](#part-2)",
    ],
)  # fmt: skip
def test_a_dead_link_is_complained_of(text: str) -> None:
    assert list(dead_link(File("README.md", text)))


@pytest.mark.parametrize(
    "text",
    ["# A part, *at last*: `x`\n[a](#a-part-at-last-x)", "# Part\n# Part\n[b](#part-1)"],
)
def test_a_link_to_a_heading_is_written_as_github_writes_it(text: str) -> None:
    assert list(dead_link(File("README.md", text))) == []


def test_every_page_of_docs_is_linked_from_their_index() -> None:
    index = (ROOT / "docs/README.md").read_text()
    linked = {target for target, _ in LINK.findall(index)}
    wanted = {
        file.path.removeprefix("docs/")
        for file in _documents()
        if file.path.startswith("docs/") and not file.path.startswith("docs/adr/")
    }

    assert wanted - {"README.md"} - linked == set()


def test_the_architecture_fits_a_page_and_has_a_diagram() -> None:
    text = (ROOT / "docs/explanation/architecture.md").read_text()

    assert len(text.splitlines()) <= PAGE_LINES_MAX
    assert "```mermaid\nflowchart" in text


def test_every_file_that_contributors_look_for_is_there() -> None:
    wanted = {"README.md", "LICENSE", "CONTRIBUTING.md", "SECURITY.md", "Makefile", ".ci/run"}

    assert wanted <= {path for path in paths() if not path.startswith(DATA)}
    assert "Apache License" in (ROOT / "LICENSE").read_text()
    assert Path(ROOT / ".ci/run").stat().st_mode & 0o111
