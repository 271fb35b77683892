"""Pieces of a page as semantic, escaped HTML: tiles, tables, states, panels.

Tables are real tables with captions and header cells; what may be wider than a phone scrolls within
a region of its own that the keyboard reaches. Nothing here loads anything or runs anything.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from msgspec import Struct

from apps.dashboard.text import Html, escaped, join, plural, told

STATES: Final = {
    "running": ("Running", "▶"),
    "waiting": ("Waiting for you", "!"),
    "stuck": ("Stuck", "↻"),
    "rate_limited": ("Rate-limited", "≠"),
    "idle": ("Idle", "–"),
    "ended": ("Ended", "■"),
}
"""How each session state is written, with a mark beside its colour."""


class Tile(Struct, frozen=True):
    """One figure: what it is, how much, and what to know about it."""

    label: str
    value: str
    aside: Html = Html("")


class Heading(Struct, frozen=True):
    """One column of a table."""

    title: str
    kind: str = ""
    """`number`, `tight` or `wide`."""
    optional: bool = False
    """Left out on narrow screens."""


def block(*parts: Html) -> str:
    """Return the markup of one place on a page."""
    return f'<div class="ms">{join(*parts)}</div>'


def heading(level: int, words: str) -> Html:
    """Return a heading."""
    return Html(f"<h{level}>{escaped(words)}</h{level}>")


def note(words: str) -> Html:
    """Return one quiet sentence."""
    return Html(f'<p class="ms-note">{told(words)}</p>')


def lede(words: str) -> Html:
    """Return the sentence under a heading."""
    return Html(f'<p class="ms-lede">{told(words)}</p>')


def link(address: str, words: str, *, most: int = 0) -> Html:
    """Return a link to another view of ours."""
    return Html(f'<a href="{escaped(address)}" target="_self">{escaped(words, most=most)}</a>')


def tag(words: str, kind: str = "muted") -> Html:
    """Return a short word in a frame."""
    return Html(f'<span class="ms-tag ms-{kind}">{escaped(words)}</span>')


def state(name: str, *, words: str = "") -> Html:
    """Return a session's state as a word with a mark."""
    shown, mark = STATES.get(name, (name, "?"))
    return Html(
        f'<span class="ms-state ms-state-{escaped(name)}" data-mark="{escaped(mark)}">'
        f"{escaped(words or shown)}</span>"
    )


def tiles(shown: Iterable[Tile]) -> Html:
    """Return figures side by side."""
    cells = (
        f'<div class="ms-tile"><dt>{escaped(tile.label)}</dt>'
        f'<dd class="ms-value">{escaped(tile.value)}</dd>'
        f'<dd class="ms-aside">{tile.aside or "&nbsp;"}</dd></div>'
        for tile in shown
    )
    return Html(f'<dl class="ms-tiles">{"".join(cells)}</dl>')


def table(title: str, columns: Sequence[Heading], rows: Iterable[Sequence[Html]]) -> Html:
    """Return a table whose caption is its title."""
    head = "".join(
        f'<th scope="col" class="{_classes(column)}">{escaped(column.title)}</th>'
        for column in columns
    )
    body = "".join(
        "<tr>"
        + "".join(
            f'<td class="{_classes(column)}">{cell}</td>'
            for column, cell in zip(columns, row, strict=True)
        )
        + "</tr>"
        for row in rows
    )
    return Html(
        f'<div class="ms-scroll" tabindex="0" role="region" aria-label="{escaped(title)}">'
        f"<table><caption>{escaped(title)}</caption>"
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def bar(part: float, of: float) -> Html:
    """Return a bar as long as a share; the share itself stands in words beside it."""
    wide = max(0.0, min(100.0, 100 * part / of if of else 0.0))
    return Html(f'<span class="ms-bar" style="width:{wide:.1f}%"></span>')


def panel(body: Html, *, kind: str = "") -> Html:
    """Return something that stands out."""
    return Html(f'<div class="ms-panel {f"ms-{kind}" if kind else ""}">{body}</div>')


def side_by_side(*parts: Html) -> Html:
    """Return pieces in as many columns as fit."""
    cells = "".join(f"<div>{part}</div>" for part in parts if part)
    return Html(f'<div class="ms-tops">{cells}</div>')


def errors(number: int) -> Html:
    """Return a number of errors; none is said quietly."""
    if not number:
        return Html('<span class="ms-muted">0</span>')
    return Html(f'<span class="ms-bad">{escaped(plural(number, "error"))}</span>')


def _classes(column: Heading) -> str:
    kind = f"ms-{column.kind}" if column.kind else ""
    return f"{kind} ms-optional".strip() if column.optional else kind
