"""`mainstem forecast`: a file in, what comes after it out."""

import json
from pathlib import Path

import pytest

from apps.cli import forecasts
from apps.cli.detections import BadTable


def _file(folder: Path, text: str) -> Path:
    path = folder / "in.csv"
    path.write_text(text)
    return path


def test_the_step_is_the_usual_distance_of_the_rows(tmp_path: Path) -> None:
    rows = "".join(f"{60 * minute},{minute % 7}\n" for minute in range(50))
    source = _file(tmp_path, "timestamp,value\n" + rows)

    points = forecasts.forecast(source, horizon=3, lower=0.0)

    assert [point.at_ms for point in points] == [3_000_000, 3_060_000, 3_120_000]


def test_rows_in_any_order_with_holes_and_words_are_read(tmp_path: Path) -> None:
    source = _file(
        tmp_path, "value,timestamp\n3,2026-01-01T02:00:00Z\nx,2026-01-01T03:00:00Z\n"
        "1,2026-01-01T00:00:00Z\n2,2026-01-01T01:00:00Z\n",
    )  # fmt: skip

    [line] = forecasts.lines(forecasts.forecast(source, horizon=1, lower=None), as_json=True)

    assert json.loads(line)["timestamp"] == "2026-01-01T03:00:00Z"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("timestamp,value\n1,2\n", "fewer than two rows"),
        ("timestamp,value\n1,x\n2,\n", "no value is a number"),
        ("a,b\n1,2\n", "no column 'timestamp'"),
    ],
)
def test_a_file_that_is_no_series_is_refused_with_what_to_do(
    tmp_path: Path, text: str, reason: str
) -> None:
    with pytest.raises(BadTable, match=reason):
        forecasts.forecast(_file(tmp_path, text), horizon=1, lower=None)


def test_a_csv_has_a_header_and_a_row_a_step(tmp_path: Path) -> None:
    source = _file(tmp_path, "timestamp,value\n1,5\n2,5\n3,5\n")
    points = forecasts.forecast(source, horizon=2, lower=None)

    header, *rows = forecasts.lines(points, as_json=False)

    assert header == "timestamp,mean,low80,high80,low95,high95\n"
    assert [row.split(",")[0] for row in rows] == ["1970-01-01T00:00:04Z", "1970-01-01T00:00:05Z"]
