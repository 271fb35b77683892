"""A process that watches a store up to where event time is, and ends: one that can be killed."""

import sys
import threading

import psycopg

from analytics.monitoring.monitor import WatchRules
from streams.monitoring.stage import Stage, StageOptions
from tests.support.facts import T0_MS

RULES = StageOptions(watch=WatchRules(snapshot_minutes=30), lease_s=2)
LOOK_S = 0.05


def watched(url: str, *, reached_ms: int, rules: StageOptions = RULES) -> None:
    """Watch until every shard is at `reached_ms`."""
    stop = threading.Event()
    stage = Stage(url, rules, now_ms=lambda: reached_ms)
    running = threading.Thread(target=stage.run, args=[stop])
    running.start()
    with psycopg.connect(url, autocommit=True) as db:
        while at_ms(db) < reached_ms:
            stop.wait(LOOK_S)
    stop.set()
    running.join()


def at_ms(db: "psycopg.Connection[tuple[object, ...]]") -> int:
    """Return how far the shard is that is furthest behind."""
    row = db.execute("select min(at_ms) from watches").fetchone()
    assert row is not None
    return int(str(row[0]))


if __name__ == "__main__":
    watched(sys.argv[1], reached_ms=T0_MS + int(sys.argv[2]) * 60_000)
