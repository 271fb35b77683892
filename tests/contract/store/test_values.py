"""Odd values in a commit: what comes back is what was told, or the nearest a store can hold."""

import pytest

from analytics.contracts.cloudevents import Record
from analytics.measures.rows import MEASURES, CellKey, Grain, Measures
from streams.store.checkpoint import Checkpoint
from streams.store.checkpoint_postgres import open_checkpoint
from tests.support.facts import T0_MS
from tests.support.outcomes import (
    TENANT,
    PostgresLooker,
    Store,
    cell,
    outcome,
    raw,
    seen,
    session,
    session_key,
)

BOUND = 2**63 - 1
SUMS = (
    Measures(),
    Measures(calls=-3),
    Measures(*range(1, len(MEASURES) + 1)),
    Measures(*(BOUND if n % 2 else -BOUND for n in range(len(MEASURES)))),
    Measures(events=1),
)


async def _claim(store: Store) -> Checkpoint:
    return await store.checkpoints.claim(cluster_id="c1", topic="t", partition=0)


async def test_a_windows_sums_come_back_as_they_were_zeros_and_bounds_too(store: Store) -> None:
    cells = tuple(
        cell(start_ms=T0_MS + 10_000 * n, measures=sums, latency=b"\x01\x00\x01\x00\x00\x00" * n)
        for n, sums in enumerate(SUMS)
    )
    claim = await _claim(store)
    await store.checkpoints.commit(claim, outcome(0, 1, cells=cells))

    resumed = await _claim(store)

    assert sorted(resumed.open_cells, key=lambda one: one.start_ms) == list(cells)


async def test_a_sum_that_returns_to_zero_does_so_in_the_store(store: Store) -> None:
    claim = await _claim(store)
    await store.checkpoints.commit(claim, outcome(0, 1, cells=(cell(5),)))
    await store.checkpoints.commit(claim, outcome(1, 2, cells=(cell(0),)))

    assert [one.measures for one in (await _claim(store)).open_cells] == [Measures()]


async def test_a_batch_of_nothing_moves_the_offset_alone(store: Store) -> None:
    claim = await _claim(store)
    await store.checkpoints.commit(claim, outcome(0, 7, raw=()))

    assert (await _claim(store)).next_offset == 7
    assert store.look.raw_ids() == []


async def test_texts_of_any_script_and_length_come_back(store: Store) -> None:
    told = session(
        "s-\u4e2d\U0001f600", first_prompt="x" * 100_000, user="", project="'; drop", latency=b""
    )
    claim = await _claim(store)
    await store.checkpoints.commit(
        claim, outcome(0, 1, sessions=(told,), seen=(seen(b"", name=told.session_id),))
    )

    known = await store.checkpoints.recall([session_key(told.session_id)])

    assert known[session_key(told.session_id)].row == told
    assert b"".join(known[session_key(told.session_id)].memories) == b""


async def test_headers_keys_and_values_of_any_bytes_leave_the_outbox_as_they_came(
    store: Store,
) -> None:
    every = bytes(range(256))
    records = [
        Record(topic="t", key=every, value=every * 1_000, headers=(("name", every), ("", b""))),
        Record(topic="t", key=b"", value=b"", headers=()),
    ]
    claim = await _claim(store)
    await store.checkpoints.commit(claim, outcome(0, 1), outbox=records)

    async with store.checkpoints.sending(limit=5) as outgoing:
        assert list(outgoing.records) == records


@pytest.mark.requirement("bad-input-answered")
async def test_what_no_column_holds_is_brought_to_the_nearest_that_one_does(store_url: str) -> None:
    huge = 2**80
    key = CellKey(tenant=TENANT, grain=Grain.FLEET, tool="nul\x00", skill="half \ud800")
    topic = Record(topic="t\x00", key=b"\x00", value=b"\xff", headers=())
    async with open_checkpoint(store_url, clock=lambda: T0_MS) as checkpoints:
        claim = await checkpoints.claim(cluster_id="c1", topic="t", partition=0)
        await checkpoints.commit(
            claim,
            outcome(
                0, 1,
                raw=(raw(0, duration_ms=huge, cost_nanousd=-huge),),
                cells=(cell(key=key, measures=Measures(calls=huge, events=-huge)),),
                sessions=(session(first_prompt="\x00", totals=Measures(cost_nanousd=huge)),),
            ),
            outbox=(topic,),
        )  # fmt: skip
        [kept] = (await checkpoints.claim(cluster_id="c1", topic="t", partition=0)).open_cells
        known = (await checkpoints.recall([session_key()]))[session_key()].row
        async with checkpoints.sending(limit=1) as outgoing:
            [sent] = outgoing.records

    assert (kept.measures.calls, kept.measures.events) == (BOUND, -BOUND)
    assert (kept.key.tool, kept.key.skill) == ("nul\ufffd", "half \ufffd")
    assert known is not None
    assert (known.first_prompt, known.totals.cost_nanousd) == ("\ufffd", BOUND)
    assert (sent.topic, sent.key, sent.value) == ("t\ufffd", b"\x00", b"\xff")
    assert PostgresLooker(store_url).rows("select duration_ms, cost_nanousd from events") == [
        (BOUND, -BOUND)
    ]
