"""Closed windows as records of `metrics.v1`.

The id of a result is derived from the log, partition, series and window, so a window that is sent
twice is known for what it is.
"""

from collections.abc import Iterable

from analytics.contracts import cloudevents
from analytics.contracts.cloudevents import Record
from analytics.contracts.events import WindowClosed
from analytics.contracts.facts import Source
from analytics.contracts.ids import derived
from analytics.measures.rows import MEASURES, CellRow
from streams.ledger import Claim


def records(claim: Claim, closed: Iterable[CellRow]) -> list[Record]:
    """Return one record a closed cell, in the order of the cells."""
    return [cloudevents.record(event_of(claim, cell)) for cell in closed]


def event_of(claim: Claim, cell: CellRow) -> WindowClosed:
    """Return the result that says what a closed cell holds."""
    key = cell.key
    dimensions = {
        "project": key.project,
        "session_id": key.session_id,
        "agent": key.agent,
        "model": key.model,
        "tool": key.tool,
        "skill": key.skill,
        "query_source": key.query_source,
        "kind": key.kind,
    }
    counts = ((name, getattr(cell.measures, name)) for name in MEASURES)
    return WindowClosed(
        id=derived(
            "window.closed",
            claim.log_id,
            claim.topic,
            claim.partition,
            key.tenant,
            key.grain,
            *dimensions.values(),
            cell.width_ms,
            cell.start_ms,
        ),
        tenant=key.tenant,
        at_ms=cell.start_ms + cell.width_ms,
        source=Source.STREAM,
        start_ms=cell.start_ms,
        width_ms=cell.width_ms,
        grain=key.grain,
        dimensions={name: value for name, value in dimensions.items() if value},
        measures={name: count for name, count in counts if count},
        latency=cell.latency,
        log_id=str(claim.log_id),
        partition=claim.partition,
    )
