"""A drawn history of events in a store, and what any question about it comes to, from the events.

Every event has a value of each dimension or none of it, and adds to some measures, as the fold
counts it: to a series of the fleet and to one of its session, at each width that keeps something of
its age. One session is told of by its sender's own metrics alone.
"""

import random
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import psycopg
from msgspec import Struct, structs

from analytics.contracts.ids import TenantId
from analytics.measures.rows import (
    MEASURES,
    ROLLED_MS,
    WIDTHS_MS,
    CellKey,
    CellRow,
    Grain,
    Measures,
)
from analytics.windows.tumbling import ALL_MS, RETENTIONS_MS
from streams.maintenance import retention, rollups
from streams.queries.grouped import DIMENSIONS, OF_SESSIONS, Grouped, GroupedQuery
from streams.series.measures import EVENT_MEASURES
from streams.series.span import Span
from streams.store import levels
from streams.store.checkpoint_postgres import PostgresCheckpoint
from tests.support.outcomes import outcome

TENANT: Final = TenantId("local")
MINUTE_MS: Final = 60_000
HOUR_MS: Final = 60 * MINUTE_MS
DAY_MS: Final = 24 * HOUR_MS
TOLD_BY_METRICS: Final = "metered"
"""The session that only its sender's own metrics tell of."""
TOLD: Final = tuple(name for name in MEASURES if name.startswith("usage_"))
VALUES: Final[Mapping[str, Sequence[str]]] = {
    "project": ("", "atlas", "checkpoints"),
    "agent": ("claude-code", "codex"),
    "model": ("", "opus", "haiku"),
    "tool": ("", "Bash", "Edit"),
    "skill": ("", "review"),
    "query_source": ("", "main"),
    "session_id": ("one", "two", "three", TOLD_BY_METRICS),
}

Answer = dict[tuple[str, ...], dict[int, tuple[int, ...]]]
"""By values of what is grouped by, and by start in epoch ms: a value a measure."""


class Event(Struct, frozen=True):
    """One event: when it was, how old it was on arrival, what it is of and what it adds."""

    at_ms: int
    age_ms: int
    labels: dict[str, str]
    adds: dict[str, int]

    def widths(self) -> list[int]:
        """Return the widths that the fold counts it at."""
        kept = [w for w, term in zip(ALL_MS, RETENTIONS_MS, strict=True) if self.age_ms <= term]
        narrow = [width for width in kept if width in WIDTHS_MS]
        return narrow or kept

    def is_told_at(self, width_ms: int) -> bool:
        """Say whether an answer of windows of this width counts it."""
        widths = self.widths()
        return width_ms in widths or (width_ms in ROLLED_MS and WIDTHS_MS[-1] in widths)


class History:
    """Commits events to a store, and knows what every question about them comes to."""

    def __init__(
        self, checkpoints: PostgresCheckpoint, url: str, *, now_ms: int, seed: int
    ) -> None:
        self.now_ms = now_ms
        self.events: list[Event] = []
        self._chance = random.Random(seed)
        self._checkpoints = checkpoints
        self._url = url
        self._offset = 0

    async def commit(self, ages_ms: Sequence[int]) -> None:
        """Commit one batch with an event of each of these ages."""
        claim = await self._checkpoints.claim(cluster_id="c", topic="t", partition=0)
        events = [self._drawn(age_ms) for age_ms in ages_ms]
        cells = tuple(self._cells(events))
        await self._checkpoints.commit(
            claim, outcome(self._offset, self._offset + 1, raw=(), cells=cells)
        )
        self.events += events
        self._offset += 1

    def roll_up(self, *, later_ms: int = 0) -> None:
        """Let the job run, as late as that."""
        with psycopg.connect(self._url, autocommit=True, options="-c timezone=UTC") as db:
            rollups.run(db, levels.detect(db), now_ms=self.now_ms + later_ms)

    def settle(self) -> None:
        """Let the job run until nothing waits for it."""
        for later_ms in (0, 10 * MINUTE_MS, 3 * HOUR_MS):
            self.roll_up(later_ms=later_ms)

    def retain(self) -> None:
        """Remove what is too old by now."""
        with psycopg.connect(self._url, autocommit=True) as db:
            retention.apply(db, levels.detect(db), retention.Retention(), now_ms=self.now_ms)

    def answer(self, wanted: GroupedQuery) -> Answer:
        """Return what the events come to."""
        over = wanted.span
        found: dict[tuple[tuple[str, ...], int], list[int]] = {}
        for at_ms, labels, adds in self._told(over):
            if all(labels[name] in values for name, values in wanted.only.items()):
                point = over.points_ms[bisect_right(over.points_ms, at_ms) - 1]
                key = tuple(labels[name] for name in wanted.group_by)
                sums = found.setdefault((key, point), [0] * len(wanted.measures))
                for place, name in enumerate(wanted.measures):
                    sums[place] += adds.get(name, 0)
        told: Answer = {}
        for (key, point), sums in found.items():
            told.setdefault(key, {})[point] = tuple(sums)
        return told

    def counted(self, name: str, labels: Mapping[str, str], *, before_ms: int) -> int:
        """Return a measure of all events of these labels that were before a time."""
        return sum(
            event.adds.get(name, 0)
            for event in self.events
            if event.at_ms < before_ms
            and all(event.labels[one] == text for one, text in labels.items())
        )

    def _told(self, over: Span) -> Iterator[tuple[int, dict[str, str], dict[str, int]]]:
        for event in self.events:
            if over.from_ms <= event.at_ms < over.until_ms and event.is_told_at(over.width_ms):
                yield event.at_ms, event.labels, event.adds

    def _drawn(self, age_ms: int) -> Event:
        chance = self._chance
        labels = {name: chance.choice(VALUES[name]) for name in DIMENSIONS}
        if labels["session_id"] == TOLD_BY_METRICS:
            names = [*(name.removeprefix("usage_") for name in TOLD), "prompts"]
        else:
            names = [name for name in EVENT_MEASURES if name != "events"]
        adds = {name: chance.randrange(1, 1_000) for name in chance.sample(names, 4)}
        if labels["session_id"] == TOLD_BY_METRICS:
            adds |= {f"usage_{n}": amount for n, amount in adds.items() if f"usage_{n}" in TOLD}
        return Event(self.now_ms - age_ms, age_ms, labels, {**adds, "events": 1})

    def _cells(self, events: Sequence[Event]) -> Iterator[CellRow]:
        cells: dict[tuple[CellKey, int, int], Measures] = {}
        for event in events:
            of_session = {name: event.labels[name] for name in OF_SESSIONS}
            of_fleet = {n: text for n, text in event.labels.items() if n != "session_id"}
            for width in event.widths():
                for grain, labels in ((Grain.FLEET, of_fleet), (Grain.SESSION, of_session)):
                    key = CellKey(tenant=TENANT, grain=grain, **labels)
                    place = (key, width, event.at_ms // width * width)
                    known = structs.asdict(cells.get(place, Measures()))
                    more = {name: known[name] + amount for name, amount in event.adds.items()}
                    cells[place] = Measures(**{**known, **more})
        for (key, width, start_ms), measures in cells.items():
            yield CellRow(
                key=key, width_ms=width, start_ms=start_ms, batch_offset=self._offset,
                measures=measures, latency=b"", closed=True,
            )  # fmt: skip


def told(found: Grouped) -> Answer:
    """Return an answer of the store in the same shape."""
    return {
        tuple(one.labels.values()): {point[0]: tuple(point[1:]) for point in one.points}
        for one in found.groups
    }
