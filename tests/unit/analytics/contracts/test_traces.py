"""W3C Trace Context: what is a `traceparent` and what is not."""

import pytest

from analytics.contracts import traces
from analytics.contracts.traces import Trace

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN_ID = "00f067aa0ba902b7"


def test_a_traceparent_is_read_and_written_alike() -> None:
    text = f"00-{TRACE_ID}-{SPAN_ID}-01"

    trace = traces.parse(text)

    assert trace == Trace(TRACE_ID, SPAN_ID, 1)
    assert str(trace) == text
    assert trace.sampled


def test_only_the_sampled_flag_says_that_a_trace_is_kept() -> None:
    trace = traces.parse(f"00-{TRACE_ID}-{SPAN_ID}-02")

    assert trace is not None
    assert not trace.sampled


def test_a_later_version_may_have_more_fields() -> None:
    assert traces.parse(f"cc-{TRACE_ID}-{SPAN_ID}-01-what-comes") == Trace(TRACE_ID, SPAN_ID, 1)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "00",
        f"00-{TRACE_ID}-{SPAN_ID}",
        f"00-{TRACE_ID}-{SPAN_ID}-01-more",
        f"ff-{TRACE_ID}-{SPAN_ID}-01",
        f"00-{'0' * 32}-{SPAN_ID}-01",
        f"00-{TRACE_ID}-{'0' * 16}-01",
        f"00-{TRACE_ID[:-1]}g-{SPAN_ID}-01",
        f"00-{TRACE_ID}-{SPAN_ID}-1",
    ],
)
def test_what_is_no_traceparent_is_none(text: str) -> None:
    assert traces.parse(text) is None
