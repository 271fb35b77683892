"""Runs one engine: `python -m tests.bench.engines NAME TASK RESULT`.

It has one core, always the same, where the system lets a process say so: then figures do not depend
on how threads are spread, and broker and database have the others.
"""

import importlib
import os
import sys
from pathlib import Path

import msgspec

from apps.runtime import garbage_collection
from tests.bench.engines.task import Meter, Task


def main(name: str, task_path: str, result_path: str) -> None:
    """Run an engine as the task says, and write what it measured."""
    engine = importlib.import_module(f"tests.bench.engines.{name}")
    task = msgspec.json.decode(Path(task_path).read_bytes(), type=Task)
    meter = Meter(task)
    garbage_collection.seldom()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    windows = engine.run(task, meter)
    measured = msgspec.structs.replace(
        meter.measured(windows), about=engine.ABOUT, durability=engine.DURABILITY
    )
    Path(result_path).write_bytes(msgspec.msgpack.encode(measured))


if __name__ == "__main__":
    main(*sys.argv[1:])
