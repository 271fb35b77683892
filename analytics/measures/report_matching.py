"""Which thing of its session a report is of, and whether it is another session's (see `reports`).

Called where the report's own name is not known yet, or where it has none.
"""

from collections.abc import Sequence
from typing import Final, Protocol, TypeVar

from msgspec import Struct

from analytics.contracts.agent_events import (
    PromptSubmitted,
    RequestFailed,
    RequestFinished,
    ToolDecided,
    ToolFinished,
    ToolStarted,
)
from analytics.contracts.facts import AgentFact, Source
from analytics.measures.accounts import NEVER
from analytics.measures.event_step import Counted, EventStep
from analytics.measures.identities import PROMPT, REQUEST, TOOL
from analytics.measures.merging import REQUEST_COLUMNS, TOOL_COLUMNS, Dimensions
from analytics.measures.reports import (
    CLIENT,
    INGEST_PATHS,
    OWN,
    SPAN_PATH,
    STAND_IN,
    Report,
    Reports,
    Shape,
)

METERED_SLACK_MS: Final = 600_000
"""By how much a thing may seem older than the metrics that count it: they begin once it is over."""

_TRANSCRIPT: Final = Source.TRANSCRIPT
_COPYING: Final = INGEST_PATHS[_TRANSCRIPT]
R = TypeVar("R", bound=Report)


class NamedReport(Struct, frozen=True, gc=False):
    """How a report names its thing."""

    thing: str
    """What kind of thing it is, for whoever registers it."""
    name: str
    """Empty where it has none."""
    kind: int
    unique: str
    """The name that no other session's thing has, as transcripts keep it; empty if it has none."""


def named_request(event: RequestFinished | RequestFailed) -> NamedReport:
    """Return how a report names its request."""
    if event.request_id:
        return NamedReport(REQUEST, event.request_id, OWN, event.request_id)
    if event.message_id:
        return NamedReport(REQUEST, f"message {event.message_id}", STAND_IN, event.message_id)
    if event.client_request_id:
        return NamedReport(REQUEST, f"client {event.client_request_id}", CLIENT, "")
    return NamedReport(REQUEST, "", 0, "")


def named_in(event: object) -> list[tuple[str, str]]:
    """Return the things that an event names, and what kind of things they are."""
    match event:
        case RequestFinished() | RequestFailed():
            return [(REQUEST, named_request(event).unique)]
        case PromptSubmitted():
            return [(PROMPT, event.message_id), (PROMPT, event.prompt_id)]
        case ToolDecided() | ToolStarted() | ToolFinished():
            return [(TOOL, event.tool_use_id)]
        case _:
            return []


def ingest_path_of(event: AgentFact, signal: str = "") -> int:
    """Return the bit of the ingest path by which an event came."""
    return SPAN_PATH if signal else INGEST_PATHS[event.source]


def is_copy(event: AgentFact) -> bool:
    """Say whether an event may tell again what another session did."""
    return event.source is _TRANSCRIPT


def is_anothers(step: EventStep, event: AgentFact, thing: str, name: str) -> bool:
    """Say whether another session registered a thing before."""
    identities, memory = step.identities, step.memory
    if not name or not (identities.is_watchful or is_copy(event)):
        return False
    return identities.is_anothers(memory.owner, memory.key[0], thing, name)


def register(step: EventStep, thing: str, name: str) -> None:
    """Register a thing as the session's."""
    if name:
        memory = step.memory
        step.identities.register((memory.owner, memory.key[0], thing, name))


def meet(
    step: EventStep, reports: Reports[R], event: AgentFact, named: NamedReport, *,
    shapes: Sequence[Shape], ingest_path: int,
) -> tuple[R | None, bool]:  # fmt: skip
    """Return the thing that a report is of, if it is known, and whether it is another session's."""
    name, kind = named.name, named.kind
    state = reports.named(name) if name else None
    if state is not None:
        return state, state.elsewhere
    elsewhere = is_anothers(step, event, named.thing, named.unique)
    if kind & OWN and not reports.vague_count:
        return None, elsewhere
    state = reports.alike(
        shapes, ingest_path=ingest_path, kinds=kind, when_ms=step.when_ms, elsewhere=elsewhere
    )
    if state is not None:
        elsewhere = elsewhere or state.elsewhere
    elif not elsewhere:
        state = reports.mistaken(shapes, ingest_path=ingest_path, when_ms=step.when_ms)
    if state is not None:
        reports.name(state, name, kind)
        if not elsewhere:
            register(step, named.thing, named.unique)
    return state, elsewhere


class Countable(Report, Protocol):
    """A thing that is counted in a series."""

    def dimensions(self) -> Dimensions:
        """Return the series that it is counted in."""
        ...

    def amounts(self) -> tuple[int, ...]:
        """Return what it adds there."""
        ...

    def whole(self) -> tuple[int, ...]:
        """Return what it comes to, whichever session counts it."""
        ...


C = TypeVar("C", bound=Countable)


def standing(step: EventStep, state: Countable) -> Counted:
    """Return how a thing stands in the sums of its session.

    What was done here and is counted in another session, which told of it first, is in the metrics
    of this one.
    """
    moved: tuple[int, ...] = ()
    if state.elsewhere:
        since_ms, is_live = step.memory.accounts.metered_ms, state.ingest_paths & ~_COPYING
        if since_ms < NEVER and (is_live or state.when_ms + METERED_SLACK_MS >= since_ms):
            moved = state.whole()
    return (state.dimensions(), state.amounts(), moved)


def begun(step: EventStep, state: Countable, columns: tuple[int, ...]) -> None:
    """Take note of a thing that is heard of for the first time, and that another session has."""
    series, amounts, moved = standing(step, state)
    if moved:
        step.change(columns, step.place, (series, amounts, ()), (series, amounts, moved))


def meter(step: EventStep, since_ms: int) -> None:
    """Let the sender's own metrics tell of the session since a moment."""
    memory = step.memory
    if since_ms >= memory.accounts.metered_ms:
        return
    things: list[tuple[tuple[int, ...], Countable]] = [
        *((REQUEST_COLUMNS, one) for one in memory.requests.known.values() if one.elsewhere),
        *((TOOL_COLUMNS, one) for one in memory.tools.known.values() if one.elsewhere),
    ]
    before = [standing(step, one) for _, one in things]
    memory.accounts.metered_ms = since_ms
    for (columns, one), stood in zip(things, before, strict=True):
        step.change(columns, step.place_at(one.when_ms), stood, standing(step, one))


def taken_back(
    step: EventStep, reports: Reports[C], state: C, columns: tuple[int, ...]
) -> C | None:
    """Return a thing that `state` turns out to be, after what it counted was taken back."""
    other = reports.alike(
        (state.shape(),), ingest_path=state.ingest_paths, kinds=state.kinds, when_ms=state.when_ms
    )
    if other is None or other is state:
        return None
    before = standing(step, other)
    series, amounts, _ = before
    place = step.place_at(other.when_ms)
    step.change(columns, place, before, (series, (0,) * len(amounts), ()))
    return other
