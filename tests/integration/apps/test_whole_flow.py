"""From what senders have to what the store says, through every process, told twice."""

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

import httpx
import pytest

from gateway.otlp.intake import OtlpSignal
from streams.clients.reader import Reader
from tests.support.ingest import DATA, as_protobuf
from tests.support.transcripts import FILES, FOLDER, Naive
from tests.support.up import Up, started, wait_until

pytestmark = pytest.mark.embedded

EXAMPLES = {
    "events.json": OtlpSignal.LOGS,
    "logs.json": OtlpSignal.LOGS,
    "metrics.json": OtlpSignal.METRICS,
    "trace.json": OtlpSignal.TRACES,
}
EVENTS = 9
"""Seven records, of which each histogram is two values: its sum and its count."""

_TOTALS = """
select count(*), sum(input_tokens), sum(output_tokens), sum(cache_read_tokens),
       sum(cache_write_tokens), sum(calls)
  from sessions where tenant = 'local'
"""
_WINDOWS = """
select coalesce(sum(input_tokens), 0), coalesce(sum(output_tokens), 0),
       coalesce(sum(cache_read_tokens), 0), coalesce(sum(cache_write_tokens), 0),
       coalesce(sum(calls), 0)
  from (select * from window_1m union all select * from window_1d) w join series using (series_id)
 where tenant = 'local' and grain = 'fleet'
"""
"""An event has a row of a minute or, once too old for that, rows apart up to that of a day."""

FOR_EVER: Final = {"MAINSTEM_STREAMS_SESSIONS_DAYS": "36500"}
"""The transcripts are of some day in 2025; a session is forgotten a year after it ended."""


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Up]:
    with started(tmp_path, "--no-import") as running:
        yield running


def _rows(up: Up, query: str) -> list[tuple[object, ...]]:
    with closing(Reader(up.state.store_url)) as reader, reader.connection("a test") as db:
        return list(db.execute(query.encode()).fetchall())


def _imported(up: Up) -> dict[str, object]:
    done = up.run("import", str(FOLDER), "--json")
    assert done.returncode == 0, done.stderr
    told: dict[str, object] = json.loads(done.stdout)
    return told


@pytest.mark.requirement("import-idempotent")
@pytest.mark.requirement("counted-once-by-id")
def test_transcripts_imported_twice_give_the_totals_of_once_over_a_restart_too(
    tmp_path: Path,
) -> None:
    naive = Naive(FILES)
    tokens = tuple(
        naive.tokens(name)
        for name in (
            "input_tokens", "output_tokens", "cache_read_input_tokens",
            "cache_creation_input_tokens",
        )
    )  # fmt: skip
    expected = [(len(naive.sessions), *tokens, len(naive.usage))]
    held, windowed = [], []

    for _ in range(2):  # the second `up` has a new broker, whose gateway remembers nothing
        with started(tmp_path, "--no-import", **FOR_EVER) as up:
            for _ in range(2):
                _imported(up)
            up.run("down")
            assert up.process.wait(60) == 0
        with started(tmp_path, "--no-import", **FOR_EVER) as up:
            held.append(_rows(up, _TOTALS))
            windowed.append(_rows(up, _WINDOWS))

    assert held == [expected, expected]
    assert windowed == [[expected[0][1:]], [expected[0][1:]]]


@pytest.mark.requirement("otlp-lands")
def test_every_published_example_lands_once_though_it_is_sent_in_both_encodings(up: Up) -> None:
    token = up.home.token.read_text().strip()
    answered = []
    for name, signal in EXAMPLES.items():
        body = (DATA / "otlp" / name).read_bytes()
        for kind, content in (
            ("application/json", body),
            ("application/x-protobuf", as_protobuf(signal, json.loads(body))),
        ):
            answer = httpx.post(
                f"{up.state.gateway_url}/v1/{signal}",
                content=content,
                headers={"Authorization": f"Bearer {token}", "Content-Type": kind},
                timeout=30,
            )
            answered.append((answer.status_code, answer.headers["content-type"]))
    counted = "select count(*), count(distinct id) from events where tenant = 'local'"

    wait_until(lambda: _rows(up, counted)[0][0] == EVENTS)

    assert answered == [(200, "application/json"), (200, "application/x-protobuf")] * len(EXAMPLES)
    assert _rows(up, counted) == [(EVENTS, EVENTS)]
