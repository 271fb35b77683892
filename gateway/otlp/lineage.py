"""Which spans have a model request below them: the tokens of those are sums, not a request's own.

Children end, and so are exported, before their parents, often in an earlier request than theirs.
So what was seen is remembered for a while: of each trace the spans above a request, at most
`SPANS_MAX` of at most `TRACES_MAX` traces, those unused for longest forgotten first. A gateway that
saw only the parent cannot know; then what the span says of itself decides.
"""

from collections import OrderedDict
from collections.abc import Iterable
from threading import Lock
from typing import Final

from analytics.contracts.ids import TenantId
from gateway.otlp.metered import Metered
from gateway.otlp.records import ExportedSpan

TRACES_MAX: Final = 4_096
SPANS_MAX: Final = 1_024

Trace = tuple[TenantId, str]


class Lineage:
    """The spans above requests, of the traces seen last; safe to share between threads."""

    def __init__(self, *, traces_max: int = TRACES_MAX, spans_max: int = SPANS_MAX) -> None:
        self._traces: OrderedDict[Trace, set[str]] = OrderedDict()
        self._traces_max = traces_max
        self._spans_max = spans_max
        self._lock = Lock()
        self.metered = Metered()
        """What of the services' spans their own histograms tell too."""

    def learn(self, tenant: TenantId, spans: Iterable[tuple[ExportedSpan, bool]]) -> None:
        """Take in the spans of one request, each with whether it tells of tokens."""
        by_trace: dict[str, dict[str, tuple[str, bool]]] = {}
        for span, has_usage in spans:
            trace = by_trace.setdefault(span.trace_id, {})
            trace[span.span_id] = (span.parent_span_id, has_usage)
        with self._lock:
            for trace_id, members in by_trace.items():
                self._learn((tenant, trace_id), members)

    def is_above(self, tenant: TenantId, span: ExportedSpan) -> bool:
        """Say whether a span that tells of tokens is known to lie below this one."""
        with self._lock:
            return span.span_id in self._traces.get((tenant, span.trace_id), ())

    def _learn(self, trace: Trace, members: dict[str, tuple[str, bool]]) -> None:
        above = self._traces.get(trace, set())
        climbing = [
            parent
            for span_id, (parent, has_usage) in members.items()
            if parent and (has_usage or span_id in above)
        ]
        while climbing and len(above) < self._spans_max:
            span_id = climbing.pop()
            if span_id in above and span_id not in members:
                continue
            is_new = span_id not in above
            above.add(span_id)
            parent, _ = members.get(span_id, ("", False))
            if parent and (is_new or parent not in above):
                climbing.append(parent)
        if above:
            self._traces[trace] = above
            self._traces.move_to_end(trace)
            while len(self._traces) > self._traces_max:
                self._traces.popitem(last=False)
