"""What storing costs beside a bare COPY, and what reading takes after months of storing.

Writing: batches of real outcomes through the worker's own commit, in turn with a COPY of their raw
rows alone, on plain PostgreSQL (embedded, as `mainstem up` runs it: it waits for the disk) and on
TimescaleDB's Apache edition where that can be started. Reading: every query of the dashboard on
plain PostgreSQL with ten million raw events, ninety days of rollups and a hundred thousand
sessions; that server does not wait for the disk, which reading does not do either.

`MAINSTEM_BENCH_SHARE` (such as 0.1) makes the raw events fewer.
"""

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from apps.bench.report import BenchReport, Figure, report
from apps.local import database
from streams.store import schema
from tests.bench import store_reading, store_writing
from tests.bench.store_filling import fill
from tests.bench.store_writing import Shape
from tests.support.database import fresh
from tests.support.timescaledb import NoServer, started_timescaledb

REQUIREMENTS = ("store-write-rate",)
EVENTS: Final = int(10_000_000 * float(os.environ.get("MAINSTEM_BENCH_SHARE", "1")))
SHAPES: Final = (
    Shape(name="1,000 events of 20 sessions", events=1_000, sessions=20, rate=2_000, batches=24,
          is_goal=True),
    Shape(name="5,000 events of 200 sessions", events=5_000, sessions=200, rate=10_000, batches=6,
          is_goal=True),
    Shape(name="1,000 events of 200 sessions", events=1_000, sessions=200, rate=10_000, batches=16),
    Shape(name="1,000 events of 20 sessions at one a second each", events=1_000, sessions=20,
          rate=20, batches=16),
)  # fmt: skip
"""The goal is for what a worker is handed at a lag: batches that are large for their sessions.

The others say what it costs where there are nearly as many windows in a batch as events.
"""
PLAIN: Final = "PostgreSQL"
APACHE: Final = "TimescaleDB"


def run() -> BenchReport:
    """Measure writing on both, then reading."""
    figures: list[Figure] = []
    with _server(durable=True) as server_url:
        figures += _writing(server_url, SHAPES, of=PLAIN)
    try:
        with started_timescaledb() as server_url:
            figures += _writing(server_url, SHAPES[:1], of=APACHE)
    except NoServer as error:
        figures.append(Figure(name=APACHE, value=0, unit="servers", note=str(error)))
    figures += _reading()
    about = "Rows through a commit beside bare COPY of the same raw rows, and what queries take."
    return report("store", about, figures=tuple(figures))


def _writing(server_url: str, shapes: tuple[Shape, ...], *, of: str) -> Iterator[Figure]:
    for shape in shapes:
        for url in fresh(server_url):
            schema.migrate(url)
            yield from store_writing.figures(url, shape, of=of)


def _reading() -> Iterator[Figure]:
    with _server(durable=False) as server_url:
        for url in fresh(server_url):
            schema.migrate(url)
            began = time.monotonic()
            filled = fill(url, events=EVENTS, now_ms=time.time_ns() // 1_000_000)
            yield Figure(
                name="raw events read from",
                value=filled.events,
                unit="rows",
                note=f"{filled.window_rows:,} windows, {filled.rollup_rows:,} rolled up; "
                f"made in {time.monotonic() - began:.0f} s",
            )
            yield from store_reading.figures(url, filled, of=PLAIN)


@contextmanager
def _server(*, durable: bool) -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="mainstem-bench-") as folder:
        home = Path(folder)
        home.chmod(0o755)
        yield database.start(home / "store", durable=durable).url
        database.stop(home / "store")
