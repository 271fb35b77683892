"""Folds without a store: keeps outcomes as the store would, and adds rows up as a reader would."""

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec
from msgspec import Struct

from analytics.contracts.ids import SessionId, TenantId
from analytics.measures.fold import Arrival, FoldRules, PartitionFold
from analytics.measures.identities import digests_of
from analytics.measures.prices import PriceTable
from analytics.measures.report_matching import named_in
from analytics.measures.rows import (
    BatchOutcome,
    CellKey,
    CellRow,
    Grain,
    RawRow,
    SessionRow,
    ToldApart,
)
from analytics.measures.sketch import Counts, from_bytes, merge

PRICES: Final = PriceTable.from_mapping(
    {
        "version": "test",
        "models": {
            "claude-sonnet-4-5": {
                "input": 3,
                "output": 15,
                "cache_read": "0.3",
                "cache_write": "3.75",
            }
        },
    }
)
"""A table with the price of `facts.MODEL`."""

Key = tuple[TenantId, SessionId]


class Total(Struct):
    """All rows of one series over one window, added up."""

    sums: list[int]
    latency: Counts


class Kept:
    """What the store holds after some outcomes."""

    def __init__(self) -> None:
        self.cells: dict[tuple[CellKey, int, int, int], CellRow] = {}
        self.sessions: dict[Key, SessionRow] = {}
        self.memories: dict[Key, list[bytes]] = {}
        self.owners: dict[bytes, int] = {}
        self.raw: list[RawRow] = []
        self.closed: list[CellRow] = []
        self.apart: dict[tuple[str, str, int], ToldApart] = {}
        self.limited: dict[tuple[str, str], int] = {}
        self.watermark_ms = self.settled_ms = 0
        self.late_count = self.duplicate_count = self.backfill_count = 0

    def commit(self, outcome: BatchOutcome) -> None:
        """Write an outcome."""
        for row in outcome.cells:
            self.cells[row.key, row.width_ms, row.start_ms, row.batch_offset] = row
        for session in outcome.sessions:
            self.sessions[session.tenant, session.session_id] = session
        for seen in outcome.seen:
            self.memories.setdefault((seen.tenant, seen.session_id), []).append(seen.memory)
        apart = self.apart.items()
        self.apart = {k: row for k, row in apart if row.used_ms >= outcome.apart_since_ms}
        self.apart |= {(row.tenant, row.dimension, row.digest): row for row in outcome.apart}
        for met in outcome.limited:
            key = (met.tenant, met.dimension)
            self.limited[key] = self.limited.get(key, 0) + met.events
        for told in outcome.identities:
            assert self.owners.setdefault(told.digest, told.owner) == told.owner
        self.raw += outcome.raw
        self.closed += outcome.closed
        self.watermark_ms, self.settled_ms = outcome.watermark_ms, outcome.settled_ms
        self.late_count += outcome.late_count
        self.duplicate_count += outcome.duplicate_count
        self.backfill_count += outcome.backfill_count

    def owners_of(self, batch: Iterable[Arrival]) -> dict[bytes, int]:
        """Return whose the things are that these tell of: as a worker knows at last."""
        digests = {
            digest
            for arrival in batch
            for digest in digests_of(arrival.event.tenant, named_in(arrival.event))
        }
        return {digest: self.owners[digest] for digest in digests & self.owners.keys()}

    def open_cells(self) -> list[CellRow]:
        """Return the cells that a claim would hold."""
        return [row for row in self.cells.values() if not row.closed]

    @property
    def behind(self) -> bool:
        """Whether windows have ended that are not closed."""
        return self.settled_ms < self.watermark_ms

    def totals(self, width_ms: int, grain: Grain) -> dict[tuple[CellKey, int], Total]:
        """Return every series' windows, without those that came to nothing."""
        added: dict[tuple[CellKey, int], Total] = {}
        for row in self.cells.values():
            if row.width_ms != width_ms or row.key.grain is not grain:
                continue
            total = added.setdefault((row.key, row.start_ms), Total([], {}))
            sums = list(msgspec.structs.astuple(row.measures))
            total.sums = [a + b for a, b in zip(total.sums or [0] * len(sums), sums, strict=True)]
            merge(total.latency, from_bytes(row.latency))
        return {key: total for key, total in added.items() if any(total.sums)}

    def sum_of(self, width_ms: int, grain: Grain, measure: str) -> int:
        """Return one measure over everything."""
        return sum(
            getattr(row.measures, measure)
            for row in self.cells.values()
            if row.width_ms == width_ms and row.key.grain is grain
        )


def new_fold(
    kept: Kept | None = None, *, rules: FoldRules | None = None, prices: PriceTable = PRICES
) -> PartitionFold:
    """Return a fold that goes on where `kept` ends."""
    known = kept or Kept()
    return PartitionFold(
        prices=prices,
        watermark_ms=known.watermark_ms,
        open_cells=known.open_cells(),
        rules=rules or FoldRules(),
        apart=known.apart.values(),
    )


def fold_batch(
    fold: PartitionFold, kept: Kept, batch: Sequence[Arrival], *, now_ms: int | None = None
) -> BatchOutcome:
    """Recall what the fold does not know, fold the batch and commit it."""
    for key in fold.unknown(batch):
        fold.remember(key, kept.sessions.get(key), tuple(kept.memories.get(key, ())))
    fold.learn(kept.owners_of(batch))
    outcome = fold.fold(
        batch,
        first_offset=batch[0].offset,
        next_offset=batch[-1].offset + 1,
        now_ms=batch[-1].received_ms if now_ms is None else now_ms,
    )
    kept.commit(outcome)
    return outcome


def fold_all(
    batches: Iterable[Sequence[Arrival]],
    *,
    rules: FoldRules | None = None,
    now_ms: int | None = None,
    restarting: bool = False,
) -> Kept:
    """Fold all batches; `restarting` rebuilds the fold from what is kept before each."""
    kept = Kept()
    fold = new_fold(kept, rules=rules)
    for batch in batches:
        if restarting:
            fold = new_fold(kept, rules=rules)
        if batch:
            fold_batch(fold, kept, batch, now_ms=now_ms)
    return kept
