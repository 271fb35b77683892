"""What the crash tests share: their seed, how many faults they meet, and Apache Kafka's jars.

`MAINSTEM_FAULTS_SEED=7` runs another schedule over another load, `MAINSTEM_FAULTS_KILLS=20` a
longer one (see CONTRIBUTING); a run prints both, and writes what it came to into
`artifacts/faults.json`.
"""

import os

import pytest

from analytics.contracts.errors import MissingPart
from apps.local import kafka
from apps.local.home import cache_folder


@pytest.fixture
def seed() -> int:
    """Return the seed of the schedule and of the load."""
    return int(os.environ.get("MAINSTEM_FAULTS_SEED", "1"))


@pytest.fixture
def kills() -> int:
    """Return how many faults a run of kills meets."""
    return int(os.environ.get("MAINSTEM_FAULTS_KILLS", "4"))


@pytest.fixture
def jars() -> None:
    """Have Apache Kafka's jars there, or skip; where CI is set they must be."""
    try:
        kafka.libraries(cache_folder())
    except MissingPart as error:
        if os.environ.get("CI"):
            pytest.fail(f"{error} (required where CI is set)")
        pytest.skip(f"{error}; this runs in CI and where those are installed")
