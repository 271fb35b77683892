"""Rolled widths after a run with faults: what a reader is told at once, and the rollups themselves.

The workers' own jobs roll up while they are being killed. Straight after the load a reader has to
be told the truth for any span, whatever is rolled up by then; and once the job has caught up, every
window of 5 minutes, an hour and a day has to hold it, series by series.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final

import psycopg
from msgspec import Struct
from psycopg import IsolationLevel

from streams.maintenance import rollups
from streams.queries import trends
from streams.series import span
from streams.store import levels
from tests.support.faults_events import Known
from tests.support.faults_truth import (
    MEASURED,
    SHOWN_MAX,
    Db,
    differences,
    different,
    stored,
    windows_of,
)

WIDTHS_MS: Final = {"5m": 300_000, "1h": 3_600_000, "1d": 86_400_000}
SPANS_MS: Final = (1_200_000, 3 * 3_600_000, 2 * 86_400_000, 60 * 86_400_000)
"""How far back the reader is asked to look: each is answered at another resolution."""
LATER_MS: Final = 2 * 86_400_000
"""Two days on, no period rests any more before it is rolled up; nor does one marked then, later."""
ROUNDS_MAX: Final = 10
_LEFT: Final = "select width_ms, start_at, marked_at from rollup_due order by 1, 2 limit 10"


class Rolled(Struct, frozen=True, kw_only=True):
    """How rolled windows compare with the truth."""

    points: int
    """Points of a reader's answers, all measures, spans and tenants together."""
    windows: int
    windows_wrong: int
    wrong: tuple[str, ...]


def compare_rolled(known: Mapping[str, Known], store_url: str, *, now_ms: int) -> Rolled:
    """Compare what a reader is told, and the rollups, with events whose raw rows are there."""
    with psycopg.connect(store_url, autocommit=True) as db:
        db.isolation_level = IsolationLevel.REPEATABLE_READ
        told = list(_told(known, db, now_ms))
        wrong = [line for _, lines in told for line in lines]
        _catch_up(db, now_ms)
        windows, unequal = 0, 0
        for name, width_ms in WIDTHS_MS.items():
            truth, found = windows_of(known, width_ms), stored(db, _both(name))
            windows += len({key[:2] for key in truth})
            unequal += len({key[:2] for key in different(truth, found)})
            wrong += differences(f"rollup of {name}", truth, found)
    return Rolled(
        points=sum(points for points, _ in told),
        windows=windows,
        windows_wrong=unequal,
        wrong=tuple(wrong[:SHOWN_MAX]),
    )


def _told(known: Mapping[str, Known], db: Db, now_ms: int) -> Iterator[tuple[int, list[str]]]:
    """Ask as the dashboard does; yield how many points there were, and what is wrong with them."""
    for tenant in sorted({one.tenant for one in known.values()}):
        for span_ms in SPANS_MS:
            asked = span.over(now_ms - span_ms, now_ms + 1, now_ms=now_ms)
            truth: Counter[tuple[int, str]] = Counter()
            for one in known.values():
                if one.tenant == tenant and one.counts_at(asked.width_ms):
                    point = one.at_ms - one.at_ms % asked.step_ms
                    if asked.from_ms <= point < asked.until_ms:
                        for name, amount in one.adds.items():
                            truth[point, name] += amount
            with db.transaction():
                trend = trends.measures(db, tenant, asked)
            found: Counter[tuple[int, str]] = Counter()
            for name in MEASURED:
                for point, amount in zip(trend.at_ms, trend.columns[name], strict=True):
                    found[int(point), name] += int(amount)
            what = f"{tenant} over {span_ms} ms in steps of {asked.step_ms} ms"
            yield asked.points * len(MEASURED), list(differences(what, truth, found))


def _catch_up(db: Db, now_ms: int) -> None:
    """Have the job roll up all that is marked, whichever period rests."""
    level = levels.detect(db)
    for number in range(1, ROUNDS_MAX + 1):
        rollups.run(db, level, now_ms=now_ms + LATER_MS * number)
        left = db.execute(_LEFT).fetchall()
        if not left:
            return
    raise AssertionError(f"the rollup job did not catch up in {ROUNDS_MAX} runs: {left}")


def _both(name: str) -> str:
    """Return the rollups of a width and the rows apart of that width, as one table."""
    columns = ", ".join(("series_id", "start_at", "latency", *MEASURED))
    return (
        f"(select {columns} from rollup_{name} union all select {columns} from window_{name})"
        " as rolled"
    )
