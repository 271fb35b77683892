"""Both stages together: however events are spread, cut, replayed and mixed, windows end alike."""

import random
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Final, TypeVar
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from analytics.contracts import events, topics
from analytics.contracts.agent_events import PromptSubmitted, RequestFinished, ToolFinished
from analytics.contracts.cloudevents import Record
from analytics.contracts.events import Event
from analytics.contracts.result_events import WindowClosed
from analytics.measures.fold import Arrival, FoldRules
from analytics.measures.rows import MEASURES, WIDTHS_MS, BatchOutcome, CellKey, Grain
from analytics.measures.sketch import to_bytes
from analytics.windows import partials
from analytics.windows.final_aggregation import Arrived, MergeFold, MergeRules
from streams.consumer import results
from streams.store.checkpoint import Checkpoint
from tests.property.strategies import SPAN_MS, cut
from tests.support.facts import MODEL, T0_MS, fact
from tests.support.folding import Kept, fold_batch, new_fold

LATENESS_MS: Final = 15_000
RULES: Final = FoldRules(lateness_ms=LATENESS_MS, idle_ms=20_000, future_skew_ms=10 * SPAN_MS)
MERGE_RULES: Final = MergeRules(idle_ms=20_000, kept_ms=10**9)
NOW_MS: Final = T0_MS + 2 * SPAN_MS
"""When the last event is long past."""
TICKS: Final = 12
T = TypeVar("T")
Window = tuple[str, tuple[tuple[str, str], ...], int, int]
"""Tenant, dimensions, width and start."""
Found = dict[Window, tuple[dict[str, int], bytes]]


@st.composite
def agent_tells(draw: st.DrawFn, number: int) -> Event:
    """Draw a request, a tool call or a prompt that nobody else reports."""
    of_all: dict[str, Any] = {
        "id": f"e{number}",
        "tenant": draw(st.sampled_from(["local", "other"])),
        "session_id": draw(st.sampled_from(["s1", "s2", "s3", "s4"])),
        "at_ms": T0_MS + draw(st.integers(0, SPAN_MS)),
        "project": draw(st.sampled_from(["", "p1"])),
    }
    match draw(st.integers(0, 2)):
        case 0:
            duration_ms = draw(st.integers(0, 90_000))
            model = draw(st.sampled_from([MODEL, "other"]))
            return fact(RequestFinished, model=model, duration_ms=duration_ms, **of_all)
        case 1:
            return fact(ToolFinished, tool="Bash", **of_all)
        case _:
            return fact(PromptSubmitted, **of_all)


@st.composite
def told(draw: st.DrawFn) -> list[Event]:
    """Draw what agents tell, none of it late: out of order by less than the lateness."""
    made = [draw(agent_tells(number)) for number in range(draw(st.integers(1, 25)))]
    delays = st.integers(0, LATENESS_MS - 1)
    return sorted(made, key=lambda event: event.at_ms + draw(delays))


@pytest.mark.requirement("partials-merge")
@pytest.mark.requirement("batching-changes-nothing")
@given(
    said=told(),
    owners=st.lists(st.integers(0, 3), min_size=8, max_size=8),
    targets=st.integers(1, 3),
    chance=st.randoms(use_true_random=False),
)
def test_the_same_events_end_in_the_same_windows_however_they_are_spread_and_mixed(
    said: list[Event], owners: list[int], targets: int, chance: random.Random
) -> None:
    spread: dict[int, list[Event]] = defaultdict(list)
    for event in said:
        spread[owners[crc32(f"{event.tenant} {topics.key_of(event)}".encode()) % 8]].append(event)

    sent = [_first_stage(partition, those, chance) for partition, those in sorted(spread.items())]
    logs: list[list[Record]] = [[] for _ in range(targets)]
    for record in _mixed(sent, chance):
        logs[crc32(record.key) % targets].append(record)
    published = [_second_stage(target, log, chance) for target, log in enumerate(logs)]

    found: Found = {}
    for one in published:
        assert not found.keys() & one.keys()
        found |= one
    assert found == _truth(said)


def _truth(said: Sequence[Event]) -> Found:
    """One partition, one batch, and everything added up as whoever reads the store does."""
    kept = Kept()
    fold_batch(new_fold(kept, rules=RULES), kept, _arrivals(said))
    return {
        (key.tenant, _dimensions(key), width_ms, start_ms): (
            {name: count for name, count in zip(MEASURES, total.sums, strict=True) if count},
            to_bytes(total.latency),
        )
        for width_ms in WIDTHS_MS
        for (key, start_ms), total in kept.totals(width_ms, Grain.FLEET).items()
    }


def _first_stage(partition: int, said: Sequence[Event], chance: random.Random) -> list[Record]:
    """Return what a partition tells the second stage, killed and restarted now and then."""
    kept, sent = Kept(), list[Record]()
    rules = structs.replace(RULES, closing_max=chance.choice([1, 3, 200]))
    fold = new_fold(kept, rules=rules)
    claim = _claim(topics.AGENTS.address, partition)
    for batch in _pieces(_arrivals(said), chance):
        if chance.random() < 0.3:
            fold = new_fold(kept, rules=rules)
        before_ms = kept.settled_ms
        sent += results.of_first_stage(claim, fold_batch(fold, kept, batch), before_ms=before_ms)
    for number in range(TICKS):
        now_ms = NOW_MS + number * 10_000
        outcome = fold.tick(next_offset=len(said), now_ms=now_ms)
        while outcome is not None:
            before_ms = kept.settled_ms
            kept.commit(outcome)
            sent += results.of_first_stage(claim, outcome, before_ms=before_ms)
            if chance.random() < 0.3:
                fold = new_fold(kept, rules=rules)
            behind = kept.settled_ms < kept.watermark_ms
            outcome = fold.settle(next_offset=len(said), now_ms=now_ms) if behind else None
    assert not kept.open_cells()
    return [record for record in sent if record.topic == topics.PARTIALS.address]


def _second_stage(target: int, log: Sequence[Record], chance: random.Random) -> Found:
    """Return what was said last of each window, by a stage that sources fall silent for."""
    rules = structs.replace(MERGE_RULES, closing_max=chance.choice([1, 3, 200]))
    fold = MergeFold(state=b"", kept=(), rules=rules)
    claim = _claim(topics.PARTIALS.address, target)
    arrived, now_ms = [], NOW_MS
    for offset, record in enumerate(log):
        now_ms += chance.choice([0, 0, 1_000, 25_000])
        arrived.append(Arrived(offset, now_ms, partials.decode(record.value), record.value))
    needed: dict[int, bytes] = {}
    last: dict[Window, WindowClosed] = {}
    for batch in [*_pieces(arrived, chance), []]:
        end = batch[-1].offset + 1 if batch else len(arrived)
        begin = batch[0].offset if batch else end
        outcome = (
            fold.fold(batch, first_offset=begin, next_offset=end, now_ms=0)
            if batch
            else fold.tick(next_offset=end, now_ms=now_ms + MERGE_RULES.idle_ms)
        )
        while outcome is not None:
            _tell(claim, outcome, last)
            needed |= {row.offset: row.payload for row in outcome.kept}
            if chance.random() < 0.3:
                fold = MergeFold(state=outcome.state, kept=needed.values(), rules=rules)
            again = chance.random() < 0.8 or not batch
            outcome = fold.tick(next_offset=end, now_ms=0) if again else None
    return {
        window: (event.measures, event.latency) for window, event in last.items() if event.measures
    }


def _tell(claim: Checkpoint, outcome: BatchOutcome, last: dict[Window, WindowClosed]) -> None:
    """Take what is told of windows, each time under a later revision."""
    for record in results.of_second_stage(claim, outcome, before_ms=0):
        event = events.decode(record.value)
        assert isinstance(event, WindowClosed)
        dimensions = tuple(sorted(event.dimensions.items()))
        window = (event.tenant, dimensions, event.width_ms, event.start_ms)
        assert window not in last or last[window].revision < event.revision
        last[window] = event


def _mixed(sent: list[list[Record]], chance: random.Random) -> list[Record]:
    """Return one log of all, each sender's in its order, with some records sent again."""
    waiting = [list(one) for one in sent]
    log: list[Record] = []
    while any(waiting):
        log.append(chance.choice([one for one in waiting if one]).pop(0))
        if chance.random() < 0.2:
            log.append(chance.choice(log))
    return log


def _pieces(whole: Sequence[T], chance: random.Random) -> list[list[T]]:
    cuts = {chance.randrange(1, len(whole) + 1) for _ in range(chance.randint(0, 6)) if whole}
    return [piece for piece in cut(whole, sorted(cuts)) if piece]


def _arrivals(said: Sequence[Event]) -> list[Arrival]:
    return [
        Arrival(offset, event.at_ms + LATENESS_MS, event, events.encode(event))
        for offset, event in enumerate(said)
    ]


def _claim(topic: str, partition: int) -> Checkpoint:
    return Checkpoint(
        log_id=1, topic=topic, partition=partition, epoch=1, next_offset=0, watermark_ms=0,
        open_cells=(),
    )  # fmt: skip


def _dimensions(key: CellKey) -> tuple[tuple[str, str], ...]:
    named = structs.asdict(key)
    del named["tenant"], named["grain"]
    return tuple(sorted((name, value) for name, value in named.items() if value))
