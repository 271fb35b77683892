"""Closed windows become results whose id says which window they are."""

import msgspec
import pytest

from analytics.contracts import events, topics
from analytics.contracts.ids import TenantId
from analytics.contracts.result_events import WindowClosed
from analytics.measures.rows import (
    ON_TIME,
    BatchOutcome,
    CellKey,
    CellRow,
    Grain,
    Measures,
    MergedRow,
)
from analytics.windows import partials
from streams.consumer import results
from streams.store.checkpoint import Checkpoint
from tests.support import facts

CLAIM = Checkpoint(
    log_id=3, topic=topics.AGENTS.address, partition=2, epoch=1, next_offset=0, watermark_ms=0,
    open_cells=(),
)  # fmt: skip
KEY = CellKey(TenantId("acme"), Grain.FLEET, project="p", model="m")
CELL = CellRow(
    key=KEY,
    width_ms=60_000,
    start_ms=facts.T0_MS,
    batch_offset=ON_TIME,
    measures=Measures(calls=2, input_tokens=30),
    latency=b"\x01\x00\x02\x00\x00\x00",
    closed=True,
)
OWN = msgspec.structs.replace(CELL, key=CellKey(TenantId("acme"), Grain.SESSION, "p", "s", "", "m"))


def closed(*cells: CellRow, watermark_ms: int = facts.T0_MS) -> BatchOutcome:
    """Return the outcome of a batch that closed these."""
    return BatchOutcome(
        first_offset=0, next_offset=1, watermark_ms=watermark_ms, raw=(), cells=cells,
        closed=cells, sessions=(), seen=(), late_count=0, duplicate_count=0, backfill_count=0,
    )  # fmt: skip


@pytest.mark.requirement("results-published")
def test_a_result_says_which_window_of_which_series_and_what_was_counted() -> None:
    [record] = results.of_first_stage(CLAIM, closed(OWN), before_ms=facts.T0_MS)

    event = events.decode(record.value)
    assert isinstance(event, WindowClosed)
    assert (record.topic, record.key) == (topics.METRICS.address, b"acme")
    assert (event.tenant, event.start_ms, event.width_ms) == ("acme", facts.T0_MS, 60_000)
    assert event.at_ms == facts.T0_MS + 60_000
    assert event.dimensions == {"project": "p", "model": "m", "session_id": "s"}
    assert event.measures == {"calls": 2, "input_tokens": 30}
    assert event.latency == CELL.latency
    assert (event.log_id, event.partition) == ("3", 2)


@pytest.mark.requirement("results-published")
def test_the_id_depends_on_the_window_and_not_on_what_was_counted_or_who_claimed() -> None:
    other_counts = msgspec.structs.replace(CELL, measures=Measures(calls=9))
    other_claim = msgspec.structs.replace(CLAIM, epoch=7, next_offset=100)

    same = {
        results.event_of(CLAIM, CELL).id,
        results.event_of(CLAIM, other_counts).id,
        results.event_of(other_claim, CELL).id,
    }

    assert len(same) == 1


@pytest.mark.parametrize(
    "cell",
    [
        msgspec.structs.replace(CELL, start_ms=facts.T0_MS + 60_000),
        msgspec.structs.replace(CELL, width_ms=10_000),
        msgspec.structs.replace(CELL, key=msgspec.structs.replace(KEY, project="", agent="p")),
        msgspec.structs.replace(CELL, key=msgspec.structs.replace(KEY, tenant=TenantId("other"))),
    ],
)
def test_another_window_or_series_has_another_id(cell: CellRow) -> None:
    assert results.event_of(CLAIM, cell).id != results.event_of(CLAIM, CELL).id


def test_a_window_that_others_share_goes_to_the_second_stage_by_its_series() -> None:
    sent = results.of_first_stage(CLAIM, closed(CELL), before_ms=facts.T0_MS)

    parcels = [partials.decode(record.value) for record in sent]
    assert {record.topic for record in sent} == {topics.PARTIALS.address}
    assert [record.key for record in sent] == [b"%d" % number for number in range(partials.TARGETS)]
    assert {parcel.source[:2] for parcel in parcels} == {(3, 2)}
    [told] = [partial for parcel in parcels for partial in parcel.partials]
    assert (told.key, told.measures, told.latency) == (KEY, CELL.measures, CELL.latency)


@pytest.mark.parametrize(("before_ms", "parcels"), [(9_999, partials.TARGETS), (10_000, 0)])
def test_the_second_stage_hears_of_time_once_a_narrowest_window(
    before_ms: int, parcels: int
) -> None:
    sent = results.of_first_stage(CLAIM, closed(watermark_ms=10_500), before_ms=before_ms)

    assert len(sent) == parcels
    assert {partials.decode(record.value).watermark_ms for record in sent} <= {10_500}


def test_a_revision_has_an_id_of_its_own_and_is_whole() -> None:
    first = MergedRow(KEY, 10_000, facts.T0_MS, 0, 2, Measures(calls=2), b"")
    second = msgspec.structs.replace(first, revision=1, source_count=3, measures=Measures(calls=5))
    outcome = msgspec.structs.replace(closed(), merged=(first, second))

    told = [
        events.decode(record.value)
        for record in results.of_second_stage(CLAIM, outcome, before_ms=0)
    ]

    assert all(isinstance(one, WindowClosed) for one in told)
    assert [(one.revision, one.sources) for one in told] == [(0, 2), (1, 3)]  # type: ignore[union-attr] # said above
    assert told[0].id != told[1].id
