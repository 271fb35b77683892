"""Prometheus' own expression tests come out as it says, where they are of our subset."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest

from analytics.alerts.rules.series_notation import Mark
from analytics.promql import (
    BadEvaluation,
    BadExpression,
    Dialect,
    InstantPoint,
    Labels,
    MemoryStorage,
    Result,
    Series,
    instant,
    parse,
    ranged,
)
from tests.support.promql_language import Case, cases

FILES: Final = Path(__file__).resolve().parents[2] / "data/promql"
READ: Final = {
    name: list(cases(FILES / f"{name}.test")) for name in ("aggregators", "operators", "selectors")
}
HISTOGRAMS: Final = {"aggregators.test:573", "operators.test:568", "operators.test:592"}
"""Cases whose answer stands on histogram samples, though it shows none."""


def _is_ours(case: Case) -> bool:
    try:
        parse(case.expr)
    except BadExpression:
        return False
    return not case.expects_histogram and case.place not in HISTOGRAMS


OURS: Final = {name: [case for case in found if _is_ours(case)] for name, found in READ.items()}


def _alike(got: float, wanted: float | Mark) -> bool:
    if isinstance(wanted, Mark):
        return False
    if not math.isfinite(wanted):
        return str(got) == str(wanted)
    return math.isclose(got, wanted, rel_tol=1e-9, abs_tol=1e-12)


def _answer(case: Case) -> Result:
    storage, read = MemoryStorage(case.series), parse(case.expr)
    if not case.step_ms:
        return instant(read, storage, case.start_ms, dialect=Dialect.THREE)
    return ranged(
        read,
        storage,
        case.start_ms,
        case.end_ms,
        step_ms=case.step_ms,
        dialect=Dialect.THREE,
    )


def _wanted(case: Case) -> list[tuple[Labels, dict[int, float | Mark]]]:
    rows = []
    for labels, values in case.rows:
        samples = _timed(case, values)
        if samples:
            rows.append((labels, samples))
    return rows


def _timed(case: Case, values: Sequence[float | Mark]) -> dict[int, float | Mark]:
    return {
        case.start_ms + index * case.step_ms: value
        for index, value in enumerate(values)
        if value is not Mark.MISSING
    }


def _found(case: Case, got: Result) -> list[tuple[Labels, dict[int, float]]]:
    assert isinstance(got, tuple)
    rows: list[tuple[Labels, dict[int, float]]] = []
    for one in got:
        if isinstance(one, InstantPoint):
            rows.append((one.labels, {case.start_ms: one.value}))
        else:
            assert isinstance(one, Series)
            rows.append((one.labels, dict(one.samples())))
    return rows


def _fails(case: Case) -> bool:
    try:
        _answer(case)
    except BadEvaluation:
        return True
    return False


def _agrees(case: Case) -> bool:
    if case.must_fail:
        return _fails(case)
    got = _answer(case)
    if case.scalar is not None:
        return isinstance(got, float) and _alike(got, case.scalar)
    found, wanted = _found(case, got), _wanted(case)
    if not case.is_ordered:
        found.sort(key=lambda row: row[0])
        wanted.sort(key=lambda row: row[0])
    return [labels for labels, _ in found] == [labels for labels, _ in wanted] and all(
        samples.keys() == expected.keys()
        and all(_alike(samples[at], expected[at]) for at in expected)
        for (_, samples), (_, expected) in zip(found, wanted, strict=True)
    )


@pytest.mark.requirement("promql-equal")
@pytest.mark.parametrize("name", READ)
def test_expressions_come_to_what_prometheus_says(name: str) -> None:
    assert [case.place for case in OURS[name] if not _agrees(case)] == []


def test_few_of_the_expressions_are_beyond_the_subset() -> None:
    assert {name: (len(OURS[name]), len(READ[name])) for name in READ} == {
        "aggregators": (151, 160),
        "operators": (207, 214),
        "selectors": (30, 31),
    }
