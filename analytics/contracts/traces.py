"""Where a message comes from, as W3C Trace Context says it (https://www.w3.org/TR/trace-context/).

A sender gives `traceparent`; the gateway carries it, or its own span's in its place, as the
CloudEvents extension attribute of that name, and the worker reads it there.
"""

import re
from typing import Final

from msgspec import Struct

HEADER: Final = "ce_traceparent"
"""The Kafka header; it comes after all others, which every event has."""
SAMPLED: Final = 0x01
_FORM: Final = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_NEWEST: Final = "ff"
_OURS: Final = "00"


class Trace(Struct, frozen=True):
    """A trace, and the span in it that a message belongs to; ids are lower-case hexadecimal."""

    trace_id: str
    span_id: str
    flags: int

    @property
    def sampled(self) -> bool:
        """Whether somebody keeps this trace."""
        return bool(self.flags & SAMPLED)

    def __str__(self) -> str:
        return f"{_OURS}-{self.trace_id}-{self.span_id}-{self.flags:02x}"


def parse(text: str) -> Trace | None:
    """Return the trace of a `traceparent`, or None if it is not one (section 3.2.2.3)."""
    found = _FORM.fullmatch(text.strip().lower())
    if found is None:
        return None
    version, trace_id, span_id, flags, more = found.groups()
    if version == _NEWEST or (version == _OURS and more):
        return None
    if not int(trace_id, 16) or not int(span_id, 16):
        return None
    return Trace(trace_id, span_id, int(flags, 16))
