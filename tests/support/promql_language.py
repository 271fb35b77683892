"""Prometheus' language of expression tests: `load`, `clear`, `eval instant`, `eval range`.

Read as far as our subset goes. Histogram samples are read as missing; a case that expects one is
marked, so that who runs it can count what is left out. Source: Prometheus' `promql/promqltest`.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from msgspec import Struct

from analytics.alerts.rules import series_notation
from analytics.alerts.rules.series_notation import Mark
from analytics.promql import Labels, Series, labelled
from analytics.promql.series import STALE, made

_HISTOGRAM: Final = re.compile(r"\{\{[^}]*\}\}(?:x\d+)?")
_EVAL: Final = re.compile(
    r"eval(?P<fail>_fail)? (?:instant at (?P<at>\S+)"
    r"|range from (?P<start>\S+) to (?P<end>\S+) step (?P<step>\S+)) (?P<expr>.+)"
)
_UNITS_MS: Final = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_ROW: Final = re.compile(r"(?P<labels>[a-zA-Z_:][\w:]*\s*(?:\{.*?\})?|\{.*?\})\s+(?P<values>\S.*)")


class Case(Struct, frozen=True):
    """One expression with what is loaded and what it must come to."""

    place: str
    expr: str
    series: tuple[Series, ...]
    start_ms: int
    end_ms: int
    step_ms: int
    """Zero for an instant."""
    rows: tuple[tuple[Labels, tuple[float | Mark, ...]], ...]
    scalar: float | None
    must_fail: bool
    is_ordered: bool
    expects_histogram: bool


def cases(path: Path) -> Iterator[Case]:
    """Return every case of a file, with its own place."""
    loaded: dict[Labels, Series] = {}
    blocks = _blocks(path.read_text())
    for line, head, body in blocks:
        if head == "clear":
            loaded = {}
        elif head.startswith("load"):
            for one in _loaded(head.split()[1], body):
                loaded[one.labels] = one
        else:
            yield _case(f"{path.name}:{line}", head, body, tuple(loaded.values()))


def milliseconds(text: str) -> int:
    """Return a duration as tests write it: `1h30m`, `8000s`, or plain seconds."""
    if text.isdigit():
        return int(text) * 1_000
    return sum(int(number) * _UNITS_MS[unit] for number, unit in re.findall(r"(\d+)([a-z]+)", text))


def _blocks(text: str) -> Iterator[tuple[int, str, list[str]]]:
    head, start, body = "", 0, list[str]()
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        if line[0] not in " \t":
            if head:
                yield start, head, body
            head, start, body = stripped, number, []
        else:
            body.append(stripped)
    if head:
        yield start, head, body


def _loaded(interval: str, body: list[str]) -> Iterator[Series]:
    step_ms = milliseconds(interval)
    for line in body:
        labels, values = _row(line)
        samples = [
            (index * step_ms, value if isinstance(value, float) else STALE)
            for index, value in enumerate(values)
            if value is not Mark.MISSING
        ]
        yield made(dict(labels), samples)


def _row(line: str) -> tuple[Labels, list[float | Mark]]:
    found = _ROW.fullmatch(_HISTOGRAM.sub("_", line))
    assert found is not None, line
    values = series_notation.values(found["values"])
    return labelled(dict(series_notation.series(found["labels"]))), values


def _case(place: str, head: str, body: list[str], series: tuple[Series, ...]) -> Case:
    found = _EVAL.fullmatch(head)
    assert found is not None, f"{place}: {head}"
    expectations = [line for line in body if line.startswith("expect ")]
    rest = [line for line in body if not line.startswith("expect ")]
    is_number = len(rest) == 1 and _ROW.fullmatch(rest[0]) is None
    start = milliseconds(found["at"] or found["start"])
    return Case(
        place=place,
        expr=found["expr"],
        series=series,
        start_ms=start,
        end_ms=start if found["at"] else milliseconds(found["end"]),
        step_ms=0 if found["at"] else milliseconds(found["step"]),
        rows=() if is_number else tuple((labels, tuple(v)) for labels, v in map(_row, rest)),
        scalar=float(rest[0]) if is_number else None,
        must_fail=bool(found["fail"]) or any(one.startswith("expect fail") for one in expectations),
        is_ordered="expect ordered" in expectations,
        expects_histogram=any("{{" in line for line in rest),
    )
