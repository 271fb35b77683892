"""Closed windows become results whose id says which window they are."""

import msgspec
import pytest

from analytics.contracts import events, topics
from analytics.contracts.ids import TenantId
from analytics.measures.rows import ON_TIME, CellKey, CellRow, Grain, Measures
from streams import results
from streams.ledger import Claim
from tests.support import facts

CLAIM = Claim(
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


@pytest.mark.requirement("results-published")
def test_a_result_says_which_window_of_which_series_and_what_was_counted() -> None:
    [record] = results.records(CLAIM, [CELL])

    event = events.decode(record.value)
    assert isinstance(event, events.WindowClosed)
    assert (record.topic, record.key) == (topics.METRICS.address, b"acme")
    assert (event.tenant, event.start_ms, event.width_ms) == ("acme", facts.T0_MS, 60_000)
    assert event.at_ms == facts.T0_MS + 60_000
    assert event.dimensions == {"project": "p", "model": "m"}
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
