"""What a simulated flow must have come to, counted from its logs without our own fold.

`violations` compares that with what the store and the result topic hold, and says every difference
in words. It knows nothing of batches, watermarks or claims.
"""

from collections import Counter
from collections.abc import Hashable, Iterator
from typing import TypeVar

from msgspec import Struct

from analytics.contracts import events
from analytics.contracts.agent_events import PromptSubmitted, RequestFinished, ToolFinished
from analytics.contracts.errors import BadEvent
from analytics.contracts.events import Event
from analytics.contracts.facts import AgentFact
from analytics.measures.rows import ON_TIME, WIDTHS_MS, Grain, Measures
from streams import results
from streams.ledger import Claim
from tests.support.stream_simulation import ADDRESS, Broker, Flow, Logged

K = TypeVar("K", bound=Hashable)

COUNTED = ("events", "calls", "prompts", "tool_calls", "input_tokens", "lines_added")

Window = tuple[str, int, int, str]
"""Grain, width, start and the name of a count."""


class Truth(Struct, frozen=True):
    """What the logs amount to."""

    ids: Counter[str]
    windows: Counter[Window]
    sessions: Counter[tuple[str, str]]
    graves: Counter[tuple[int, int, int]]


def violations(flow: Flow) -> list[str]:
    """Return what is wrong with the outcome of a flow; nothing if all is as it must be."""
    truth = _truth(flow)
    stored = Counter(row.id for rows in flow.store.rows.values() for row in rows)
    wrong = [
        *_differences("raw row", truth.ids, stored),
        *_differences("window", truth.windows, _windows(flow)),
        *_differences("session", truth.sessions, _sessions(flow)),
        *_differences("grave", truth.graves, _graves(flow)),
        *_results(flow),
    ]
    if flow.store.outbox:
        wrong.append(f"{len(flow.store.outbox)} results were never sent")
    return wrong


def _truth(flow: Flow) -> Truth:
    truth = Truth(Counter(), Counter(), Counter(), Counter())
    for number, partition, record in _kept(flow):
        event = _event(record)
        if event is None:
            truth.graves[number, partition, record.offset] += 1
        elif event.id not in truth.ids:
            truth.ids[event.id] += 1
            _count(truth, event)
    return truth


def _kept(flow: Flow) -> Iterator[tuple[int, int, Logged]]:
    """Every record that counts: a broker that went took along what no worker had stored."""
    for number, broker in enumerate(flow.brokers):
        for partition, records in enumerate(broker.log):
            end = len(records) if broker is flow.broker else _reached(flow, broker, partition)
            for record in records[:end]:
                yield number, partition, record


def _reached(flow: Flow, broker: Broker, partition: int) -> int:
    log_id = flow.store.logs.get((broker.cluster_id, ADDRESS))
    position = flow.store.positions.get((log_id or 0, partition))
    return 0 if position is None else position.next_offset


def _event(record: Logged) -> AgentFact | None:
    try:
        event: Event = events.decode(record.value or b"")
    except BadEvent:
        return None
    return event if isinstance(event, AgentFact) else None


def _count(truth: Truth, event: AgentFact) -> None:
    counts = {"events": 1}
    match event:
        case RequestFinished():
            counts |= {"calls": 1, "input_tokens": event.input_tokens}
        case ToolFinished():
            counts |= {"tool_calls": 1, "lines_added": event.lines_added}
        case PromptSubmitted():
            counts |= {"prompts": 1}
        case _:
            raise AssertionError(f"the simulation does not send {event!r}")
    for name, count in counts.items():
        truth.sessions[event.session_id, name] += count
        for width_ms in WIDTHS_MS:
            start_ms = event.at_ms - event.at_ms % width_ms
            for grain in (Grain.FLEET, Grain.SESSION):
                truth.windows[grain, width_ms, start_ms, name] += count


def _windows(flow: Flow) -> Counter[Window]:
    found: Counter[Window] = Counter()
    for cells in flow.store.cells.values():
        for cell in cells.values():
            for name, count in _counts(cell.measures):
                found[cell.key.grain, cell.width_ms, cell.start_ms, name] += count
    return found


def _sessions(flow: Flow) -> Counter[tuple[str, str]]:
    found: Counter[tuple[str, str]] = Counter()
    for row in flow.store.sessions.values():
        for name, count in _counts(row.totals):
            found[row.session_id, name] += count
    return found


def _graves(flow: Flow) -> Counter[tuple[int, int, int]]:
    """Graves know topic, partition and offset, not the log: number them by the order of logs."""
    found: Counter[tuple[int, int, int]] = Counter()
    for log, burial in flow.store.buried:
        number = next(n for n, broker in enumerate(flow.brokers) if broker.cluster_id == log)
        found[number, burial.partition, burial.offset] += 1
    return found


def _counts(measures: Measures) -> Iterator[tuple[str, int]]:
    for name in COUNTED:
        count = getattr(measures, name)
        if count:
            yield name, count


def _results(flow: Flow) -> Iterator[str]:
    """Every on-time window is closed in the end, and was sent as it is in the store."""
    for (log_id, partition), cells in flow.store.cells.items():
        claim = Claim(
            log_id=log_id, topic=ADDRESS, partition=partition, epoch=0, next_offset=0,
            watermark_ms=0, open_cells=(),
        )  # fmt: skip
        current = flow.store.logs.get((flow.broker.cluster_id, ADDRESS)) == log_id
        for cell in cells.values():
            if cell.batch_offset != ON_TIME:
                continue
            expected = results.event_of(claim, cell)
            sent = flow.published.get(expected.id, [])
            if cell.closed and expected not in sent:
                yield f"the closed window {cell.key} {cell.start_ms} was not sent as it is"
            if cell.closed and any(one != expected for one in sent):
                yield f"the closed window {cell.key} {cell.start_ms} was sent with other counts"
            if not cell.closed and current:
                yield f"the window {cell.key} {cell.width_ms} {cell.start_ms} stayed open"


def _differences(what: str, expected: Counter[K], found: Counter[K]) -> Iterator[str]:
    for key in expected.keys() | found.keys():
        if expected[key] != found[key]:
            yield f"{what} {key}: expected {expected[key]}, found {found[key]}"
