"""Both palettes stand out from what they stand on: text 4.5 to 1, marks 3 to 1."""

import re

import pytest

from apps.dashboard import theme
from apps.dashboard.theme import Palette


@pytest.mark.requirement("accessible")
@pytest.mark.parametrize("colours", [theme.LIGHT, theme.DARK], ids=["light", "dark"])
def test_text_and_series_have_contrast(colours: Palette) -> None:
    grounds = (colours.background, colours.panel)
    words = (
        colours.text, colours.muted, colours.primary, colours.good, colours.watch, colours.bad,
    )  # fmt: skip

    assert min(_contrast(word, ground) for word in words for ground in grounds) >= 4.5
    assert min(_contrast(one, ground) for one in colours.series for ground in grounds) >= 3.0


def test_the_style_sheet_takes_its_colours_from_the_palettes() -> None:
    named = set(re.findall(r"light-dark\((#\w{6}), (#\w{6})\)", theme.STYLES.read_text("utf-8")))

    for name in ("line", "panel", "muted", "primary", "good", "watch", "bad"):
        assert (getattr(theme.LIGHT, name), getattr(theme.DARK, name)) in named


def test_the_style_sheet_touches_our_own_markup_only() -> None:
    sheet = re.sub(r"/\*.*?\*/", "", theme.STYLES.read_text("utf-8"), flags=re.DOTALL)
    selectors = re.findall(r"([^{}@]+)\{", sheet)

    for selector in ",".join(selectors).split(","):
        if selector.strip() and "max-width" not in selector:
            assert selector.strip().startswith((".ms", "dl.ms")), selector


def _contrast(first: str, second: str) -> float:
    light, dark = sorted((_luminance(first), _luminance(second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [
        part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
