"""What Explore found as a file: one row a point and line, as CSV or as Parquet."""

import csv
import io
from collections.abc import Sequence

import numpy as np

from apps.dashboard.inquiry import Findings
from apps.dashboard.sessions import harmless
from apps.dashboard.state import moment

Columns = dict[str, Sequence[object]]


def columns(found: Findings) -> Columns:
    """Return the rows by column: when, the labels, a value a panel; missing points are left out."""
    lines: dict[tuple[tuple[str, str], ...], dict[str, np.ndarray]] = {}
    for panel in found.panels:
        for line in panel.lines:
            lines.setdefault(tuple(line.labels.items()), {})[panel.name] = line.values
    labels = list(dict.fromkeys(name for key in lines for name, _ in key))
    table: dict[str, list[object]] = {
        name: [] for name in ("at_ms", "time", *labels, *(panel.name for panel in found.panels))
    }
    nothing = np.full(len(found.at_ms), np.nan)
    for key, values in lines.items():
        given = dict(key)
        here = [values.get(panel.name, nothing) for panel in found.panels]
        for n in np.flatnonzero(~np.isnan(here).all(axis=0)):
            at_ms = int(found.at_ms[n])
            row = (at_ms, moment(at_ms), *(given.get(name, "") for name in labels))
            row += tuple(None if np.isnan(one[n]) else float(one[n]) for one in here)
            for column, value in zip(table.values(), row, strict=True):
                column.append(value)
    return dict(table)


def as_csv(found: Findings) -> bytes:
    """Return the rows as CSV that a spreadsheet takes for no formulas."""
    table = columns(found)
    out = io.StringIO()
    rows = csv.writer(out)
    rows.writerow(harmless(name) for name in table)
    rows.writerows([harmless(cell) for cell in row] for row in zip(*table.values(), strict=True))
    return out.getvalue().encode("utf-8-sig")


def as_parquet(found: Findings) -> bytes:
    """Return the rows as Parquet."""
    import pyarrow as pa
    from pyarrow import parquet

    kinds = {"at_ms": pa.int64()} | {panel.name: pa.float64() for panel in found.panels}
    given = {
        name: pa.array(list(one), kinds.get(name, pa.string()))
        for name, one in columns(found).items()
    }
    given["at"] = given["at_ms"].cast(pa.timestamp("ms", tz="UTC"))
    sink = io.BytesIO()
    parquet.write_table(pa.table(given), sink)
    return sink.getvalue()
