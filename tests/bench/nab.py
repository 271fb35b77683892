"""The Numenta Anomaly Benchmark's standard profile: files, windows, and the score of alarms.

Source: Lavin and Ahmad, "Evaluating Real-time Anomaly Detection Algorithms", ICMLA 2015, and NAB's
`sweeper.py`: the first 15% of a file, at most 750 rows, are not scored; in a window the best alarm
counts, by a sigmoid from 1 at the left edge; an alarm outside costs up to 0.11; a missed window
costs 1; 0 is who says nothing, 100 who alarms at the left edge of every window and nowhere else.
"""

import csv
import json
import math
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from msgspec import Struct

FOLDER: Final = Path(__file__).parents[1] / "data" / "nab"
PROBATION_SHARE: Final = 0.15
PROBATION_MAX: Final = 750
FALSE_ALARM: Final = 0.11
FAR: Final = 3.0


class Recording(Struct, frozen=True, kw_only=True):
    """One file: its rows, and the rows at which its windows begin and end."""

    name: str
    at_ms: tuple[int, ...]
    values: tuple[float, ...]
    windows: tuple[tuple[int, int], ...]

    @property
    def category(self) -> str:
        """The folder of the file."""
        return self.name.split("/", 1)[0]

    @property
    def probation(self) -> int:
        """How many rows at the start are not scored."""
        return min(int(PROBATION_SHARE * len(self.values)), PROBATION_MAX)


class Scored(Struct, frozen=True):
    """What alarms amount to in one file or several."""

    raw: float = 0.0
    windows: int = 0
    found: int = 0
    false_alarms: int = 0

    def __add__(self, other: "Scored") -> "Scored":
        """Add up."""
        return Scored(
            self.raw + other.raw,
            self.windows + other.windows,
            self.found + other.found,
            self.false_alarms + other.false_alarms,
        )

    @property
    def normalised(self) -> float:
        """The score: 0 of who says nothing, 100 of a perfect one."""
        return 100 * (self.raw + self.windows) / (2 * self.windows) if self.windows else 0.0


def recordings(folder: Path = FOLDER) -> tuple[Recording, ...]:
    """Return every file with its windows."""
    windows = json.loads((folder / "windows.json").read_text())
    files = sorted((folder / "data").glob("*/*.csv"))
    return tuple(_recording(file, windows) for file in files)


def score(recording: Recording, alarms: Iterable[int]) -> Scored:
    """Return what alarms at these rows amount to."""
    best = [-1.0] * len(recording.windows)
    raw, false_alarms = 0.0, 0
    for row in alarms:
        if row < recording.probation:
            continue
        inside = [k for k, (left, right) in enumerate(recording.windows) if left <= row <= right]
        if inside:
            left, right = recording.windows[inside[0]]
            earned = _sigmoid(-(right - row + 1) / (right - left + 1)) / _sigmoid(-1.0)
            best[inside[0]] = max(best[inside[0]], earned)
            continue
        false_alarms += 1
        raw += FALSE_ALARM * _outside(recording.windows, row)
    found = sum(earned > -1.0 for earned in best)
    return Scored(raw + sum(best), len(best), found, false_alarms)


def _outside(windows: Sequence[tuple[int, int]], row: int) -> float:
    passed = [(left, right) for left, right in windows if right < row]
    if not passed:
        return -1.0
    left, right = passed[-1]
    return _sigmoid((row - right) / (right - left))


def _sigmoid(position: float) -> float:
    return -1.0 if position > FAR else 2 / (1 + math.exp(5 * position)) - 1


def _recording(file: Path, windows: dict[str, list[list[str]]]) -> Recording:
    name = f"{file.parent.name}/{file.name}"
    with file.open(newline="") as opened:
        rows = [(row["timestamp"], float(row["value"])) for row in csv.DictReader(opened)]
    times = [at for at, _ in rows]
    return Recording(
        name=name,
        at_ms=tuple(
            int(datetime.fromisoformat(at).replace(tzinfo=UTC).timestamp() * 1_000) for at in times
        ),
        values=tuple(value for _, value in rows),
        windows=tuple(
            (times.index(first[:19]), times.index(last[:19]))
            for first, last in windows.get(name, [])
        ),
    )
