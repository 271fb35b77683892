"""What a commit leaves to be sent: closed windows, and partials for the stage that closes the rest.

A window of a session is whole once its partition has closed it, since a session lives on one. What
other partitions share goes to the second stage as parcels, whenever all windows are closed up to
the end of another narrowest one, or the partition falls quiet; what that stage has merged is told
of here too. The id of a result is derived from log, series, window and revision, so one that is
sent twice is known for what it is.
"""

from typing import Final

from msgspec import structs

from analytics.contracts import cloudevents, topics
from analytics.contracts.cloudevents import Record
from analytics.contracts.facts import Source
from analytics.contracts.ids import derived
from analytics.contracts.result_events import WindowClosed
from analytics.measures.rows import MEASURES, BatchOutcome, CellRow, Grain, MergedRow
from analytics.windows import partials
from analytics.windows.partials import ShuffleBatch
from analytics.windows.tumbling import passes_an_end
from streams.store.checkpoint import Checkpoint

_PARCEL_HEADERS: Final = (("content-type", b"application/msgpack"),)


def of_first_stage(claim: Checkpoint, outcome: BatchOutcome, *, before_ms: int) -> list[Record]:
    """Return the closed windows of sessions, and what the second stage has to know."""
    whole = [cell for cell in outcome.closed if cell.key.grain is Grain.SESSION]
    shared = [cell for cell in outcome.closed if cell.key.grain is not Grain.SESSION]
    told = [cloudevents.record(event_of(claim, cell)) for cell in whole]
    if shared or outcome.quiet or passes_an_end(before_ms, outcome.settled_ms):
        parcels = partials.parcels(
            shared,
            log_id=claim.log_id,
            partition=claim.partition,
            watermark_ms=outcome.settled_ms,
            quiet=outcome.quiet,
        )
        told += map(record_of, parcels)
    return told


def of_second_stage(claim: Checkpoint, outcome: BatchOutcome, *, before_ms: int) -> list[Record]:
    """Return the windows that are whole now, or were and got more."""
    del before_ms
    return [cloudevents.record(event_of(claim, row)) for row in outcome.merged]


def record_of(parcel: ShuffleBatch) -> Record:
    """Return a parcel as a record whose key is its target."""
    return Record(
        topic=topics.PARTIALS.address,
        key=str(parcel.target).encode(),
        value=partials.encode(parcel),
        headers=_PARCEL_HEADERS,
    )


def event_of(claim: Checkpoint, row: CellRow | MergedRow) -> WindowClosed:
    """Return the result that says what a closed window holds."""
    key = row.key
    revision, sources = (row.revision, row.source_count) if isinstance(row, MergedRow) else (0, 0)
    dimensions = structs.asdict(key)
    del dimensions["tenant"], dimensions["grain"]
    counts = zip(MEASURES, structs.astuple(row.measures), strict=True)
    return WindowClosed(
        id=derived(
            "window.closed",
            claim.log_id,
            claim.topic,
            claim.partition,
            key.tenant,
            key.grain,
            *dimensions.values(),
            row.width_ms,
            row.start_ms,
            *([revision] if sources else []),
        ),
        tenant=key.tenant,
        at_ms=row.start_ms + row.width_ms,
        source=Source.STREAM,
        start_ms=row.start_ms,
        width_ms=row.width_ms,
        grain=key.grain,
        dimensions={name: value for name, value in dimensions.items() if value},
        measures={name: count for name, count in counts if count},
        latency=row.latency,
        log_id=str(claim.log_id),
        partition=claim.partition,
        revision=revision,
        sources=sources,
    )
