"""A CSV file read row by row, judged and written again: what `mainstem detect` does.

Promises: one row out for each row in, in order, each judged by rows up to it only, so a prefix of
the file gives the same answer; memory does not grow with the file. A value that is missing or not
a number is told and not learned. A row without a readable timestamp is refused with its line.
"""

import csv
import io
import json
import math
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from analytics.anomaly.detector import Detector
from analytics.anomaly.reasons import ReadingScore
from analytics.anomaly.specs import DetectorSpec
from analytics.contracts.errors import Refused

COLUMNS: Final = (
    "timestamp", "value", "anomaly_score", "is_anomaly", "expected_low", "expected_high", "reason",
)  # fmt: skip
SECONDS_MAX: Final = 100_000_000_000
"""A bare number below is seconds since 1970, above it milliseconds."""


class BadTable(Refused):
    """A file that is no time series."""

    code = "bad-table"


def judged(source: Path, spec: DetectorSpec, *, as_json: bool) -> Iterator[str]:
    """Return the lines of the judged file, the header of a CSV first."""
    detector = Detector(spec)
    if not as_json:
        yield ",".join(COLUMNS) + "\n"
    for timestamp, value, at_ms, number in rows(source):
        verdict = detector.learn(at_ms, number)
        yield _as_json(timestamp, verdict) if as_json else _as_csv(timestamp, value, verdict)


def write(output: Path, lines: Iterable[str]) -> None:
    """Write the lines to a file; raise `BadTable` if it cannot be written."""
    try:
        with output.open("w", encoding="utf-8", newline="") as file:
            file.writelines(lines)
    except OSError as error:
        raise BadTable(
            f"cannot write {str(output)!r}: {error.strerror}; give another --output"
        ) from error


def rows(source: Path) -> Iterator[tuple[str, str, int, float]]:
    """Yield a file's rows: timestamp and value as they are written, then as they are read."""
    try:
        with source.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            at, of = _places(source, next(reader, []))
            for row in reader:
                if row:
                    yield _row(f"{source}:{reader.line_num}", row, at, of)
    except OSError as error:
        raise BadTable(f"cannot read {str(source)!r}: {error.strerror}; give a CSV file") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadTable(f"{source}: not a CSV file in UTF-8 ({error}); convert it") from error


def _places(source: Path, header: list[str]) -> tuple[int, int]:
    names = [name.strip().lower() for name in header]
    missing = [name for name in ("timestamp", "value") if name not in names]
    if missing:
        raise BadTable(
            f"{source}:1: no column {missing[0]!r} in {header!r}; "
            "the first line names the columns timestamp and value"
        )
    return names.index("timestamp"), names.index("value")


def _row(place: str, row: list[str], at: int, of: int) -> tuple[str, str, int, float]:
    if len(row) <= at:
        raise BadTable(f"{place}: no timestamp in {row!r}; give one a row")
    value = row[of] if len(row) > of else ""
    return row[at], value, _at_ms(place, row[at].strip()), _number(value)


def _at_ms(place: str, text: str) -> int:
    try:
        number = float(text)
        if math.isfinite(number):
            return int(number * 1_000 if abs(number) < SECONDS_MAX else number)
    except ValueError:
        pass
    try:
        when = datetime.fromisoformat(text)
    except ValueError as error:
        raise BadTable(
            f"{place}: not a timestamp: {text!r}; "
            "write ISO 8601, or seconds or milliseconds since 1970"
        ) from error
    zoned = when if when.tzinfo else when.replace(tzinfo=UTC)
    return int(zoned.timestamp() * 1_000)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _as_csv(timestamp: str, value: str, verdict: ReadingScore) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(
        (
            timestamp, value, repr(verdict.score), int(verdict.is_anomaly),
            repr(verdict.expected_low), repr(verdict.expected_high), verdict.reason,
        )
    )  # fmt: skip
    return line.getvalue()


def _as_json(timestamp: str, verdict: ReadingScore) -> str:
    value = verdict.value if math.isfinite(verdict.value) else None
    found = (
        timestamp, value, verdict.score, verdict.is_anomaly, verdict.expected_low,
        verdict.expected_high, verdict.reason,
    )  # fmt: skip
    return json.dumps(dict(zip(COLUMNS, found, strict=True))) + "\n"
