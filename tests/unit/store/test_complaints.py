"""What is wrong with a store is said in a sentence that says what to do, and nothing else is."""

import msgspec
import pytest

from streams.maintenance import complaints
from streams.maintenance.facts import JobFacts, RollupFacts, StoreFacts
from streams.maintenance.sizes import TableFacts
from streams.store.levels import Level

NOW_MS = 1_800_000_000_000
MINUTE_MS = 60_000
DAY_MS = 86_400_000

JOB = JobFacts(
    name="retention", runner="worker", started_ms=NOW_MS - 5, finished_ms=NOW_MS - 1,
    due_ms=NOW_MS + 3_600_000, error="", runs=9, failures=0,
)  # fmt: skip
TABLE = TableFacts(name="events", size_bytes=1, rows_about=1, parts=3)
WELL = StoreFacts(
    at_ms=NOW_MS, level=Level.TIMESCALEDB_COMMUNITY, server_version="17.6",
    timescaledb_version="2.23.0", schema="6 upkeep", size_bytes=10, tables=(TABLE,), jobs=(JOB,),
    rollup=RollupFacts(due=3, lag_ms=9_000, oldest_ms=NOW_MS), outbox=4, parcels=2,
    background_workers=16,
)  # fmt: skip


def _with(**changes: object) -> tuple[str, ...]:
    return complaints.of(msgspec.structs.replace(WELL, **changes))


def test_a_store_that_is_well_has_nothing_said_of_it() -> None:
    assert complaints.of(WELL) == ()


@pytest.mark.parametrize(
    ("changes", "said", "advice"),
    [
        ({"error": "disk full", "failures": 1}, "'retention' failed (disk full)", "put that right"),
        ({"due_ms": NOW_MS - 11 * MINUTE_MS}, "11 min overdue", "start a worker"),
        (
            {"due_ms": NOW_MS - 11 * MINUTE_MS, "runner": "timescaledb"},
            "11 min overdue",
            "background workers",
        ),
    ],
)
def test_a_job_that_fails_or_does_not_run_is_named(
    changes: dict[str, object], said: str, advice: str
) -> None:
    (sentence,) = _with(jobs=(msgspec.structs.replace(JOB, **changes),))

    assert said in sentence
    assert advice in sentence


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"retention_lag_ms": 3 * DAY_MS}, "'events' keeps rows 3 days beyond"),
        ({"rowwise_late": 5}, "5 chunks of 'events'"),
    ],
)
def test_a_table_that_upkeep_forgot_is_named(changes: dict[str, object], said: str) -> None:
    (sentence,) = _with(tables=(msgspec.structs.replace(TABLE, **changes),))

    assert said in sentence


def test_rollups_that_wait_for_long_and_a_full_outbox_are_said() -> None:
    waiting = RollupFacts(due=7, lag_ms=20 * MINUTE_MS, oldest_ms=NOW_MS)

    rollups, outbox = _with(rollup=waiting, outbox=20_000)

    assert "20 min behind" in rollups
    assert "20000 results wait" in outbox


def test_too_few_background_workers_for_the_policies_are_said_unless_unknown() -> None:
    policies = tuple(
        msgspec.structs.replace(JOB, name=f"refresh {n}", runner="timescaledb") for n in range(15)
    )

    (sentence,) = _with(jobs=policies)

    assert "timescaledb.max_background_workers to 17" in sentence
    assert _with(jobs=policies, background_workers=0) == ()
