"""No pattern from outside holds up the place that takes it: linear time, or a refusal."""

import subprocess
import sys
from typing import Final

from tests.support import hostile

DEADLINE_S: Final = 60
"""For some hundred questions of milliseconds each, on a busy machine."""


def test_every_place_answers_or_refuses_every_hostile_pattern() -> None:
    command = [sys.executable, "-m", "tests.support.hostile"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=True)

    lines = done.stdout.splitlines()
    assert len(lines) == len(hostile.PLACES) * len(hostile.PATTERNS)
    assert sum(" answered " in line for line in lines) > len(lines) / 2
