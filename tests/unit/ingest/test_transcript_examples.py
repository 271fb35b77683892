"""Real transcripts, held against an independent count."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from analytics.contracts import events
from analytics.contracts.agent_events import AgentEvent, RequestFinished
from analytics.contracts.facts import Source
from analytics.contracts.ids import DEFAULT_TENANT
from gateway.transcripts.reader import TranscriptReader
from gateway.transcripts.totals import Totals
from tests.support.ingest import of_kind
from tests.support.transcripts import FILES, Naive

FAR_MS = 4_000_000_000_000


def imported(files: Sequence[Path], *, now_ms: int = FAR_MS) -> tuple[list[AgentEvent], Totals]:
    reader = TranscriptReader(tenant=DEFAULT_TENANT, now_ms=now_ms)
    made: list[AgentEvent] = []
    for file in files:
        reader.open(str(file), session_id=file.stem)
        with file.open("rb") as lines:
            for number, raw in enumerate(lines, start=1):
                made += reader.line(raw, number)
        made += reader.close()
    return [*made, *reader.finish()], reader.totals


@pytest.mark.requirement("import-idempotent")
@pytest.mark.parametrize(
    "files", [[file] for file in FILES] + [FILES], ids=lambda f: f"{len(f)}-{f[0].stem}"
)
def test_the_totals_are_those_of_a_naive_count(files: list[Path]) -> None:
    naive = Naive(files)

    made, totals = imported(files)

    spent = totals.spent
    assert totals.requests == len(naive.usage)
    assert totals.sessions == len(naive.sessions)
    calls = (totals.tool_calls, totals.tool_refusals, totals.tool_calls_open)
    assert sum(calls) == len(naive.tools)
    assert sum(totals.skipped.values()) == naive.bad
    assert spent.input_tokens == naive.tokens("input_tokens")
    assert spent.output_tokens == naive.tokens("output_tokens")
    assert spent.cache_read_tokens == naive.tokens("cache_read_input_tokens")
    assert spent.cache_write_tokens == naive.tokens("cache_creation_input_tokens")
    finished = of_kind(RequestFinished, made)
    assert sum(event.output_tokens for event in finished) == spent.output_tokens
    assert sum(event.input_tokens for event in finished) == spent.input_tokens


def test_the_five_transcripts_hold_what_they_hold() -> None:
    _, totals = imported(FILES)

    spent = totals.spent
    assert (totals.sessions, totals.prompts, totals.requests) == (5, 14, 18)
    assert (spent.input_tokens, spent.output_tokens) == (1_441, 1_158)
    assert (totals.tool_calls, totals.tool_calls_open) == (8, 1)


@pytest.mark.requirement("bad-input-answered")
def test_bad_lines_are_told_with_their_place_and_reason() -> None:
    (file,) = (file for file in FILES if file.stem == "ccl_edge_cases")

    _, totals = imported([file])

    assert totals.lines == 19
    assert [(bad.line, str(bad.reason)) for bad in totals.shown] == [
        (10, "no-content"),
        (11, "no-timestamp"),
        (13, "not-an-object"),
        (14, "no-type"),
        (15, "not-an-object"),
        (16, "not-an-object"),
        (18, "bad-content"),
    ]
    assert totals.uncounted == {"summary": 1}


@pytest.mark.requirement("import-idempotent")
def test_a_second_import_has_the_ids_of_the_first() -> None:
    first, _ = imported(FILES)
    again, _ = imported(FILES)

    ids = [event.id for event in first]
    assert [event.id for event in again] == ids
    assert len(set(ids)) == len(ids)


def test_every_event_passes_its_contract_and_says_where_it_is_from() -> None:
    made, _ = imported(FILES)

    for event in made:
        assert events.decode(events.encode(event)) == event
        assert event.source is Source.TRANSCRIPT
