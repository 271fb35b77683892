"""`mainstem import`: files found, batches sent, figures told."""

import io
import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from analytics.contracts import events
from analytics.contracts.errors import BadSetting
from analytics.contracts.ids import DEFAULT_TENANT
from analytics.measures.prices import PriceTable
from apps.cli import import_, main
from apps.runtime.prices import price_table
from apps.transcripts import files, importer, sender, summary
from apps.transcripts.importer import ImportListener
from apps.transcripts.sender import Outbox
from gateway.kafka.publisher import Receipt, Status
from gateway.transcripts.reader import TranscriptReader
from tests.support.ingest import DATA

FAR_MS = 4_000_000_000_000
PRICES = PriceTable.from_mapping(
    {"version": "t", "models": {"claude-sonnet-4": {"input": 3, "output": 15}}}
)


class Publisher:
    """Takes events as a gateway does: the same id twice is a duplicate."""

    def __init__(self) -> None:
        self.ids: set[str] = set()
        self.sizes: list[int] = []

    def post(self, batch: Sequence[bytes]) -> list[Receipt]:
        self.sizes.append(len(batch))
        return [self._take(events.decode(payload).id) for payload in batch]

    def _take(self, event_id: str) -> Receipt:
        known = event_id in self.ids
        self.ids.add(event_id)
        return Receipt(id=event_id, status=Status.DUPLICATE if known else Status.ACCEPTED)


class Stop:
    """Stops an import after some bytes."""

    def __init__(self, after: int) -> None:
        self.left = after

    def advance(self, more: int) -> None:
        self.left -= more

    def is_stopped(self) -> bool:
        return self.left <= 0


def taken_in(
    publisher: Publisher, stop: Stop | None = None
) -> tuple[summary.Summary, TranscriptReader]:
    stop = stop or Stop(10**9)
    reader = TranscriptReader(tenant=DEFAULT_TENANT, now_ms=FAR_MS, price=importer.pricing(PRICES))
    outbox = Outbox(publisher.post)
    found = files.found([DATA / "transcripts"]).transcripts
    done = importer.take_in(
        found, {"claude": reader}, outbox, ImportListener(stop.advance, stop.is_stopped)
    )
    figures = summary.summary(
        {"claude": reader.totals}, outbox.sent, prices="t", dry_run=False, stopped=not done
    )
    return figures, reader


@pytest.mark.requirement("import-idempotent")
def test_importing_twice_gives_the_totals_of_once() -> None:
    publisher = Publisher()

    first, _ = taken_in(publisher)
    ids = set(publisher.ids)
    again, _ = taken_in(publisher)

    assert publisher.ids == ids
    assert first.events.accepted == len(ids) == again.events.duplicate
    assert again.events.accepted == 0
    assert (first.tokens, first.cost, first.messages) == (again.tokens, again.cost, again.messages)


def test_an_import_that_was_stopped_goes_on_where_it_matters() -> None:
    publisher = Publisher()

    stopped, _ = taken_in(publisher, Stop(9_000))
    whole, _ = taken_in(publisher)

    assert stopped.stopped
    assert 0 < stopped.events.accepted < len(publisher.ids)
    assert whole.events.sent == len(publisher.ids)
    assert not whole.stopped


def test_what_has_no_stated_cost_is_estimated_and_what_has_no_price_is_told() -> None:
    figures, reader = taken_in(Publisher())

    spent = reader.totals.by_model["claude-sonnet-4"]
    expected = spent.input_tokens * 3_000 + spent.output_tokens * 15_000
    assert figures.cost.estimated_nanousd == expected
    assert figures.cost.reported_nanousd == 0
    assert figures.cost.unpriced_requests == 9


def test_events_leave_in_bounded_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender, "BATCH_EVENTS_MAX", 10)
    publisher = Publisher()

    figures, _ = taken_in(publisher)

    assert max(publisher.sizes) == 10
    assert sum(publisher.sizes) == figures.events.sent


def test_large_events_leave_before_a_batch_has_too_many_bytes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sender, "BATCH_BYTES_MAX", 1_500)
    publisher = Publisher()

    taken_in(publisher)

    assert max(publisher.sizes) < 10


def test_main_files_come_before_subagents_and_older_ones_first(tmp_path: Path) -> None:
    folder = tmp_path / "slug"
    agents = folder / "s-2" / "subagents"
    agents.mkdir(parents=True)
    for age, path in enumerate(
        [agents / "agent-a1.jsonl", folder / "s-2.jsonl", folder / "s-1.jsonl"]
    ):
        path.write_text("{}\n")
        os.utime(path, (1_000_000 + age, 1_000_000 + age))

    found = files.found([tmp_path, folder / "s-2.jsonl"]).transcripts

    assert [(item.session_id, item.agent_id) for item in found] == [
        ("s-2", ""),
        ("s-1", ""),
        ("s-2", "a1"),
    ]


def test_a_line_over_the_limit_is_read_past(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "LINE_BYTES_MAX", 10)
    path = tmp_path / "long.jsonl"
    path.write_bytes(b"{}\n" + b"x" * 35 + b"\n[]\n" + b"y" * 25)

    read = list(files.lines(path))

    assert [len(line) for line in read] == [3, 11, 3, 11]


def test_the_first_interrupt_asks_the_import_to_stop_and_the_next_ends_it() -> None:
    with import_._stopping() as is_stopped:
        assert not is_stopped()

        signal.raise_signal(signal.SIGINT)

        assert is_stopped()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_a_terminal_shows_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")

    with import_._progress(100) as advance:
        advance(100)

    assert "importing" in terminal.getvalue()


@pytest.mark.requirement("command-manners")
def test_a_path_that_is_not_there_is_misuse(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["import", "/not/there"]) == 2
    assert "there is no '/not/there'" in capsys.readouterr().err


def test_a_folder_without_transcripts_is_misuse(tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match="no transcript"):
        files.found([tmp_path])


@pytest.mark.requirement("command-manners")
def test_a_dry_run_prints_its_figures_and_sends_nothing(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAINSTEM_HOME", str(tmp_path))

    code = main.run(["import", str(DATA / "transcripts"), "--dry-run", "--json"])

    figures = json.loads(capsys.readouterr().out)
    assert code == 0
    assert (figures["sessions"], figures["messages"]) == (5, 32)
    assert figures["tokens"] == {"input": 1441, "output": 1158, "cache_read": 0, "cache_write": 0}
    assert (figures["skipped"]["total"], figures["events"]["sent"]) == (7, 0)
    assert figures["dry_run"]


def test_people_are_told_in_words(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAINSTEM_HOME", str(tmp_path))

    assert main.run(["import", str(DATA / "transcripts"), "--dry-run"]) == 0

    said = capsys.readouterr().out
    assert "sessions   5 in 5 files" in said
    assert "ccl_edge_cases.jsonl:13: not-an-object" in said


def test_an_import_without_a_token_says_what_to_do(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAINSTEM_HOME", str(tmp_path))

    assert main.run(["import", str(DATA / "transcripts")]) == 2
    assert "--token-file" in capsys.readouterr().err


def test_the_users_prices_win_over_those_that_ship(tmp_path: Path) -> None:
    own = tmp_path / "prices.yaml"
    own.write_text("models: {my-model: {input: 1, output: 2}}\n")

    table = price_table(own)

    rates = table.rates("my-model")
    assert rates is not None
    assert (rates.input, rates.output) == (1_000_000_000, 2_000_000_000)
    assert table.rates("claude-sonnet-4-5") is not None


def test_a_named_price_file_that_is_not_there_is_misuse(tmp_path: Path) -> None:
    with pytest.raises(BadSetting):
        price_table(tmp_path / "absent.yaml")


@pytest.mark.parametrize("text", ["[]", "models: {m: {input: dear}}", "a: [", "models: 3"])
def test_prices_that_are_none_are_misuse(tmp_path: Path, text: str) -> None:
    own = tmp_path / "prices.yaml"
    own.write_text(text)

    with pytest.raises(BadSetting):
        price_table(own)
