"""Worker, gateway, broker and store killed under load; workers that come, go and sleep."""

from pathlib import Path
from typing import Final

import pytest

from tests.support.faults_parts import Shape
from tests.support.faults_run import run
from tests.support.faults_schedule import KILLS, MEMBERS, Kind, schedule

BROKER: Final = (Kind.RESTART_BROKER, Kind.PAUSE_BROKER)


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

    assert report.wrong == ()
    assert (report.found.lost, report.found.doubled, report.found.windows_wrong) == (0, 0, 0)
    assert report.is_whole
    assert report.repeated > 0
    assert len(report.faults) == kills


@pytest.mark.kafka
@pytest.mark.usefixtures("jars")
@pytest.mark.requirement("streams-kills")
@pytest.mark.requirement("fenced-worker-writes-nothing")
async def test_workers_that_join_leave_sleep_and_die_count_everything_once(
    tmp_path: Path, seed: int, kills: int
) -> None:
    kinds = MEMBERS if kills == len(MEMBERS) else (*MEMBERS, *KILLS[1:], *BROKER)
    faults = schedule(seed, kinds, faults=kills)

    report = await run(tmp_path, faults, name="members", seed=seed, shape=Shape(workers=3))

    assert report.wrong == ()
    assert (report.found.lost, report.found.doubled, report.found.windows_wrong) == (0, 0, 0)
    assert report.is_whole
    assert len(report.faults) == kills


@pytest.mark.kafka
@pytest.mark.usefixtures("jars")
@pytest.mark.requirement("streams-kills")
async def test_workers_of_fausts_own_command_that_are_killed_count_everything_once(
    tmp_path: Path, seed: int, kills: int
) -> None:
    kinds = (Kind.KILL_WORKER, Kind.KILL_BROKER, Kind.ADD_WORKER, Kind.REMOVE_WORKER)
    faults = schedule(seed, kinds, faults=kills)
    shape = Shape(workers=2, worker=("faust", "-A", "apps.worker", "worker", "-l", "warn"))

    report = await run(tmp_path, faults, name="faust", seed=seed, shape=shape)

    assert report.wrong == ()
    assert (report.found.lost, report.found.doubled, report.found.windows_wrong) == (0, 0, 0)
    assert report.is_whole
    assert len(report.faults) == kills


@pytest.mark.kafka
@pytest.mark.usefixtures("jars")
@pytest.mark.requirement("acknowledged-kept")
@pytest.mark.requirement("refused-may-be-resent")
async def test_a_broker_that_restarts_or_sleeps_costs_nothing_that_it_acknowledged(
    tmp_path: Path, seed: int
) -> None:
    faults = schedule(seed, BROKER, faults=len(BROKER))

    report = await run(tmp_path, faults, name="broker", seed=seed)

    assert report.wrong == ()
    assert (report.found.lost, report.found.doubled, report.found.windows_wrong) == (0, 0, 0)
    assert report.is_whole
