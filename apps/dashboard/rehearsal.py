"""When a rule would have fired: its expression over the last hours, and its clocks over that.

A series that the expression returns without a gap for `for` begins to fire; a gap no longer than
`keep_firing_for` does not end it. What is before the first step looked at is not known.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from msgspec import Struct

from analytics.alerts.rules.rules import AlertRule, RuleFile
from analytics.contracts.errors import Refused
from analytics.contracts.ids import DEFAULT_TENANT
from analytics.promql import parse, ranged
from streams.monitoring import evaluation
from streams.series.measures import Db
from streams.series.store_series import EverySeries

STEP_MS: Final = 60_000
HOURS: Final = 6
RULES_MAX: Final = 20
"""Rules of one file that are tried."""
EPISODES_MAX: Final = 100
REHEARSED_MS_MAX: Final = 10_000
"""Milliseconds that trying all rules of a file may take."""


class Episode(Struct, frozen=True):
    """One time that one series would have fired; an open end lasts until now."""

    rule: str
    labels: Mapping[str, str]
    from_ms: int
    until_ms: int
    lasts: bool


class Rehearsed(Struct, frozen=True, kw_only=True):
    """What came of trying: the newest first, what could not be evaluated, and how many rules."""

    episodes: tuple[Episode, ...]
    refused: tuple[str, ...]
    rules: int
    pending: int
    """Series whose condition held, too shortly to fire."""


def rehearsed(db: Db, tenant: str, file: RuleFile, *, now_ms: int) -> Rehearsed:
    """Return when the alerts of a file would have fired in the last hours."""
    until_ms = now_ms // STEP_MS * STEP_MS
    storage = EverySeries(db, tenant, until_ms=now_ms, operator=tenant == DEFAULT_TENANT)
    rules = [one for group in file.groups for one in group.rules if isinstance(one, AlertRule)]
    found: list[Episode] = []
    refused: list[str] = []
    pending = 0
    budget = evaluation.within(REHEARSED_MS_MAX)
    for rule in rules[:RULES_MAX]:
        start_ms = until_ms - HOURS * 3_600_000
        try:
            series = ranged(
                parse(rule.expr), storage, start_ms, until_ms, step_ms=STEP_MS, budget=budget
            )
        except Refused as error:
            refused.append(f"{rule.name}: {error}")
            continue
        for one in series:
            spans = fired(one.times.tolist(), for_ms=rule.for_ms, keep_ms=rule.keep_firing_for_ms)
            pending += not spans
            found += [
                Episode(rule.name, dict(one.labels), begun, ended, lasts=ended >= until_ms)
                for begun, ended in spans
            ]
    newest = sorted(found, key=lambda one: one.from_ms, reverse=True)[:EPISODES_MAX]
    return Rehearsed(
        episodes=tuple(newest), refused=tuple(refused), rules=len(rules), pending=pending
    )


def fired(times: Sequence[int], *, for_ms: int, keep_ms: int) -> list[tuple[int, int]]:
    """Return from when until when a series that was there at `times` would have fired."""
    if not times:
        return []
    at = np.array(times, dtype=np.int64)
    breaks = np.flatnonzero(np.diff(at) > STEP_MS) + 1
    spans: list[tuple[int, int]] = []
    for run in np.split(at, breaks):
        first, last = int(run[0]), int(run[-1])
        if spans and first - spans[-1][1] <= keep_ms:
            spans[-1] = (spans[-1][0], last)
        elif last - first >= for_ms:
            spans.append((first + for_ms, last))
    return spans
