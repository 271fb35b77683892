"""What a second stage keeps between its commits, on every store."""

import msgspec
import pytest

from analytics.contracts.errors import Fenced
from analytics.measures.rows import BatchOutcome, KeptRow
from streams.store.checkpoint import Checkpoint, CheckpointStore
from tests.support.facts import T0_MS
from tests.support.outcomes import Store, outcome

TOPIC = "mainstem.partials.v1"
FIRST, SECOND, THIRD = (
    KeptRow(offset, T0_MS + 10_000 * offset, b"parcel %d" % offset) for offset in (1, 2, 3)
)


async def _claim(checkpoints: CheckpointStore, *, partition: int = 0) -> Checkpoint:
    return await checkpoints.claim(cluster_id="c1", topic=TOPIC, partition=partition)


def _merged(
    first: int, end: int, *kept: KeptRow, released_ms: int = 0, state: bytes = b"known"
) -> BatchOutcome:
    plain = msgspec.structs.replace(outcome(first, end), raw=())
    return msgspec.structs.replace(plain, kept=kept, released_ms=released_ms, state=state)


async def test_a_first_stage_keeps_nothing(store: Store) -> None:
    claim = await _claim(store.checkpoints)
    await store.checkpoints.commit(claim, outcome(0, 1))

    again = await _claim(store.checkpoints)

    assert (again.kept, again.state) == ((), b"")


@pytest.mark.requirement("counted-once-on-replay")
async def test_a_claim_gives_back_what_was_kept_in_order_and_what_was_known(store: Store) -> None:
    claim = await _claim(store.checkpoints)
    await store.checkpoints.commit(claim, _merged(0, 2, FIRST, state=b"one"))
    await store.checkpoints.commit(claim, _merged(2, 4, SECOND, THIRD, state=b"two"))

    again = await _claim(store.other)

    assert again.kept == (FIRST.payload, SECOND.payload, THIRD.payload)
    assert (again.state, again.next_offset) == (b"two", 4)


async def test_what_is_let_go_is_not_given_back(store: Store) -> None:
    claim = await _claim(store.checkpoints)
    await store.checkpoints.commit(claim, _merged(0, 4, FIRST, SECOND, THIRD))

    await store.checkpoints.commit(claim, _merged(4, 5, released_ms=SECOND.until_ms))

    assert (await _claim(store.checkpoints)).kept == (THIRD.payload,)


async def test_each_partition_keeps_its_own(store: Store) -> None:
    one, other = await _claim(store.checkpoints), await _claim(store.checkpoints, partition=1)
    await store.checkpoints.commit(one, _merged(0, 2, FIRST))
    await store.checkpoints.commit(other, _merged(0, 2, SECOND, released_ms=FIRST.until_ms))

    assert (await _claim(store.checkpoints)).kept == (FIRST.payload,)
    assert (await _claim(store.checkpoints, partition=1)).kept == (SECOND.payload,)


@pytest.mark.requirement("fenced-worker-writes-nothing")
async def test_a_fenced_second_stage_keeps_and_lets_go_nothing(store: Store) -> None:
    fenced = await _claim(store.checkpoints)
    await store.checkpoints.commit(fenced, _merged(0, 2, FIRST, state=b"one"))
    await _claim(store.other)

    with pytest.raises(Fenced):
        await store.checkpoints.commit(
            fenced, _merged(2, 3, SECOND, released_ms=THIRD.until_ms, state=b"two")
        )

    again = await _claim(store.other)
    assert (again.kept, again.state) == ((FIRST.payload,), b"one")
