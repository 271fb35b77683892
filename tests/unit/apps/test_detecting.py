"""`mainstem detect`: a row for a row, by what came before it only."""

import csv
import json
from pathlib import Path

import pytest

from analytics.anomaly.specs import DetectorSpec
from apps.cli import detections, main

NAB = Path(__file__).parents[2] / "data" / "nab" / "data"


@pytest.mark.requirement("anomaly-causal")
@pytest.mark.parametrize("kept", [1, 400, 950])
def test_a_prefix_of_a_file_gets_the_same_answer(kept: int, tmp_path: Path) -> None:
    source = NAB / "realTraffic" / "speed_7578.csv"
    prefix = tmp_path / "prefix.csv"
    prefix.write_text("".join(source.read_text().splitlines(keepends=True)[: kept + 1]))

    whole = list(detections.judged(source, DetectorSpec(), as_json=False))

    assert list(detections.judged(prefix, DetectorSpec(), as_json=False)) == whole[: kept + 1]


def test_rows_come_out_as_they_went_in_whatever_their_columns(tmp_path: Path) -> None:
    source, output = tmp_path / "in.csv", tmp_path / "out.csv"
    source.write_text(
        "value,note,timestamp\n1,a,2026-01-01T00:00:00Z\nx,b,1767225660\n,c,1767225720\n"
    )

    assert main.run(["detect", str(source), "--output", str(output)]) == 0

    with output.open() as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == detections.COLUMNS
    assert [row["timestamp"] for row in rows] == [
        "2026-01-01T00:00:00Z",
        "1767225660",
        "1767225720",
    ]
    assert [row["value"] for row in rows] == ["1", "x", ""]
    assert {row["is_anomaly"] for row in rows} == {"0"}


def test_json_has_an_object_a_row(tmp_path: Path) -> None:
    source = tmp_path / "in.csv"
    source.write_text("timestamp,value\n1,2\n2,nan\n")

    found = [json.loads(line) for line in detections.judged(source, DetectorSpec(), as_json=True)]

    assert [one["value"] for one in found] == [2.0, None]
    assert tuple(found[0]) == detections.COLUMNS


@pytest.mark.parametrize(
    ("text", "place"),
    [("a,b\n1,2\n", ":1:"), ("timestamp,value\n1,2\nsoon,3\n", ":3:"), ("", ":1:")],
)
def test_what_is_no_series_is_refused_with_its_line(text: str, place: str, tmp_path: Path) -> None:
    source = tmp_path / "in.csv"
    source.write_text(text)

    with pytest.raises(detections.BadTable, match=place):
        list(detections.judged(source, DetectorSpec(), as_json=False))
