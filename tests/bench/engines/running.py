"""One run of one engine, in a process of its own."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

import msgspec

from tests.bench.engines.task import Measured, Task
from tests.support.stack import ROOT

RUN_S: Final = 600.0
"""A slow engine takes two minutes on a machine of its own."""
SAID_SHOWN: Final = 2_000
"""Characters of a failed engine's output that are shown."""


def ran(engine: str, task: Task) -> Measured:
    """Run an engine as the task says, and return what it measured."""
    with tempfile.TemporaryDirectory(prefix="bench-engine-") as folder:
        told = msgspec.structs.replace(
            task, name=f"{engine}-{time.time_ns()}", folder=str(Path(folder, "state"))
        )
        task_path, result_path = Path(folder, "task.json"), Path(folder, "result")
        task_path.write_bytes(msgspec.json.encode(told))
        files = [str(task_path), str(result_path)]
        with Path(folder, "said").open("wb") as said:
            done = subprocess.run(
                [sys.executable, "-m", "tests.bench.engines", engine, *files],
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                stdout=said,
                stderr=subprocess.STDOUT,
                timeout=RUN_S,
                check=False,
            )
        if done.returncode:
            tail = Path(folder, "said").read_text(errors="replace")[-SAID_SHOWN:]
            raise RuntimeError(f"the engine {engine!r} ended with {done.returncode}: {tail}")
        return msgspec.msgpack.decode(result_path.read_bytes(), type=Measured)
