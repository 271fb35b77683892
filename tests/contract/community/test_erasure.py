"""An erasure reaches into the columnstore and into what continuous aggregates hold."""

import time
from typing import Final

import psycopg
import pytest

from streams.maintenance import continuous_aggregates, erasure, jobs, rollups
from streams.maintenance.erasure import Subject
from streams.maintenance.retention import Retention
from streams.store import levels
from streams.store.tombstones import ErasureKind
from tests.support import minutes

pytestmark = [pytest.mark.timescaledb, pytest.mark.requirement("erasure")]

DAY_MS: Final = 86_400_000
SESSION: Final = "a-session-to-be-erased"
ROLLUPS: Final = ("rollup_5m", "rollup_1h", "rollup_1d")
_EVENT: Final = """
insert into events
select to_timestamp(%s / 1000.0), to_timestamp(%s / 1000.0), 'local', %s, 'e', 'turn.finished',
       'otel', '', '', '', '', '', null, null, false, 1, 0, 0, '{}'
"""


def _sums(url: str, *, mine: bool) -> dict[str, list[tuple[object, ...]]]:
    sign = "=" if mine else "<>"
    with psycopg.connect(url, options="-c timezone=UTC") as db:
        return {
            table: db.execute(
                f"select start_at, series_id, events, latency from {table}"
                f" where series_id {sign} 1 order by 1, 2".encode()
            ).fetchall()
            for table in ("window_1m", *ROLLUPS)
        }


def _fill(url: str) -> int:
    """Put minutes of 50 and 20 days ago, roll them up, drop the old ones and convert the rest."""
    now_ms = time.time_ns() // 1_000_000
    today_ms = now_ms // DAY_MS * DAY_MS
    with psycopg.connect(url, autocommit=True, options="-c timezone=UTC") as db:
        for days in (50, 20):
            minutes.put(db, [today_ms - days * DAY_MS + n * 60_000 for n in (1, 2, 9)], seed=days)
        db.execute(
            "update series set grain = 'session', session_id = %s where series_id = 1", [SESSION]
        )
        for later_ms in (0, 600_000, 3 * 3_600_000):
            rollups.run(db, levels.detect(db), now_ms=now_ms + later_ms)
    jobs.run_due_now(url, Retention(), now_ms=now_ms)
    with psycopg.connect(url, autocommit=True) as db:
        for name in (SESSION, "another"):
            db.execute(_EVENT, [today_ms - 3 * DAY_MS, today_ms - 3 * DAY_MS, name])
        for table in ("events", "window_1m"):
            db.execute(
                "select compress_chunk(c, if_not_compressed => true) from show_chunks(%s) c",
                [table],
            )
    return today_ms


def test_rows_in_the_columnstore_and_in_aggregates_go_and_others_stay(community_url: str) -> None:
    today_ms = _fill(community_url)
    before = _sums(community_url, mine=False)
    assert all(_sums(community_url, mine=True).values())
    subject = Subject(tenant="local", kind=ErasureKind.SESSION, name=SESSION)

    first = erasure.erase(community_url, subject, asked_by="the officer")
    second = erasure.erase(community_url, subject, asked_by="the officer")
    with psycopg.connect(community_url, autocommit=True) as db:
        recent = (today_ms - 21 * DAY_MS, today_ms)
        for table in ROLLUPS:
            continuous_aggregates.refresh(db, table, [recent])
        left = db.execute("select session_id from events").fetchall()

    assert first.removed["events"] == 1
    assert first.removed["window_1m"] == 3
    assert first.removed["rollups"] >= 6
    assert second.removed == {}
    assert left == [("another",)]
    assert not any(_sums(community_url, mine=True).values())
    assert _sums(community_url, mine=False) == before
