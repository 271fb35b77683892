"""Windows of all partitions, made whole: however their parcels come, they end as the same."""

import random
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from analytics.contracts.ids import TenantId
from analytics.measures.rows import (
    MEASURES,
    ON_TIME,
    CellKey,
    CellRow,
    Grain,
    Measures,
    MergedRow,
)
from analytics.measures.sketch import from_bytes, merge, to_bytes
from analytics.windows.final_aggregation import Arrived, MergeFold, MergeRules
from analytics.windows.partials import ShuffleBatch, decode, encode, parcels

RULES = MergeRules(idle_ms=60_000, kept_ms=10**9)
LOG = 3

Final = dict[tuple[CellKey, int, int], tuple[Measures, bytes]]


@st.composite
def sources(draw: st.DrawFn) -> list[list[tuple[int, list[CellRow]]]]:
    """Return, of each partition, its commits: how far event time is, and what closed by then."""
    found = []
    for _ in range(draw(st.integers(1, 4))):
        commits = []
        for number in range(draw(st.integers(1, 5))):
            cells = [
                CellRow(
                    CellKey(
                        TenantId(draw(st.sampled_from(["acme", "other"]))),
                        Grain.FLEET,
                        model=draw(st.sampled_from("abc")),
                    ),
                    10_000,
                    number * 10_000,
                    ON_TIME,
                    Measures(calls=draw(st.integers(0, 9)), events=draw(st.integers(1, 9))),
                    to_bytes(draw(st.dictionaries(st.integers(-5, 5), st.integers(1, 4)))),
                    True,
                )
                for _ in range(draw(st.integers(0, 3)))
            ]
            once = {cell.key: cell for cell in cells}
            commits.append(((number + 1) * 10_000, list(once.values())))
        found.append(commits)
    return found


def _truth(found: Sequence[Sequence[tuple[int, Sequence[CellRow]]]]) -> Final:
    sums: Final = {}
    for commits in found:
        for _, cells in commits:
            for cell in cells:
                place = (cell.key, cell.width_ms, cell.start_ms)
                measures, latency = sums.get(place, (Measures(), b""))
                added = [
                    getattr(measures, name) + getattr(cell.measures, name) for name in MEASURES
                ]
                counts = from_bytes(latency)
                merge(counts, from_bytes(cell.latency))
                sums[place] = (Measures(*added), to_bytes(counts))
    return sums


def _sent(found: Sequence[Sequence[tuple[int, Sequence[CellRow]]]]) -> list[list[ShuffleBatch]]:
    return [
        [
            parcel
            for watermark_ms, cells in commits
            for parcel in parcels(cells, log_id=LOG, partition=partition, watermark_ms=watermark_ms)
        ]
        for partition, commits in enumerate(found)
    ]


def _final(rows: Sequence[MergedRow]) -> Final:
    last: dict[tuple[CellKey, int, int], MergedRow] = {}
    for row in rows:
        place = (row.key, row.width_ms, row.start_ms)
        assert row.revision > last[place].revision if place in last else row.revision == 0, rows
        last[place] = row
    return {place: (row.measures, row.latency) for place, row in last.items()}


@given(sources(), st.randoms(use_true_random=False))
def test_any_order_of_sources_any_batching_and_any_repeat_end_in_the_same_windows(
    found: list[list[tuple[int, list[CellRow]]]], chance: random.Random
) -> None:
    log = _interleaved(_sent(found), chance)
    arrived = [Arrived(offset, 1_000, parcel, encode(parcel)) for offset, parcel in enumerate(log)]
    rules = structs.replace(RULES, closing_max=chance.choice([1, 2, 200]))
    fold = MergeFold(state=b"", kept=(), rules=rules)
    rows: list[MergedRow] = []
    kept: dict[int, bytes] = {}

    at = 0
    while at < len(arrived):
        size = chance.randint(1, 4)
        some = arrived[at : at + size]
        outcome = fold.fold(some, first_offset=at, next_offset=at + len(some), now_ms=0)
        rows += outcome.merged
        kept |= {row.offset: row.payload for row in outcome.kept}
        at += size
        if chance.random() < 0.5:
            fold = MergeFold(state=outcome.state, kept=kept.values(), rules=rules)
    ended = fold.tick(next_offset=at, now_ms=1_000 + RULES.idle_ms)
    while ended is not None:
        rows += ended.merged
        if chance.random() < 0.5:
            fold = MergeFold(state=ended.state, kept=kept.values(), rules=rules)
        ended = fold.tick(next_offset=at, now_ms=1_000 + RULES.idle_ms)

    assert fold.closing_count == 0
    assert _final(rows) == _truth(found)


@given(sources())
def test_what_is_sent_is_what_arrives(found: list[list[tuple[int, list[CellRow]]]]) -> None:
    for sent in _sent(found):
        assert [decode(encode(parcel)) for parcel in sent] == sent


def _interleaved(sent: list[list[ShuffleBatch]], chance: random.Random) -> list[ShuffleBatch]:
    """Return one log of all sources, each in its order, with some parcels said again."""
    waiting = [list(one) for one in sent]
    log: list[ShuffleBatch] = []
    while any(waiting):
        source = chance.choice([one for one in waiting if one])
        log.append(source.pop(0))
        if chance.random() < 0.3:
            log.append(chance.choice(log))
    return log
