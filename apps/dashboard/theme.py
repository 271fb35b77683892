"""The dashboard's looks: one palette a theme, for Streamlit, for charts and for our own markup.

Colours are chosen for contrast: text 4.5 to 1 and marks 3 to 1 on the background they stand on, in
light and dark. `page.css` styles our own markup only and takes its colours from here by name.
"""

from pathlib import Path
from typing import Final

from msgspec import Struct

STYLES: Final = Path(__file__).with_name("page.css")
"""The style sheet of our own markup; its classes all begin with `ms-`."""

ICON: Final = STYLES.with_name("icon.png")


class Palette(Struct, frozen=True, kw_only=True):
    """The colours of one theme."""

    background: str
    panel: str
    text: str
    muted: str
    line: str
    primary: str
    series: tuple[str, ...]
    """Colours of series, in the order in which they are given out."""
    good: str
    watch: str
    bad: str


LIGHT: Final = Palette(
    background="#FBFBF9",
    panel="#F2F3F0",
    text="#0B0F19",
    muted="#4B5462",
    line="#DADDD8",
    primary="#0B5F73",
    series=("#0B6B82", "#B5560F", "#6A4C9C", "#2F7A4D", "#A33355", "#5C6672"),
    good="#1F6B43",
    watch="#8A4B00",
    bad="#A3243B",
)

DARK: Final = Palette(
    background="#101519",
    panel="#1A2127",
    text="#FAFAFA",
    muted="#A9B4BE",
    line="#2C353D",
    primary="#6CC3D9",
    series=("#56B7D0", "#E79B57", "#B79DEB", "#6FC795", "#EF8AA3", "#A6B1BC"),
    good="#7FD3A5",
    watch="#F0B36A",
    bad="#F598A7",
)


def palette(kind: str | None) -> Palette:
    """Return the palette of the theme in use; light where it is not known."""
    return DARK if kind == "dark" else LIGHT


def options() -> dict[str, object]:
    """Return Streamlit's theme options, as `theme.light.primaryColor` and so on."""
    shared: dict[str, object] = {
        "theme.baseRadius": "6px",
        "theme.buttonRadius": "6px",
        "theme.baseFontSize": 15,
        "theme.showWidgetBorder": True,
        "theme.linkUnderline": True,
    }
    for name, colours in (("light", LIGHT), ("dark", DARK)):
        shared |= {
            f"theme.{name}.primaryColor": colours.primary,
            f"theme.{name}.backgroundColor": colours.background,
            f"theme.{name}.secondaryBackgroundColor": colours.panel,
            f"theme.{name}.textColor": colours.text,
            f"theme.{name}.linkColor": colours.primary,
            f"theme.{name}.borderColor": colours.line,
            f"theme.{name}.chartCategoricalColors": list(colours.series),
        }
    return shared
