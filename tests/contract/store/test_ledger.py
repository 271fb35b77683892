"""The checkpoint store: claims, commits and recalled sessions, on every store."""

from contextlib import suppress

import pytest
from msgspec import structs

from analytics.contracts.cloudevents import Record
from analytics.contracts.errors import BrokerAway, Fenced, StoreAway
from analytics.measures.rows import Measures
from streams.store.checkpoint import Checkpoint, CheckpointStore
from tests.support.facts import T0_MS
from tests.support.outcomes import (
    KeptCell,
    Store,
    cell,
    dead_letter,
    outcome,
    raw,
    seen,
    session,
    session_key,
)

TOPIC = "mainstem.agents.v1"
RECORD = Record(
    topic="mainstem.metrics.v1", key=b"local", value=b'{"a":1}', headers=(("ce_id", b"x\xff"),)
)


async def _claim(
    checkpoints: CheckpointStore, *, cluster: str = "c1", partition: int = 0
) -> Checkpoint:
    return await checkpoints.claim(cluster_id=cluster, topic=TOPIC, partition=partition)


async def test_a_new_log_starts_at_offset_0_with_no_windows_open(store: Store) -> None:
    claim = await _claim(store.checkpoints)

    assert (claim.next_offset, claim.watermark_ms, claim.open_cells) == (0, 0, ())
    assert (claim.topic, claim.partition) == (TOPIC, 0)


@pytest.mark.requirement("counted-once-on-replay")
async def test_a_later_claim_resumes_where_the_last_commit_got_to(store: Store) -> None:
    claim = await _claim(store.checkpoints)
    still_open = cell(3)
    closed = cell(4, start_ms=T0_MS - 10_000, closed=True)
    minute = cell(7, width_ms=60_000)
    await store.checkpoints.commit(
        claim, outcome(0, 2, cells=(still_open, closed, minute), closed=(closed,))
    )

    resumed = await _claim(store.other)

    assert resumed.epoch > claim.epoch
    assert (resumed.next_offset, resumed.watermark_ms) == (2, T0_MS)
    assert sorted(resumed.open_cells, key=lambda one: one.width_ms) == [still_open, minute]


@pytest.mark.requirement("counted-once-on-replay")
async def test_windows_that_ended_and_are_not_closed_yet_are_in_a_later_claim(store: Store) -> None:
    claim = await _claim(store.checkpoints)
    left = cell(3, start_ms=T0_MS - 3_600_000)
    closed = cell(4, start_ms=T0_MS - 3_610_000, closed=True)
    await store.checkpoints.commit(
        claim, outcome(0, 2, cells=(left, closed), closed=(closed,), behind_ms=3_590_001)
    )

    resumed = await _claim(store.other)

    assert (resumed.watermark_ms, resumed.behind_ms) == (T0_MS, 3_590_001)
    assert resumed.open_cells == (left,)
    last = structs.replace(left, closed=True)
    await store.other.commit(resumed, outcome(2, 2, cells=(last,), closed=(last,)))
    assert (await _claim(store.checkpoints)).behind_ms == 0


@pytest.mark.requirement("fenced-worker-writes-nothing")
async def test_a_worker_whose_partition_was_claimed_by_another_writes_nothing(store: Store) -> None:
    fenced = await _claim(store.checkpoints)
    await store.checkpoints.commit(fenced, outcome(0, 1))
    await _claim(store.other)

    with pytest.raises(Fenced):
        await store.checkpoints.commit(
            fenced,
            outcome(1, 3, cells=(cell(),), sessions=(session(),), seen=(seen(b"m"),)),
            outbox=(RECORD,),
            dead_letters=(dead_letter(),),
        )

    assert store.look.raw_ids() == ["event-0"]
    assert (store.look.cells(), store.look.dead_letters()) == ([], [])
    assert await store.checkpoints.recall([session_key()]) == {}
    async with store.checkpoints.sending(limit=10) as outgoing:
        assert (list(outgoing.records), outgoing.waiting) == ([], 0)
    assert (await _claim(store.other)).next_offset == 1


async def test_commits_follow_each_other_and_may_leave_holes_in_the_offsets(store: Store) -> None:
    claim = await _claim(store.checkpoints)
    await store.checkpoints.commit(claim, outcome(0, 2))
    await store.checkpoints.commit(claim, outcome(5, 6))
    await store.checkpoints.commit(claim, outcome(6, 6, watermark_ms=T0_MS + 1))

    resumed = await _claim(store.other)

    assert (resumed.next_offset, resumed.watermark_ms) == (6, T0_MS + 1)


async def test_a_cell_replaces_what_its_window_held(store: Store) -> None:
    claim = await _claim(store.checkpoints)
    await store.checkpoints.commit(claim, outcome(0, 1, cells=(cell(1),)))
    await store.checkpoints.commit(claim, outcome(1, 2, cells=(cell(5, closed=True),)))

    assert store.look.cells() == [KeptCell(claim.log_id, 0, T0_MS, -1, 5, closed=True)]


@pytest.mark.requirement("late-counted")
async def test_a_late_cell_adds_a_row_beside_the_closed_windows(store: Store) -> None:
    claim = await _claim(store.checkpoints)
    await store.checkpoints.commit(claim, outcome(0, 1, cells=(cell(4, closed=True),)))
    late = cell(2, batch_offset=1, closed=True)
    await store.checkpoints.commit(claim, outcome(1, 2, cells=(late,), late_count=2))

    kept = store.look.cells()

    assert [(one.batch_offset, one.calls) for one in kept] == [(-1, 4), (1, 2)]


async def test_every_width_has_its_own_windows(store: Store) -> None:
    claim = await _claim(store.checkpoints)
    cells = tuple(cell(width // 10_000, width_ms=width) for width in (10_000, 60_000, 3_600_000))
    await store.checkpoints.commit(claim, outcome(0, 1, cells=cells))

    calls = [[one.calls for one in store.look.cells(one.width_ms)] for one in cells]

    assert calls == [[1], [6], [360]]


@pytest.mark.requirement("new-log-starts-anew")
async def test_two_logs_of_one_topic_are_kept_apart(store: Store) -> None:
    old = await _claim(store.checkpoints, cluster="c1")
    await store.checkpoints.commit(old, outcome(0, 3, cells=(cell(3),)))

    new = await _claim(store.checkpoints, cluster="c2")
    await store.checkpoints.commit(new, outcome(0, 1, raw=(raw(0, id="new"),), cells=(cell(1),)))

    assert (new.next_offset, new.open_cells) == (0, ())
    assert new.log_id != old.log_id
    assert sorted(one.calls for one in store.look.cells()) == [1, 3]
    assert "new" in store.look.raw_ids()


async def test_partitions_of_one_log_are_kept_apart(store: Store) -> None:
    first = await _claim(store.checkpoints, partition=0)
    second = await _claim(store.checkpoints, partition=1)
    await store.checkpoints.commit(first, outcome(0, 1, cells=(cell(1),)))
    await store.checkpoints.commit(second, outcome(0, 1, cells=(cell(2),)))

    assert [(one.partition, one.calls) for one in store.look.cells()] == [(0, 1), (1, 2)]


async def test_a_session_is_recalled_as_it_was_last_committed(store: Store) -> None:
    claim = await _claim(store.checkpoints)
    before = session(totals=Measures(calls=1))
    after = session(ended_ms=T0_MS + 999, latency=b"\x01\x02", totals=Measures(calls=9, events=11))
    await store.checkpoints.commit(claim, outcome(0, 1, sessions=(before,)))
    await store.checkpoints.commit(claim, outcome(1, 2, sessions=(after, session("s2"))))

    known = await store.other.recall([session_key(), session_key("s2"), session_key("new")])

    assert {key: one.row for key, one in known.items()} == {
        session_key(): after,
        session_key("s2"): session("s2"),
    }


async def test_a_sessions_memory_comes_back_in_the_order_of_its_batches(store: Store) -> None:
    for cluster, parts in (("c1", (b"a", b"b")), ("c2", (b"c",))):
        claim = await _claim(store.checkpoints, cluster=cluster)
        for offset, part in enumerate(parts):
            rows = (seen(part, batch_offset=offset), seen(b"-", batch_offset=offset, name="s2"))
            await store.checkpoints.commit(claim, outcome(offset, offset + 1, seen=rows))

    known = await store.other.recall([session_key()])

    assert b"".join(known[session_key()].memories) == b"abc"
    assert known[session_key()].row is None


async def test_a_recall_of_more_sessions_than_one_query_takes_finds_them_all(store: Store) -> None:
    claim = await _claim(store.checkpoints)
    names = [f"s{number}" for number in range(1_100)]
    await store.checkpoints.commit(
        claim, outcome(0, 1, sessions=tuple(session(name) for name in names))
    )

    known = await store.other.recall(session_key(name) for name in names)

    assert len(known) == 1_100


async def test_records_leave_the_outbox_in_the_order_they_came(store: Store) -> None:
    claim = await _claim(store.checkpoints)
    records = [
        Record(topic=RECORD.topic, key=b"%d" % n, value=RECORD.value, headers=RECORD.headers)
        for n in range(5)
    ]
    await store.checkpoints.commit(claim, outcome(0, 1), outbox=records[:3])
    await store.checkpoints.commit(claim, outcome(1, 2), outbox=records[3:])

    async with store.other.sending(limit=4) as oldest:
        pass
    async with store.checkpoints.sending(limit=4) as rest:
        pass

    assert (list(oldest.records), oldest.waiting) == (records[:4], 5)
    assert (list(rest.records), rest.waiting) == (records[4:], 1)


async def test_keys_leave_the_outbox_in_turns_each_in_its_order(store: Store) -> None:
    claim = await _claim(store.checkpoints)
    loud = [structs.replace(RECORD, key=b"loud", value=b"%d" % number) for number in range(20)]
    calm = [structs.replace(RECORD, key=b"calm", value=b"%d" % number) for number in range(2)]
    await store.checkpoints.commit(claim, outcome(0, 1), outbox=[*loud, *calm])

    looks = []
    for _ in range(4):
        async with store.checkpoints.sending(limit=6) as outgoing:
            looks.append(list(outgoing.records))

    assert looks[0] == [*loud[: len(looks[0]) - 2], *calm]
    assert [one for look in looks for one in look if one.key == b"loud"] == loud
    assert all(len(look) <= 6 for look in looks)


async def test_a_commit_of_more_than_a_socket_takes_at_once_is_made(store: Store) -> None:
    claim = await _claim(store.checkpoints)
    million = bytes(1_000_000)
    records = [Record(topic=RECORD.topic, key=b"", value=million, headers=())] * 24

    await store.checkpoints.commit(claim, outcome(0, 1), outbox=records)

    async with store.other.sending(limit=100) as outgoing:
        assert [len(record.value) for record in outgoing.records] == [1_000_000] * 24


@pytest.mark.requirement("results-published")
async def test_one_sender_has_the_outbox_at_a_time_and_what_it_fails_to_send_stays(
    store: Store,
) -> None:
    claim = await _claim(store.checkpoints)
    await store.checkpoints.commit(claim, outcome(0, 1), outbox=[RECORD, RECORD])

    with suppress(BrokerAway):
        async with store.checkpoints.sending(limit=1) as mine:
            async with store.other.sending(limit=1) as theirs:
                pass
            raise BrokerAway("no acknowledgement")
    async with store.other.sending(limit=5) as again:
        pass

    assert (len(mine.records), mine.busy) == (1, False)
    assert (len(theirs.records), theirs.busy) == (0, True)
    assert len(again.records) == 2


@pytest.mark.requirement("unreadable-dead-letter")
async def test_what_could_not_be_read_becomes_a_dead_letter_as_it_came(store: Store) -> None:
    claim = await _claim(store.checkpoints)
    dead_letters = [dead_letter(7), dead_letter(8)]
    await store.checkpoints.commit(claim, outcome(0, 9, raw=()), dead_letters=dead_letters)

    assert store.look.dead_letters() == dead_letters


@pytest.mark.parametrize("same_worker", [True, False], ids=["same-worker", "another-process"])
@pytest.mark.requirement("counted-once-on-replay")
async def test_a_batch_that_was_committed_is_refused_when_it_comes_again(
    store: Store, *, same_worker: bool
) -> None:
    batch = outcome(0, 2, cells=(cell(2),), seen=(seen(b"m"),))
    claim = await _claim(store.checkpoints)
    await store.checkpoints.commit(claim, batch)

    with pytest.raises(Fenced):
        await (store.checkpoints if same_worker else store.other).commit(claim, batch)
    known = await store.checkpoints.recall([session_key()])

    assert store.look.raw_ids() == ["event-0", "event-1"]
    assert known[session_key()].memories == (b"m",)


@pytest.mark.requirement("log-that-went-back")
async def test_a_claim_knows_the_mark_of_the_record_before_it(store: Store) -> None:
    claim = await _claim(store.checkpoints)
    fresh = claim.mark
    await store.checkpoints.commit(claim, structs.replace(outcome(0, 2), mark=77))
    await store.checkpoints.commit(claim, outcome(2, 2))

    assert fresh == 0
    assert (await _claim(store.other)).mark == 77


@pytest.mark.requirement("session-followed-once")
async def test_a_session_that_was_recalled_for_another_log_is_not_replaced_for_the_old_one(
    store: Store,
) -> None:
    old = await _claim(store.checkpoints)
    await store.checkpoints.recall([session_key()], claim=old)
    await store.checkpoints.commit(old, outcome(0, 1, sessions=(session(),)))
    new = await _claim(store.other, cluster="c2")

    await store.other.recall([session_key()], claim=new)
    with pytest.raises(StoreAway):
        await store.checkpoints.commit(
            old, outcome(1, 2, sessions=(session(),), seen=(seen(b"x"),))
        )
    await store.other.commit(new, outcome(0, 1, sessions=(session(),)))
    again = await _claim(store.checkpoints)
    await store.checkpoints.recall([session_key()], claim=again)
    await store.checkpoints.commit(again, outcome(1, 2, sessions=(session(),)))

    assert again.next_offset == 1
    known = await store.checkpoints.recall([session_key()])
    assert b"".join(known[session_key()].memories) == b""


@pytest.mark.requirement("session-followed-once")
async def test_of_two_that_find_a_session_new_one_has_it(store: Store) -> None:
    one = await _claim(store.checkpoints)
    other = await _claim(store.other, cluster="c2")
    assert await store.checkpoints.recall([session_key()], claim=one) == {}
    assert await store.other.recall([session_key()], claim=other) == {}

    await store.checkpoints.commit(one, outcome(0, 1, sessions=(session(),)))
    with pytest.raises(StoreAway):
        await store.other.commit(other, outcome(0, 1, sessions=(session(),)))

    assert (await _claim(store.other, cluster="c2")).next_offset == 0
