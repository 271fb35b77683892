"""A store that is wrong in any way that its contract rules out is caught by the crash test."""

from pathlib import Path

import pytest

from tests.support.faults_parts import Shape
from tests.support.faults_run import Report, run
from tests.support.faults_schedule import Kind, schedule


async def _run(
    folder: Path, broken: str, seed: int, *, kind: Kind, faults: int, workers: int = 1
) -> Report:
    return await run(
        folder,
        schedule(seed, [kind], faults=faults),
        name=f"{broken} checkpoints",
        seed=seed,
        derived=False,
        shape=Shape(
            kafka=workers > 1,
            workers=workers,
            worker=("tests.support.faults_worker", broken),
        ),
    )


@pytest.mark.embedded
async def test_an_offset_that_is_kept_before_its_rows_loses_events_and_is_caught(
    tmp_path: Path, seed: int
) -> None:
    report = await _run(tmp_path, "offset-first", seed, kind=Kind.KILL_WORKER, faults=2)

    assert report.found.lost > 0


@pytest.mark.embedded
async def test_rows_that_are_kept_before_their_offset_count_twice_and_are_caught(
    tmp_path: Path, seed: int
) -> None:
    report = await _run(tmp_path, "rows-first", seed, kind=Kind.KILL_WORKER, faults=2)

    assert report.found.doubled > 0
    assert report.found.windows_wrong > 0


@pytest.mark.embedded
async def test_a_partial_that_is_added_instead_of_replaced_is_caught(
    tmp_path: Path, seed: int
) -> None:
    report = await _run(tmp_path, "adding", seed, kind=Kind.KILL_WORKER, faults=1)

    assert (report.found.lost, report.found.doubled) == (0, 0)
    assert report.found.windows_wrong > 0


@pytest.mark.kafka
@pytest.mark.usefixtures("jars")
@pytest.mark.requirement("fenced-worker-writes-nothing")
async def test_a_worker_that_writes_after_its_partition_was_claimed_is_caught(
    tmp_path: Path, seed: int
) -> None:
    report = await _run(tmp_path, "unfenced", seed, kind=Kind.PAUSE_WORKER, faults=2, workers=2)

    assert report.found.doubled + report.found.windows_wrong > 0
