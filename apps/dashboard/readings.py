"""The numbers of a chart as a table, newest first, for everyone who wants them exactly."""

from typing import Final

from apps.dashboard import markup, text, viewing
from apps.dashboard.charts import Columns, Times
from apps.dashboard.markup import Heading
from apps.dashboard.text import escaped

ROWS_MAX: Final = 60
"""Rows of a chart's numbers; a longer series shows its newest."""


def show(title: str, at_ms: Times, columns: Columns) -> None:
    """Put the newest numbers of a chart onto the page."""
    now_ms, zone = viewing.now_ms(), viewing.zone()
    heads = (Heading("Time", "tight"), *(Heading(name, "number") for name in columns))
    rows = (
        (
            escaped(text.clock(at_ms[n], zone, now_ms=now_ms, seconds=True)),
            *(escaped(text.figure(column[n])) for column in columns.values()),
        )
        for n in range(len(at_ms) - 1, max(-1, len(at_ms) - 1 - ROWS_MAX), -1)
    )
    viewing.show(markup.table(f"{title}, newest {ROWS_MAX} points", heads, rows))
