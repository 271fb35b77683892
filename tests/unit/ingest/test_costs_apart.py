"""What costs apart, from a transcript's lines to the session's totals: each at its own price."""

import json
from pathlib import Path
from typing import Any

import pytest

from analytics.contracts.agent_events import RequestFinished
from analytics.contracts.ids import DEFAULT_TENANT
from analytics.measures.fold import Arrival
from analytics.measures.rows import SessionRow
from apps.cli import main
from apps.runtime.prices import price_table
from apps.transcripts.importer import pricing
from gateway.transcripts.reader import TranscriptReader
from gateway.transcripts.totals import Spent
from tests.support.facts import arrivals, fact
from tests.support.folding import Kept, fold_batch, new_fold
from tests.support.ingest import NOW_MS

FAR_MS = 4_000_000_000_000
WRITTEN_1H = {
    "input_tokens": 2,
    "output_tokens": 100,
    "cache_creation_input_tokens": 30_000,
    "cache_creation": {"ephemeral_1h_input_tokens": 29_000, "ephemeral_5m_input_tokens": 1_000},
}
ADVISED = {
    "input_tokens": 100,
    "output_tokens": 50,
    "iterations": [
        {"type": "message", "input_tokens": 100, "output_tokens": 50},
        {
            "type": "advisor_message",
            "model": "claude-opus-5",
            "input_tokens": 70_000,
            "output_tokens": 600,
        },
    ],
}


def line(model: str, usage: dict[str, Any], *, uuid: str = "u1") -> bytes:
    told = {
        "type": "assistant",
        "uuid": uuid,
        "sessionId": "s-1",
        "requestId": "r-1",
        "timestamp": "2026-01-01T00:00:00Z",
        "message": {"id": "m-1", "model": model, "content": "x", "usage": usage},
    }
    return json.dumps(told).encode() + b"\n"


def read(*lines: bytes) -> tuple[list[RequestFinished], Spent]:
    table = price_table()
    reader = TranscriptReader(tenant=DEFAULT_TENANT, now_ms=FAR_MS, price=pricing(table))
    reader.open("a", session_id="s-1")
    for number, raw in enumerate(lines, start=1):
        reader.line(raw, number)
    answers = [event for event in reader.close() if isinstance(event, RequestFinished)]
    return answers, reader.totals.spent


def folded(answers: list[RequestFinished], *, times: int = 1) -> SessionRow:
    fold, kept = new_fold(prices=price_table()), Kept()
    batch: list[Arrival] = arrivals(answers * times, received_ms=NOW_MS)
    fold_batch(fold, kept, batch)
    [row] = kept.sessions.values()
    return row


@pytest.mark.parametrize(
    ("model", "usage", "tokens", "cost_nanousd"),
    [
        ("claude-opus-4-8", WRITTEN_1H, (2, 100), 10_000 + 2_500_000 + 6_250_000 + 290_000_000),
        ("claude-sonnet-5", ADVISED, (70_100, 650), 700_000 + 350_000_000 + 15_000_000),
        (
            "claude-opus-5",
            {"input_tokens": 1_000, "output_tokens": 10, "speed": "fast"},
            (1_000, 10),
            10_000_000 + 500_000,
        ),
        (
            "claude-sonnet-5",
            {"input_tokens": 1_000, "output_tokens": 10, "service_tier": "batch"},
            (1_000, 10),
            1_000_000 + 50_000,
        ),
        (
            "claude-sonnet-5",
            {
                "input_tokens": 1,
                "output_tokens": 1,
                "server_tool_use": {"web_search_requests": 2},
                "speed": "standard",
                "service_tier": "standard",
            },
            (1, 1),
            2_000 + 10_000 + 20_000_000,
        ),
        (
            "claude-sonnet-4-5-20250929-thinking",
            {"input_tokens": 1_000, "output_tokens": 100},
            (1_000, 100),
            4_500_000,
        ),
        ("claude-4-sonnet-20250514", {"input_tokens": 1_000}, (1_000, 0), 3_000_000),
        ("us.anthropic.claude-sonnet-5-v1:0", {"input_tokens": 1_000}, (1_000, 0), 2_000_000),
        ("claude-sonnet-5@20260101", {"input_tokens": 1_000}, (1_000, 0), 2_000_000),
        ("openrouter/anthropic/claude-sonnet-5", {"input_tokens": 1_000}, (1_000, 0), 2_000_000),
    ],
)
def test_an_answer_costs_the_same_in_an_import_and_in_the_store(
    model: str, usage: dict[str, Any], tokens: tuple[int, int], cost_nanousd: int
) -> None:
    answers, spent = read(line(model, usage))

    row = folded(answers, times=2)

    assert (spent.input_tokens, spent.output_tokens) == tokens
    assert (row.totals.input_tokens, row.totals.output_tokens) == tokens
    assert spent.estimated_nanousd == row.totals.cost_nanousd == cost_nanousd
    assert row.model == model


def test_an_answer_told_in_several_lines_counts_what_stands_beside_it_once() -> None:
    growing = ADVISED | {"output_tokens": 20}

    answers, spent = read(
        line("claude-sonnet-5", growing), line("claude-sonnet-5", ADVISED, uuid="u2")
    )

    assert [answer.model for answer in answers] == ["claude-sonnet-5", "claude-opus-5"]
    assert len({answer.request_id for answer in answers}) == len({a.id for a in answers}) == 2
    assert (spent.requests, spent.output_tokens) == (2, 650)


def test_what_a_log_says_of_the_mode_and_a_transcript_of_the_keep_is_priced_together() -> None:
    answers, _ = read(line("claude-opus-5", WRITTEN_1H))
    [told] = answers
    from_log = fact(
        RequestFinished, tenant=told.tenant, at_ms=told.at_ms, session_id=told.session_id,
        request_id=told.request_id, model=told.model, input_tokens=2, output_tokens=100,
        cache_write_tokens=30_000, speed="fast",
    )  # fmt: skip

    for order in ([told, from_log], [from_log, told]):
        row = folded(order)

        assert row.totals.calls == 1
        assert row.totals.cost_nanousd == 2 * (10_000 + 2_500_000 + 6_250_000 + 290_000_000)


def test_an_import_says_how_much_of_it_has_no_price(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAINSTEM_HOME", str(tmp_path / "home"))
    (tmp_path / "a.jsonl").write_bytes(
        line("glm-4.6", {"input_tokens": 7_000, "output_tokens": 500})
        + line("claude-sonnet-5", {"input_tokens": 2_500}).replace(b"-1", b"-2")
    )

    assert main.run(["import", str(tmp_path), "--dry-run"]) == 0
    words = capsys.readouterr().out
    assert main.run(["import", str(tmp_path), "--dry-run", "--json"]) == 0
    cost = json.loads(capsys.readouterr().out)["cost"]

    assert "not priced 1 answers with 7,500 tokens (75.0% of all)" in words
    assert "glm-4.6" in words
    assert (cost["unpriced_requests"], cost["unpriced_tokens"]) == (1, 7_500)
    assert (cost["unpriced_share"], cost["unpriced_models"]) == (0.75, {"glm-4.6": 7_500})


def test_the_fold_counts_requests_without_a_price_once() -> None:
    answers, _ = read(line("glm-4.6", {"input_tokens": 7_000, "output_tokens": 500}))
    fold, kept = new_fold(prices=price_table()), Kept()

    counts = [
        fold_batch(fold, kept, arrivals(answers, first_offset=offset, received_ms=NOW_MS))
        for offset in range(3)
    ]

    assert [outcome.unpriced_count for outcome in counts] == [1, 0, 0]
