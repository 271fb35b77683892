"""An import: transcripts read, turned into events and handed on.

It stops between two lines when asked to, after what was read is sent; importing again goes on where
it matters, since every event keeps its id.
"""

from collections.abc import Callable, Sequence

from msgspec import Struct

from analytics.measures.prices import PriceTable
from apps.transcripts_files import Transcript, lines
from apps.transcripts_send import Outbox
from gateway.transcripts.lines import Usage
from gateway.transcripts.reader import Price, Reader


class Watch(Struct, frozen=True):
    """Who watches an import: told of the bytes read, asked whether to stop."""

    advance: Callable[[int], None]
    is_stopped: Callable[[], bool]


def take_in(
    transcripts: Sequence[Transcript], reader: Reader, outbox: Outbox, watch: Watch
) -> bool:
    """Read all transcripts and hand on their events; say whether it came to its end."""
    for transcript in transcripts:
        if not _take_file(transcript, reader, outbox, watch):
            outbox.put(reader.close())
            outbox.flush()
            return False
        outbox.put(reader.close())
    for event in reader.finish():
        outbox.put([event])
    outbox.flush()
    return True


def _take_file(transcript: Transcript, reader: Reader, outbox: Outbox, watch: Watch) -> bool:
    reader.open(
        str(transcript.path), session_id=transcript.session_id, agent_id=transcript.agent_id
    )
    for number, raw in enumerate(lines(transcript.path), start=1):
        if watch.is_stopped():
            return False
        outbox.put(reader.line(raw, number))
        watch.advance(len(raw))
    return True


def pricing(table: PriceTable) -> Price:
    """Return how a transcript's answers are priced by a table."""

    def price(model: str, usage: Usage) -> int | None:
        return table.cost_nanousd(
            model,
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            cache_read_tokens=usage.cache_read_tokens,
            cache_write_tokens=usage.cache_write_tokens,
        )

    return price
