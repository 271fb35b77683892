"""Spans of what clients publish, through a port: who collects them is decided by `apps`.

A message whose sender samples its trace gets a span of the gateway's, from taking it to the
broker's acknowledgement, and the event goes on to Kafka as that span's child. Other messages carry
what their sender gave, untouched, and cost nothing.
"""

from typing import Protocol

from analytics.contracts import traces
from analytics.contracts.traces import Trace


class TraceSpan(Protocol):
    """A span that has begun."""

    @property
    def traceparent(self) -> str:
        """What the next in line names as its parent."""
        ...

    def end(self, *, refused: int) -> None:
        """End it, with the number of events that were refused."""
        ...


class Tracing(Protocol):
    """Who collects spans."""

    def begin(self, ingest_path: str, parent: Trace, *, events: int) -> TraceSpan:
        """Begin the span of a message with so many events, as a child of `parent`."""
        ...


def begun(
    tracing: Tracing | None, ingest_path: str, traceparent: str, *, events: int
) -> TraceSpan | None:
    """Begin a span if somebody collects it and the sender samples its trace."""
    if tracing is None or not traceparent:
        return None
    parent = traces.parse(traceparent)
    if parent is None or not parent.sampled:
        return None
    return tracing.begin(ingest_path, parent, events=events)
