"""What a simulated flow must have come to, counted from its logs without our own fold.

`violations` compares that with what the store and the result topic hold, and says every difference
in words. It knows nothing of batches, watermarks or claims.
"""

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterator
from typing import TypeVar

from faust.types import TP
from msgspec import Struct

from analytics.contracts import events
from analytics.contracts.agent_events import PromptSubmitted, RequestFinished, ToolFinished
from analytics.contracts.errors import BadEvent
from analytics.contracts.events import Event
from analytics.contracts.facts import AgentFact
from analytics.contracts.result_events import WindowClosed
from analytics.measures.rows import ON_TIME, WIDTHS_MS, CellKey, Grain, Measures
from analytics.windows import partials
from analytics.windows.partials import BadShuffleBatch, Partial, ShuffleBatch
from streams.consumer import results
from streams.store.checkpoint import Checkpoint
from tests.support.stream_simulation import ADDRESS, SHARED, Broker, Flow, Logged

K = TypeVar("K", bound=Hashable)

COUNTED = ("events", "calls", "prompts", "tool_calls", "input_tokens", "lines_added")

Window = tuple[str, int, int, str]
"""Grain, width, start and the name of a count."""


Grave = tuple[int, str, int, int]
"""The number of a broker, a topic, a partition and an offset."""
Shared = tuple[int, CellKey, int, int]
"""A log of partials, a series, a width and a start."""


class Truth(Struct, frozen=True):
    """What the logs amount to."""

    ids: Counter[str]
    windows: Counter[Window]
    sessions: Counter[tuple[str, str]]
    dead_letters: Counter[Grave]


def violations(flow: Flow) -> list[str]:
    """Return what is wrong with the outcome of a flow; nothing if all is as it must be."""
    truth = _truth(flow)
    stored = Counter(row.id for rows in flow.store.rows.values() for row in rows)
    wrong = [
        *_differences("raw row", truth.ids, stored),
        *_differences("window", truth.windows, _windows(flow)),
        *_differences("session", truth.sessions, _sessions(flow)),
        *_differences("letter", truth.dead_letters, _dead_letters(flow)),
        *_results(flow),
    ]
    if flow.store.outbox:
        wrong.append(f"{len(flow.store.outbox)} results were never sent")
    return wrong


def _truth(flow: Flow) -> Truth:
    truth = Truth(Counter(), Counter(), Counter(), Counter())
    for number, tp, record in _kept(flow):
        if tp.topic != ADDRESS:
            truth.dead_letters[number, *tp, record.offset] += _parcel(record) is None
            continue
        event = _event(record)
        if event is None:
            truth.dead_letters[number, *tp, record.offset] += 1
        elif event.id not in truth.ids:
            truth.ids[event.id] += 1
            _count(truth, event)
    return truth


def _kept(flow: Flow) -> Iterator[tuple[int, TP, Logged]]:
    """Every record that counts: a broker that went took along what no worker had stored."""
    for number, broker in enumerate(flow.brokers):
        for tp, records in broker.logs.items():
            end = len(records) if broker is flow.broker else _reached(flow, broker, tp)
            for record in records[:end]:
                yield number, tp, record


def _reached(flow: Flow, broker: Broker, tp: TP) -> int:
    log_id = flow.store.logs.get((broker.cluster_id, tp.topic))
    position = flow.store.positions.get((log_id or 0, tp.partition))
    return 0 if position is None else position.next_offset


def _parcel(record: Logged) -> ShuffleBatch | None:
    try:
        return partials.decode(record.value or b"")
    except BadShuffleBatch:
        return None


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


def _dead_letters(flow: Flow) -> Counter[Grave]:
    """They know topic, partition and offset, not the log: number them by the order of logs."""
    found: Counter[Grave] = Counter()
    for log, dead_letter in flow.store.dead_letters_by_log:
        number = next(n for n, broker in enumerate(flow.brokers) if broker.cluster_id == log)
        found[number, dead_letter.topic, dead_letter.partition, dead_letter.offset] += 1
    return found


def _counts(measures: Measures) -> Iterator[tuple[str, int]]:
    for name in COUNTED:
        count = getattr(measures, name)
        if count:
            yield name, count


def _results(flow: Flow) -> Iterator[str]:
    """Every on-time window is closed in the end, and what it holds was sent."""
    landed = _landed(flow)
    for (log_id, partition), cells in flow.store.cells.items():
        claim = Checkpoint(
            log_id=log_id, topic=ADDRESS, partition=partition, epoch=0, next_offset=0,
            watermark_ms=0, open_cells=(),
        )  # fmt: skip
        current = flow.store.logs.get((flow.broker.cluster_id, ADDRESS)) == log_id
        for cell in cells.values():
            name = f"the window {cell.key} {cell.width_ms} {cell.start_ms}"
            if cell.batch_offset != ON_TIME:
                continue
            if not cell.closed:
                if current:
                    yield f"{name} stayed open"
            elif cell.key.grain is Grain.SESSION:
                expected = results.event_of(claim, cell)
                sent = flow.published.get(expected.id, [])
                if not sent or any(one != expected for one in sent):
                    yield f"{name} was not sent as it is"
            elif landed.get((log_id, partition, partials.partial_of(cell))) is None:
                yield f"{name} did not reach the second stage as it is"
    yield from _merged(flow)


def _landed(flow: Flow) -> dict[tuple[int, int, Partial], bool]:
    """Every partial that is in a log of the second stage, read or not, and who sent it."""
    found: dict[tuple[int, int, Partial], bool] = {}
    for broker in flow.brokers:
        for tp, records in broker.logs.items():
            for parcel in map(_parcel, records) if tp.topic == SHARED else ():
                if parcel is not None:
                    found |= {(*parcel.source[:2], one): True for one in parcel.partials}
    return found


def _merged(flow: Flow) -> Iterator[str]:
    """Compare what the second stage said last of each window with what it was told of it.

    A window that was still open there when its broker was replaced is never told of.
    """
    current = flow.store.logs.get((flow.broker.cluster_id, SHARED))
    told: dict[Shared, dict[tuple[int, int], Measures]] = defaultdict(dict)
    for number, tp, record in _kept(flow):
        parcel = _parcel(record) if tp.topic == SHARED else None
        if parcel is None:
            continue
        log_id = flow.store.logs.get((flow.brokers[number].cluster_id, SHARED), 0)
        for one in parcel.partials:
            window = (log_id, one.key, one.width_ms, one.start_ms)
            told[window][parcel.log_id, parcel.partition] = one.measures
    expected = {
        window: tuple(sum(getattr(one, name) for one in parts.values()) for name in COUNTED)
        for window, parts in told.items()
    }
    last: dict[Shared, WindowClosed] = {}
    for [sent, *_] in flow.published.values():
        if sent.sources:
            window = (int(sent.log_id), _key_of(sent), sent.width_ms, sent.start_ms)
            if window not in last or last[window].revision < sent.revision:
                last[window] = sent
    found = {
        window: tuple(sent.measures.get(name, 0) for name in COUNTED)
        for window, sent in last.items()
    }
    for window in expected.keys() | found.keys():
        if window[0] != current and window not in found:
            continue
        if expected.get(window) != found.get(window):
            yield f"merged {window}: expected {expected.get(window)}, found {found.get(window)}"


def _key_of(sent: WindowClosed) -> CellKey:
    return CellKey(sent.tenant, Grain(sent.grain), **sent.dimensions)


def _differences(what: str, expected: Counter[K], found: Counter[K]) -> Iterator[str]:
    for key in expected.keys() | found.keys():
        if expected[key] != found[key]:
            yield f"{what} {key}: expected {expected[key]}, found {found[key]}"
