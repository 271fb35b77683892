"""What axe cannot see: text and marks in charts and timelines stand out from what is behind."""

import re
from collections.abc import Iterable

import pytest
from playwright.sync_api import Browser

from tests.support.browser import viewer

pytestmark = [pytest.mark.browser, pytest.mark.requirement("accessible")]

TEXT_MIN = 4.5
MARK_MIN = 3.0

_PAINTED = """() => {
  const found = [];
  const behind = (node) => {
    for (let at = node; at; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor;
      if (!/, 0\\)$/.test(colour) && colour !== 'transparent') return colour;
    }
    return 'rgb(255, 255, 255)';
  };
  const add = (kind, node, colour, opacity) =>
    colour && colour !== 'none' && !/, 0\\)$/.test(colour) &&
    found.push([kind, colour, behind(node.parentElement), Number(opacity)]);
  for (const svg of document.querySelectorAll('[data-testid="stVegaLiteChart"] svg.marks')) {
    for (const text of svg.querySelectorAll('text'))
      add('text', text, getComputedStyle(text).fill, getComputedStyle(text).opacity);
    const marks = '.mark-line path, .mark-area path, .mark-symbol path';
    for (const mark of svg.querySelectorAll(marks)) {
      const style = getComputedStyle(mark);
      const edged = mark.closest('.mark-line') || style.stroke !== 'none';
      add('mark', mark, edged ? style.stroke : style.fill, style.opacity);
    }
  }
  for (const edge of document.querySelectorAll('.ms-stroke')) {
    const style = getComputedStyle(edge);
    const shown = style.borderTopWidth === '0px'
      ? style.backgroundImage.match(/rgba?\\([^)]*\\)/)?.[0] : style.borderTopColor;
    add('mark', edge, shown, style.opacity);
  }
  for (const mark of document.querySelectorAll('.ms-mark, .ms-swatch, .ms-bar'))
    add('mark', mark, getComputedStyle(mark).backgroundColor, getComputedStyle(mark).opacity);
  return found;
}"""

Colour = tuple[float, float, float]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(
    ("path", "least"),
    [
        ("?range=24h&live=0", 30),
        ("session?session=endless", 30),
        ("explore?range=24h&live=0&by=model", 12),
        ("forecasts?live=0", 12),
    ],
)
def test_text_and_marks_of_charts_stand_out(
    chromium: Browser, full: str, theme: str, path: str, least: int
) -> None:
    with viewer(chromium, full, theme=theme) as seen:
        painted = seen.open(path).page.evaluate(_PAINTED)

    assert len(painted) >= least
    assert list(_faint(painted)) == []


def _faint(painted: Iterable[tuple[str, str, str, float]]) -> Iterable[str]:
    for kind, colour, behind, opacity in painted:
        ground = _rgb(behind)
        shown = _mixed(_rgb(colour), ground, opacity)
        ratio = _contrast(shown, ground)
        if ratio < (TEXT_MIN if kind == "text" else MARK_MIN):
            yield f"{kind} {colour} on {behind}: {ratio:.2f}"


def _rgb(colour: str) -> Colour:
    red, green, blue = (float(part) for part in re.findall(r"[\d.]+", colour)[:3])
    return red, green, blue


def _mixed(colour: Colour, ground: Colour, opacity: float) -> Colour:
    red, green, blue = (
        a * opacity + b * (1 - opacity) for a, b in zip(colour, ground, strict=True)
    )
    return red, green, blue


def _contrast(first: Colour, second: Colour) -> float:
    light, dark = sorted((_luminance(first), _luminance(second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: Colour) -> float:
    parts = [part / 255 for part in colour]
    linear = [
        part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
