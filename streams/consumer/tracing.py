"""What the worker tells of traced messages: one span each, from the broker to the store.

Only messages whose sender samples their trace are told of. The spans go through a port, so that
nothing here knows who collects them; without one, nothing is looked for.
"""

from collections.abc import Sequence
from typing import Final, Protocol

from msgspec import Struct

from analytics.contracts import traces
from analytics.contracts.traces import Trace
from streams.consumer.deserialising import ConsumedRecord

TRACED_MAX: Final = 1_000
"""Messages of one batch that are told of."""


class Traced(Struct, frozen=True):
    """A message of a sampled trace."""

    trace: Trace
    offset: int
    appended_ms: int
    """When the broker got it."""


class Traces(Protocol):
    """Who is told of messages that are in the store."""

    def stored(self, topic: str, partition: int, messages: Sequence[Traced]) -> None:
        """Tell that these are in the store by now."""
        ...


def sampled(records: Sequence[ConsumedRecord]) -> tuple[Traced, ...]:
    """Return the messages that belong to a sampled trace."""
    found: list[Traced] = []
    named = [one for one in records if one.headers and one.headers[-1][0] == traces.HEADER]
    for record in named:
        trace = traces.parse(record.headers[-1][1].decode("ascii", "replace"))
        if trace is not None and trace.sampled:
            found.append(Traced(trace, record.offset, record.timestamp))
            if len(found) == TRACED_MAX:
                break
    return tuple(found)
