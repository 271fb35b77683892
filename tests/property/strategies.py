"""Streams of agent events as they may come: several sources, repeats, stragglers, imports."""

from collections.abc import Callable, Sequence
from typing import Final, TypeVar

import msgspec
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from analytics.contracts import agent_events as kinds
from analytics.contracts import events
from analytics.contracts.agent_events import AgentEvent, RequestFinished
from analytics.contracts.events import Event
from analytics.contracts.facts import AgentFact, Source
from analytics.measures.fold import Arrival
from tests.support.facts import MODEL, T0_MS, fact

SPAN_MS: Final = 200_000
_T = TypeVar("_T")

METRICS: Final = (
    "claude_code.token.usage", "claude_code.cost.usage", "gemini_cli.token.usage", "x",
)  # fmt: skip
_names = st.sampled_from(["", "a", "b"])
_counts = st.integers(0, 5_000)
_durations = st.none() | st.integers(0, 100_000)


def _request(draw: DrawFn) -> dict[str, object]:
    return {
        "request_id": draw(st.sampled_from(["", "r1", "r2", "r3"])),
        "model": draw(st.sampled_from(["", MODEL, "gpt-unheard-of"])),
        "skill": draw(_names),
        "query_source": draw(st.sampled_from(["", "main", "auxiliary"])),
        "duration_ms": draw(_durations),
    }


def _finished(draw: DrawFn) -> dict[str, object]:
    return _request(draw) | {
        "input_tokens": draw(_counts),
        "output_tokens": draw(_counts),
        "cost_nanousd": draw(st.none() | _counts),
    }


def _failed(draw: DrawFn) -> dict[str, object]:
    return _request(draw) | {"kind": draw(st.sampled_from(["rate_limit", "server"]))}


def _tool(draw: DrawFn) -> dict[str, object]:
    return {
        "tool_use_id": draw(st.sampled_from(["", "t1", "t2", "t3"])),
        "tool": draw(st.sampled_from(["Bash", "Read"])),
    }


def _tool_finished(draw: DrawFn) -> dict[str, object]:
    return _tool(draw) | {
        "succeeded": draw(st.booleans()),
        "lines_added": draw(st.integers(0, 9)),
        "skill": draw(_names),
        "input_digest": draw(_names),
    }


def _usage(draw: DrawFn) -> dict[str, object]:
    return {
        "metric": draw(st.sampled_from(METRICS)),
        "kind": draw(st.sampled_from(["input", "output", "?"])),
        "value": draw(st.integers(0, 1_000).map(float)),
        "cumulative": draw(st.booleans()),
        "series": draw(_names),
        "start_ms": draw(st.sampled_from([0, T0_MS, T0_MS + 50_000])),
    }


_FIELDS: Final[dict[type[AgentFact], Callable[[DrawFn], dict[str, object]]]] = {
    kinds.RequestFinished: _finished,
    kinds.RequestFailed: _failed,
    kinds.ToolStarted: lambda draw: _tool(draw) | {"input_digest": draw(_names)},
    kinds.ToolFinished: _tool_finished,
    kinds.ToolDecided: lambda draw: _tool(draw) | {"accepted": draw(st.booleans())},
    kinds.PromptSubmitted: lambda draw: {"prompt_id": draw(_names), "text": draw(_names)},
    kinds.UsageReported: _usage,
    kinds.AttentionNeeded: lambda draw: {"reason": draw(st.sampled_from(["permission", "idle"]))},
    kinds.TurnFinished: lambda _: {},
    kinds.SessionStarted: lambda _: {},
    kinds.SessionEnded: lambda _: {},
}


@st.composite
def agent_events(draw: DrawFn) -> AgentEvent:
    """Draw an event of an agent: any time of the span, any source, one of two sessions."""
    kind = draw(st.sampled_from(list(_FIELDS)))
    made = fact(
        kind,
        id="?",
        tenant=draw(st.sampled_from(["local", "other"])),
        session_id=draw(st.sampled_from(["s1", "s2"])),
        at_ms=T0_MS + draw(st.integers(0, SPAN_MS)),
        project=draw(st.sampled_from(["", "p1", "p2"])),
        source=draw(st.sampled_from([Source.HOOK, Source.CLAUDE_CODE, Source.TRANSCRIPT])),
        **_FIELDS[kind](draw),
    )
    assert isinstance(made, AgentEvent)
    return made


@st.composite
def streams(draw: DrawFn, *, max_size: int = 30) -> list[Arrival]:
    """Draw a partition's records: roughly in the order of time, with repeats of earlier ones."""
    made = draw(st.lists(agent_events(), min_size=1, max_size=max_size))
    records: list[Event] = []
    for number, event in enumerate(made):
        again = draw(st.integers(0, 9))
        if again == 0 and records:
            records.append(records[draw(st.integers(0, len(records) - 1))])
        numbered = msgspec.structs.replace(event, id=f"e{number}")
        records.append(numbered)
    delays = draw(st.lists(st.integers(0, 5_000), min_size=len(records), max_size=len(records)))
    return _received(records, delays)


def _received(records: Sequence[Event], delays: Sequence[int]) -> list[Arrival]:
    arrivals: list[Arrival] = []
    now_ms = T0_MS
    for offset, (event, delay) in enumerate(zip(records, delays, strict=True)):
        now_ms += delay
        arrivals.append(Arrival(offset, now_ms, event, events.encode(event)))
    return arrivals


@st.composite
def batchings(draw: DrawFn, records: SearchStrategy[list[Arrival]]) -> list[list[Arrival]]:
    """Draw a stream cut into batches somewhere."""
    whole = draw(records)
    cuts = sorted(draw(st.sets(st.integers(1, max(1, len(whole) - 1)), max_size=8)))
    return cut(whole, cuts)


def cut(whole: Sequence[_T], cuts: Sequence[int]) -> list[list[_T]]:
    """Return `whole` in pieces that end at the cuts."""
    ends = [*(end for end in cuts if end < len(whole)), len(whole)]
    starts = [0, *ends[:-1]]
    return [list(whole[start:end]) for start, end in zip(starts, ends, strict=True)]


@st.composite
def reports_of_one_request(draw: DrawFn) -> list[RequestFinished]:
    """Draw what several sources say of one request: parts of one truth, none contradicting it."""
    tokens = {name: draw(_counts) for name in ("input_tokens", "output_tokens")}
    texts = {"model": draw(st.sampled_from([MODEL, "m"])), "skill": "s", "query_source": "main"}
    cost, duration = draw(_counts), draw(st.integers(0, 100_000))
    return [
        fact(
            RequestFinished,
            id=f"report-{number}",
            at_ms=T0_MS + draw(st.integers(0, 9_999)),
            request_id="r1",
            source=draw(st.sampled_from([Source.HOOK, Source.OTEL, Source.TRANSCRIPT])),
            cost_nanousd=draw(st.sampled_from([None, cost])),
            duration_ms=draw(st.sampled_from([None, duration])),
            **{name: draw(st.integers(0, count)) for name, count in tokens.items()},
            **{name: draw(st.sampled_from(["", text])) for name, text in texts.items()},
        )
        for number in range(draw(st.integers(1, 5)))
    ]
