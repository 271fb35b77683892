"""What a benchmark found: figures with their goals, and the limit measured in the same run.

A figure without its machine and command is a rumour, so a report carries both. `held` is whether a
figure meets its goal; a figure without a goal is there to be read.
"""

import os
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct
from rich.table import Table

ARTIFACTS: Final = "artifacts"
CPU_INFO: Final = Path("/proc/cpuinfo")


class Figure(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One measured value; `limit` is the same measure of the bare thing, in the same run."""

    name: str
    value: float
    unit: str
    goal: float | None = None
    at_least: bool = False
    """Whether the goal is a floor; it is a ceiling otherwise."""
    limit: float | None = None
    note: str = ""
    about: str = ""
    """What was measured, in more words; written down, and not in the table."""

    @property
    def ratio(self) -> float | None:
        """How many times the limit the value is."""
        return self.value / self.limit if self.limit else None

    @property
    def held(self) -> bool | None:
        """Whether the goal is met, or None where there is none."""
        if self.goal is None:
            return None
        return self.value >= self.goal if self.at_least else self.value <= self.goal


class Machine(Struct, frozen=True, kw_only=True):
    """Where figures were measured."""

    cores: int
    processor: str
    system: str
    python: str


class BenchReport(Struct, frozen=True, kw_only=True):
    """All figures of one run of one benchmark."""

    benchmark: str
    about: str
    figures: tuple[Figure, ...]
    machine: Machine
    measured_at: str
    command: str

    @property
    def is_held(self) -> bool:
        """Whether no goal is missed."""
        return all(figure.held is not False for figure in self.figures)


def report(benchmark: str, about: str, *, figures: tuple[Figure, ...]) -> BenchReport:
    """Return the report of a run on this machine, now."""
    return BenchReport(
        benchmark=benchmark,
        about=about,
        figures=figures,
        machine=Machine(
            cores=os.cpu_count() or 1,
            processor=_processor(),
            system=platform.platform(terse=True),
            python=platform.python_version(),
        ),
        measured_at=datetime.now(tz=UTC).isoformat(timespec="seconds"),
        command=f"mainstem bench {benchmark}",
    )


def write(found: BenchReport, folder: Path) -> Path:
    """Write the report as JSON below `folder`; return where it is."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"bench-{found.benchmark}.json"
    path.write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=2))
    return path


def table(found: BenchReport) -> Table:
    """Return the report as a table for people."""
    machine = found.machine
    shown = Table(
        title=f"{found.about}",
        caption=f"{machine.cores} cores · {machine.processor} · Python {machine.python}",
        title_justify="left",
    )
    shown.add_column("figure")
    for heading in ("value", "goal", "limit", "ratio"):
        shown.add_column(heading, justify="right")
    shown.add_column("")
    for figure in found.figures:
        shown.add_row(*_row(figure))
    return shown


def percentile(values: list[float], share: float) -> float:
    """Return the value that `share` of the values do not exceed (nearest rank)."""
    ordered = sorted(values)
    rank = max(0, min(len(ordered) - 1, -int(-share * len(ordered) // 1) - 1))
    return ordered[rank]


def _row(figure: Figure) -> tuple[str, ...]:
    sign = "≥" if figure.at_least else "≤"
    verdict = {True: "held", False: "missed", None: ""}[figure.held]
    return (
        figure.name,
        f"{figure.value:,.4g} {figure.unit}"
        if figure.value < 1_000
        else f"{figure.value:,.0f} {figure.unit}",
        "" if figure.goal is None else f"{sign} {figure.goal:,g} {figure.unit}",
        "" if figure.limit is None else f"{figure.limit:,.4g} {figure.unit}",
        "" if figure.ratio is None else f"{figure.ratio:.2f}×",
        " · ".join(part for part in (verdict, figure.note) if part),
    )


def _processor() -> str:
    if sys.platform == "linux" and CPU_INFO.is_file():
        for line in CPU_INFO.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
