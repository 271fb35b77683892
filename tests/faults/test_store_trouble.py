"""A store that is slow, stalls, resets, hears nothing of a worker's end, or has no room left."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.faults_disk import CannotMount, Disk, small_disk
from tests.support.faults_parts import Shape
from tests.support.faults_run import run
from tests.support.faults_schedule import STORE_TROUBLE, Kind, schedule


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """Mount a small disk; where that is not allowed, skip, but as root in CI it must be."""
    try:
        with small_disk(tmp_path / "disk") as mounted:
            yield mounted
    except CannotMount as error:
        if os.environ.get("CI") and os.geteuid() == 0:
            pytest.fail(f"{error} (required for root where CI is set)")
        pytest.skip(f"{error}; this runs as root, where a file system may be mounted")


@pytest.mark.embedded
@pytest.mark.requirement("counted-once-on-replay")
@pytest.mark.requirement("limits-have-names")
async def test_a_worker_gets_over_every_trouble_with_its_store_without_a_restart(
    tmp_path: Path, seed: int
) -> None:
    faults = schedule(seed, STORE_TROUBLE, faults=len(STORE_TROUBLE))

    report = await run(tmp_path, faults, name="store trouble", seed=seed, shape=Shape(kafka=False))

    assert report.wrong == ()
    assert report.is_whole
    assert report.starts == {"broker": 1, "gateway": 1, "worker1": 1}


@pytest.mark.embedded
@pytest.mark.requirement("acknowledged-kept")
async def test_a_full_disk_is_waited_out_and_nothing_is_lost(
    tmp_path: Path, disk: Disk, seed: int
) -> None:
    faults = schedule(seed, [Kind.FILL_DISK], faults=1)

    report = await run(
        tmp_path, faults, name="full disk", seed=seed, shape=Shape(kafka=False, disk=disk)
    )

    assert report.wrong == ()
    assert report.is_whole
    assert report.starts == {"broker": 1, "gateway": 1, "worker1": 1}
