"""What an import says, dry or not, is what the store counts of it, of every agent's history."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from msgspec import structs

from analytics.contracts import events
from analytics.contracts.ids import DEFAULT_TENANT
from analytics.measures.rows import Measures
from apps.transcripts import files, importer, sender
from gateway.kafka.publisher import Receipt, Status
from gateway.transcripts.totals import Totals, combined
from tests.support.facts import arrivals
from tests.support.folding import PRICES, fold_all
from tests.support.ingest import DATA, NOW_MS

HISTORIES = ("transcripts", "rollouts", "chats", "opencode")


def _taken_in(folder: Path, *, until: int | None = None) -> tuple[Totals, Measures]:
    """Return what the import says, and what the core counts of the events that it sends."""
    sent: list[events.Event] = []

    def post(batch: Sequence[bytes]) -> list[Receipt]:
        sent.extend(events.decode(payload) for payload in batch)
        return [Receipt(id=one.id, status=Status.ACCEPTED) for one in sent[-len(batch) :]]

    readers = importer.readers(
        tenant=DEFAULT_TENANT, now_ms=NOW_MS, prices=PRICES, keep_content=False
    )
    outbox = sender.Outbox(post)
    watch = importer.ImportListener(lambda _: None, lambda: False)
    importer.take_in(files.found([folder]).transcripts, readers, outbox, watch)
    rows = fold_all([arrivals(sent, received_ms=NOW_MS)], now_ms=NOW_MS).sessions.values()
    told = [structs.astuple(row.totals) for row in rows]
    return (
        combined([one.totals for one in readers.values()]),
        Measures(*(sum(column) for column in zip(*told, strict=True))),
    )


def _said(totals: Totals) -> Iterator[tuple[str, int]]:
    spent = totals.spent
    yield "sessions", totals.sessions
    yield "prompts", totals.prompts
    yield "tool_calls", totals.tool_calls
    yield "tool_refusals", totals.tool_refusals
    yield "calls", totals.requests + totals.failures
    yield "call_errors", totals.failures
    yield "input_tokens", spent.input_tokens
    yield "output_tokens", spent.output_tokens
    yield "cache_read_tokens", spent.cache_read_tokens
    yield "cache_write_tokens", spent.cache_write_tokens
    yield "cost_nanousd", spent.reported_nanousd + spent.estimated_nanousd
    yield "unpriced_calls", spent.unpriced
    yield "unpriced_tokens", spent.unpriced_tokens


@pytest.mark.requirement("import-idempotent")
@pytest.mark.parametrize("name", HISTORIES)
def test_the_store_counts_what_the_import_says(name: str) -> None:
    totals, counted = _taken_in(DATA / name)

    said = dict(_said(totals))

    assert said["sessions"] > 0
    assert {measure: getattr(counted, measure) for measure in said} == said
