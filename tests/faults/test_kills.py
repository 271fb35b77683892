"""Worker, gateway, broker and store killed under load; workers that come, go and sleep."""

from pathlib import Path
from typing import Final

import pytest

from tests.support.faults_parts import Shape
from tests.support.faults_run import SESSION, run
from tests.support.faults_schedule import KILLS, Kind, schedule

MEMBERS: Final = (
    Kind.ADD_WORKER, Kind.PAUSE_WORKER, Kind.REMOVE_WORKER, Kind.KILL_WORKER,
)  # fmt: skip
"""What changes who holds which partitions."""


@pytest.mark.kafka
@pytest.mark.usefixtures("jars")
@pytest.mark.requirement("streams-kills")
@pytest.mark.requirement("acknowledged-kept")
@pytest.mark.requirement("refused-may-be-resent")
@pytest.mark.requirement("counted-once-by-id")
@pytest.mark.requirement("counted-once-on-replay")
async def test_whatever_is_killed_under_load_what_was_acknowledged_counts_once(
    tmp_path: Path, seed: int, kills: int
) -> None:
    faults = schedule(seed, KILLS, faults=kills)

    report = await run(tmp_path, faults, name="kills", seed=seed)

    assert report.found.wrong == ()
    assert (report.found.lost, report.found.doubled, report.found.windows_wrong) == (0, 0, 0)
    assert report.found.acknowledged > 0
    assert report.repeated > 0
    assert len(report.faults) == kills


@pytest.mark.kafka
@pytest.mark.usefixtures("jars")
@pytest.mark.requirement("streams-kills")
@pytest.mark.requirement("fenced-worker-writes-nothing")
async def test_workers_that_join_leave_sleep_and_die_count_everything_once(
    tmp_path: Path, seed: int, kills: int
) -> None:
    faults = schedule(seed, (*MEMBERS, *KILLS[1:]) if kills > 4 else MEMBERS, faults=kills)

    report = await run(
        tmp_path, faults, name="members", seed=seed, shape=Shape(workers=3, settings=SESSION)
    )

    assert report.found.wrong == ()
    assert (report.found.lost, report.found.doubled, report.found.windows_wrong) == (0, 0, 0)
    assert report.found.acknowledged > 0
    assert len(report.faults) == kills
