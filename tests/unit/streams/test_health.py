"""A worker lives by its offsets, and says so over HTTP."""

import asyncio
import json

import pytest
from faust.types import TP

from analytics.contracts.errors import BadSetting
from streams.consumer.health import ProgressMonitor, serving

ONE, TWO = TP("health-test", 0), TP("health-test", 1)


async def _ask(port: int, path: str, *, method: str = "GET") -> tuple[int, bytes]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"{method} {path} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
    async with asyncio.timeout(5):
        answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), body


def test_lag_without_progress_ages_and_ends_in_a_stall() -> None:
    progress = ProgressMonitor(stalled_ms=1_000)

    progress.seen({ONE: 5, TWO: 9}, {ONE: 10, TWO: 9}, now_ms=0)
    progress.seen({ONE: 5, TWO: 9}, {ONE: 12, TWO: 9}, now_ms=999)
    assert (progress.lag, progress.stalled) == (7, False)
    progress.seen({ONE: 5, TWO: 9}, {ONE: 12, TWO: 9}, now_ms=1_000)

    assert progress.stalled
    assert progress.standing().live
    progress.seen({ONE: 5, TWO: 9}, {ONE: 12, TWO: 9}, now_ms=2_000)
    assert not progress.standing().live


def test_one_partition_that_is_stuck_is_a_stall_though_the_others_go_on() -> None:
    progress = ProgressMonitor(stalled_ms=1_000)
    three = TP("health-test", 2)

    for second in range(4):
        reached = {ONE: 10 + second, TWO: 5, three: 7}
        progress.seen(reached, {ONE: 90, TWO: 6, three: 7}, now_ms=second * 400)

    assert progress.stalled
    progress.seen({ONE: 20, TWO: 6, three: 7}, {ONE: 90, TWO: 8, three: 7}, now_ms=1_600)
    assert not progress.stalled


def test_any_progress_and_the_end_of_lag_make_it_young_again() -> None:
    progress = ProgressMonitor(stalled_ms=1_000)
    progress.seen({ONE: 5}, {ONE: 10}, now_ms=0)

    progress.seen({ONE: 6}, {ONE: 10}, now_ms=5_000)
    assert not progress.stalled
    progress.seen({ONE: 10}, {ONE: 10}, now_ms=50_000)
    progress.seen({ONE: 10}, {ONE: 11}, now_ms=90_000)

    assert progress.standing().progress_age_ms == 40_000 or not progress.stalled


def test_a_worker_that_waits_for_the_store_lives_but_is_not_ready() -> None:
    progress = ProgressMonitor(stalled_ms=1_000)
    progress.joined = True
    progress.seen({ONE: 5}, {ONE: 10}, now_ms=0)
    progress.waits("store", "connection refused")
    progress.seen({ONE: 5}, {ONE: 10}, now_ms=60_000)

    standing = progress.standing()

    assert (standing.live, standing.ready, progress.stalled) == (True, False, False)
    assert standing.waiting == "store: connection refused"
    progress.waits("store", "")
    assert progress.standing().ready


async def test_health_and_metrics_answer_over_http() -> None:
    progress = ProgressMonitor(stalled_ms=1_000)

    async with serving(progress, host="127.0.0.1", port=0) as port:
        starting = await _ask(port, "/health/ready")
        progress.joined = True
        ready = await _ask(port, "/health/ready?verbose=1")
        live = await _ask(port, "/health/live")
        metrics = await _ask(port, "/metrics")
        unknown = await _ask(port, "/favicon.ico")
        posted = await _ask(port, "/metrics", method="POST")

    assert starting[0] == 503
    assert (ready[0], json.loads(ready[1])["ready"]) == (200, True)
    assert live[0] == 200
    assert b"streams_commit_seconds" in metrics[1]
    assert (unknown[0], posted[0]) == (404, 405)


async def test_a_port_that_is_taken_is_said_in_a_sentence() -> None:
    progress = ProgressMonitor(stalled_ms=1_000)

    async with serving(progress, host="127.0.0.1", port=0) as port:
        with pytest.raises(BadSetting, match=f"cannot listen on 127.0.0.1:{port}"):
            async with serving(progress, host="127.0.0.1", port=port):
                pass
