"""An import: transcripts read, turned into events and handed on.

What cannot be read is named in the figures and the rest imported. It stops between two lines when
asked to, after what was read is sent; importing again goes on where it matters, since every event
keeps its id.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, Protocol

from msgspec import Struct

from analytics.contracts.agent_events import AgentEvent
from analytics.contracts.ids import TenantId
from analytics.measures.prices import PricedExtras, PriceTable
from apps.transcripts.agents import CLAUDE, CODEX, GEMINI, OPENCODE
from apps.transcripts.files import Transcript, name_of, records, why
from apps.transcripts.sender import Outbox
from gateway.transcripts import codex, gemini, opencode
from gateway.transcripts.lines import Usage
from gateway.transcripts.reader import Price, TranscriptReader
from gateway.transcripts.totals import Totals, Unread


class HistoryReader(Protocol):
    """Reads the files of one agent, one after the other, into events."""

    totals: Totals

    def open(self, name: str, *, session_id: str, agent_id: str = "") -> None:
        """Begin a file."""
        ...

    def line(self, raw: bytes, number: int) -> list[AgentEvent]:
        """Return the events of one record of it."""
        ...

    def close(self) -> list[AgentEvent]:
        """End it; return the events that were still open."""
        ...

    def finish(self) -> Iterator[AgentEvent]:
        """Yield what there is to say once all files were read."""
        ...


Readers = Mapping[str, HistoryReader]
"""The reader of each agent."""


class _Make(Protocol):
    """How a reader is made."""

    def __call__(
        self, *, tenant: TenantId, now_ms: int, keep_content: bool, price: Price
    ) -> HistoryReader: ...


_MAKE: Final[dict[str, _Make]] = {
    CLAUDE: TranscriptReader,
    CODEX: codex.CodexReader,
    GEMINI: gemini.GeminiReader,
    OPENCODE: opencode.OpencodeReader,
}


def readers(
    *, tenant: TenantId, now_ms: int, keep_content: bool, prices: PriceTable
) -> dict[str, HistoryReader]:
    """Return a reader for each agent whose history can be imported."""
    price = pricing(prices)
    return {
        name: make(tenant=tenant, now_ms=now_ms, keep_content=keep_content, price=price)
        for name, make in _MAKE.items()
    }


class ImportListener(Struct, frozen=True):
    """Who watches an import: told of the bytes read, asked whether to stop."""

    advance: Callable[[int], None]
    is_stopped: Callable[[], bool]


def take_in(
    transcripts: Sequence[Transcript], readers: Readers, outbox: Outbox, watch: ImportListener
) -> bool:
    """Read all transcripts and hand on their events; say whether it came to its end."""
    for transcript in transcripts:
        reader = readers[transcript.agent]
        if not _take_file(transcript, reader, outbox, watch):
            outbox.put(reader.close())
            outbox.flush()
            return False
        outbox.put(reader.close())
    for reader in readers.values():
        for event in reader.finish():
            outbox.put([event])
    outbox.flush()
    return True


def _take_file(
    transcript: Transcript, reader: HistoryReader, outbox: Outbox, watch: ImportListener
) -> bool:
    reader.open(
        name_of(transcript.path), session_id=transcript.session_id, agent_id=transcript.agent_id
    )
    given = enumerate(records(transcript), start=1)
    while (numbered := _next_line(given, transcript, reader)) is not None:
        number, raw = numbered
        if watch.is_stopped():
            return False
        outbox.put(reader.line(raw, number))
        watch.advance(len(raw))
    return True


def _next_line(
    given: Iterator[tuple[int, bytes]], transcript: Transcript, reader: HistoryReader
) -> tuple[int, bytes] | None:
    """Return a file's next line; a file that cannot be read (any more) is named, and ends."""
    try:
        return next(given, None)
    except OSError as error:
        reader.totals.unread.append(Unread(name_of(transcript.path), why(error)))
        return None


def pricing(table: PriceTable) -> Price:
    """Return how a transcript's answers are priced by a table."""

    def price(model: str, usage: Usage) -> int | None:
        return table.cost_nanousd(
            model,
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            cache_read_tokens=usage.cache_read_tokens,
            cache_write_tokens=usage.cache_write_tokens,
            apart=PricedExtras.of(
                usage.cache_write_1h_tokens,
                usage.web_searches,
                speed=usage.speed,
                service_tier=usage.service_tier,
            ),
        )

    return price
