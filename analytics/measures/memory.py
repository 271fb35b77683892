"""What the fold remembers of one session, and how that is kept in the store.

A memory holds digests of the ids already counted, the requests and tool calls that may still be
reported by another source, the running totals of its counters, and what it is doing. Each batch
that touches it leaves one encoded piece; the pieces of a session, in order, rebuild the memory.
A piece is a little-endian uint32 length and as many bytes of MessagePack, so pieces may be joined.

Every collection has a limit of `MemoryLimits`. Beyond it the oldest entry goes: an id that old
would count again if it came again, a request or tool call that old is settled and further reports
of it change nothing. Counters beyond their limit are not counted. Each case adds to `Counters`.
"""

from collections.abc import Sequence
from hashlib import blake2b
from itertools import islice
from typing import Final, TypeVar

import msgspec
from msgspec import Struct
from xxhash import xxh3_64_digest

from analytics.contracts.errors import Refused
from analytics.contracts.ids import SessionId, TenantId
from analytics.measures.cells import Tally
from analytics.measures.columns import Sums
from analytics.measures.lanes import Lanes
from analytics.measures.merging import CounterState, RequestState, ToolState
from analytics.measures.rows import Measures, SessionRow, SessionState
from analytics.measures.sessions import INITIAL, falls_quiet

DIGEST_BYTES: Final = 8
"""How much of an id's digest is remembered: two of a million ids agree once in 10⁷ sessions."""
BLAKE2B: Final = 0
"""The digest of ids in pieces that name none: of BLAKE2b (RFC 7693)."""
XXH3: Final = 1
"""The digest of ids in all other pieces: XXH3 of 64 bits (the xxHash specification)."""
_LENGTH_BYTES: Final = 4

SessionKey = tuple[TenantId, SessionId]
S = TypeVar("S", RequestState, ToolState)


class BadMemory(Refused):
    """Bytes that are no memory of a session; they were not written by this version or broke."""

    code = "bad-memory"


class MemoryLimits(Struct, frozen=True, kw_only=True):
    """How much is remembered of one session."""

    ids_max: int = 200_000
    merges_max: int = 4_096
    """Requests, and tool calls, that further reports may still change."""
    prompts_max: int = 4_096
    counters_max: int = 1_024
    """Running totals that are told apart."""


class Counters(Struct):
    """How often a limit was met, or something could not be counted, since the fold began."""

    unpriced: int = 0
    """Model requests with tokens whose model has no price, and no stated cost."""
    ids_forgotten: int = 0
    merges_settled: int = 0
    counters_refused: int = 0
    """Points of running totals beyond `counters_max`: kept raw, counted in no sum."""
    cells_spilled: int = 0
    """Cells written as rows of their batch because too many windows were open."""
    sessions_forgotten: int = 0
    """Sessions that left the fold's memory; the store remembers them."""


class Doing(Struct, array_like=True):
    """What a session is doing."""

    state: SessionState = INITIAL
    since_ms: int = 0
    attention: str = ""
    working: bool = False
    """Whether time until the next event counts as active."""
    active_at_ms: int = 0
    """When it last did something."""
    loop_tool: str = ""
    loop_digest: str = ""
    loop_count: int = 0


class Piece(Struct, array_like=True):
    """What one batch adds to a memory."""

    ids: bytes
    requests: list[RequestState]
    tools: list[ToolState]
    prompts: list[str]
    counters: list[CounterState]
    doing: Doing
    digest: int = BLAKE2B
    """Of which kind the digests of `ids` are."""


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(Piece)


class SessionMemory:
    """What is known of one session while its partition is folded."""

    __slots__ = (
        "agent",
        "batch",
        "counters",
        "doing",
        "ended_ms",
        "first_prompt",
        "former_ids",
        "fresh",
        "ids",
        "key",
        "known_count",
        "lanes",
        "last_ms",
        "limits",
        "model",
        "new_counters",
        "new_prompts",
        "new_requests",
        "new_tools",
        "project",
        "prompts",
        "requests",
        "settled",
        "shown_idle",
        "started_ms",
        "team",
        "tools",
        "totals",
        "user",
        "version",
        "weighed",
    )

    def __init__(self, key: SessionKey, limits: MemoryLimits, totals: Tally) -> None:
        self.key = key
        self.limits = limits
        self.fresh = True
        self.project = self.agent = self.version = self.user = self.team = self.model = ""
        self.first_prompt = ""
        self.started_ms = self.last_ms = 0
        self.ended_ms: int | None = None
        self.totals = totals
        self.doing = Doing()
        self.shown_idle = False
        self.ids: dict[bytes, None] = {}
        self.former_ids: dict[bytes, None] = {}
        self.requests: dict[str, RequestState] = {}
        self.tools: dict[str, ToolState] = {}
        self.settled: dict[str, None] = {}
        self.prompts: dict[str, None] = {}
        self.counters: dict[str, CounterState] = {}
        self.batch = 0
        """The last batch that told anything of the session."""
        self.weighed = 0
        """The weight when it was last taken into account."""
        self.lanes = Lanes(*key)
        self.known_count = 0
        """How many of `ids`, from the oldest, the store knows."""
        self.new_requests: dict[str, RequestState] = {}
        self.new_tools: dict[str, ToolState] = {}
        self.new_prompts: list[str] = []
        self.new_counters: dict[str, CounterState] = {}

    @property
    def weight(self) -> int:
        """How many entries the memory holds."""
        merges = len(self.requests) + len(self.tools) + len(self.settled)
        ids = len(self.ids) + len(self.former_ids)
        return ids + merges + len(self.prompts) + len(self.counters)

    def recall(self, row: SessionRow | None, memories: Sequence[bytes]) -> None:
        """Take up what the store knows; raise `BadMemory` where it cannot be read."""
        if row is not None:
            self._take_row(row)
        for memory in memories:
            for piece in _pieces(memory):
                self._take_piece(piece)
        self.fresh = row is None
        self.shown_idle = (
            row is not None and row.state is SessionState.IDLE and falls_quiet(self.doing.state)
        )
        self._forget_news()

    def encode(self) -> bytes:
        """Return what was learnt since the last time, and begin anew."""
        new_ids = list(islice(reversed(self.ids), len(self.ids) - self.known_count))
        new_ids.reverse()
        piece = _encoder.encode(
            Piece(
                b"".join(new_ids),
                list(self.new_requests.values()),
                list(self.new_tools.values()),
                self.new_prompts,
                list(self.new_counters.values()),
                self.doing,
                XXH3,
            )
        )
        self._forget_news()
        return len(piece).to_bytes(_LENGTH_BYTES, "little") + piece

    def move(self, project: str, agent: str) -> None:
        """Let the session be at another project, or of another agent."""
        if project != self.project or agent != self.agent:
            self.project, self.agent = project, agent
            self.lanes.move(project, agent)

    def begin(self, when_ms: int) -> None:
        """Take note of the first event of a session."""
        self.fresh = False
        self.started_ms = self.last_ms = when_ms

    def is_former(self, event_id: str) -> bool:
        """Say whether an event is among those that are remembered by their former digest."""
        return former_digest_of(event_id) in self.former_ids

    def trim(self, counters: Counters) -> None:
        """Forget the oldest ids, and ways to find things, beyond their limits.

        Only once what was learnt has been encoded.
        """
        while len(self.ids) + len(self.former_ids) > self.limits.ids_max:
            oldest = self.former_ids or self.ids
            del oldest[next(iter(oldest))]
            counters.ids_forgotten += 1
        self.known_count = len(self.ids)
        self.lanes.trim()

    def add_request(self, state: RequestState, counters: Counters) -> None:
        """Remember a request that other sources may report too."""
        self.requests[state.key] = self.new_requests[state.key] = state
        if len(self.requests) > self.limits.merges_max:
            self._settle(self.requests, "request", counters)

    def add_tool(self, state: ToolState, counters: Counters) -> None:
        """Remember a tool call that other sources may report too."""
        self.tools[state.key] = self.new_tools[state.key] = state
        if len(self.tools) > self.limits.merges_max:
            self._settle(self.tools, "tool", counters)

    def is_settled(self, kind: str, key: str) -> bool:
        """Say whether a request or tool call is too old for another report to change it."""
        return bool(self.settled) and f"{kind} {key}" in self.settled

    def is_new_prompt(self, prompt_id: str) -> bool:
        """Say whether a prompt is told of for the first time, and remember it."""
        if prompt_id in self.prompts:
            return False
        self.prompts[prompt_id] = None
        self.new_prompts.append(prompt_id)
        _trim(self.prompts, self.limits.prompts_max)
        return True

    def row(self, sums: Sums, *, now_ms: int, idle_ms: int) -> SessionRow:
        """Return the session as the store keeps it: one that is quiet by now shows as idle."""
        doing = self.doing
        idle = self.is_quiet(now_ms=now_ms, idle_ms=idle_ms)
        self.shown_idle = idle
        return SessionRow(
            tenant=self.key[0],
            session_id=self.key[1],
            project=self.project,
            agent=self.agent,
            version=self.version,
            user=self.user,
            team=self.team,
            model=self.model,
            state=SessionState.IDLE if idle else doing.state,
            state_since_ms=doing.active_at_ms + idle_ms if idle else doing.since_ms,
            attention="" if idle else doing.attention,
            started_ms=self.started_ms,
            last_ms=self.last_ms,
            ended_ms=self.ended_ms,
            first_prompt=self.first_prompt,
            totals=Measures(*sums),
            latency=self.totals.sketch(),
        )

    def is_quiet(self, *, now_ms: int, idle_ms: int) -> bool:
        """Say whether the session did nothing for so long that it counts as idle."""
        doing = self.doing
        return now_ms - doing.active_at_ms > idle_ms and falls_quiet(doing.state)

    def _take_row(self, row: SessionRow) -> None:
        self.move(row.project, row.agent)
        self.version, self.user, self.team, self.model = row.version, row.user, row.team, row.model
        self.first_prompt = row.first_prompt
        self.started_ms, self.last_ms, self.ended_ms = row.started_ms, row.last_ms, row.ended_ms
        self.totals.restore(row.latency)
        self.doing = Doing(
            state=row.state,
            since_ms=row.state_since_ms,
            attention=row.attention,
            active_at_ms=row.last_ms,
        )

    def _take_piece(self, piece: Piece) -> None:
        counters = Counters()
        ids = piece.ids
        known = self.former_ids if piece.digest == BLAKE2B else self.ids
        for start in range(0, len(ids), DIGEST_BYTES):
            known[ids[start : start + DIGEST_BYTES]] = None
        self.trim(counters)
        for request in piece.requests:
            self.add_request(request, counters)
        for tool in piece.tools:
            self.add_tool(tool, counters)
        for prompt_id in piece.prompts:
            self.is_new_prompt(prompt_id)
        for counter in piece.counters:
            self.counters[counter.key] = counter
        self.doing = piece.doing

    def _settle(self, states: dict[str, S], kind: str, counters: Counters) -> None:
        """Settle the oldest of some requests or tool calls."""
        oldest = next(iter(states))
        del states[oldest]
        self.settled[f"{kind} {oldest}"] = None
        _trim(self.settled, self.limits.ids_max)
        counters.merges_settled += 1

    def _forget_news(self) -> None:
        self.known_count = len(self.ids)
        for news in (self.new_requests, self.new_tools, self.new_prompts, self.new_counters):
            if news:
                news.clear()


def digest_of(event_id: str) -> bytes:
    """Return what is remembered of an id."""
    return xxh3_64_digest(event_id.encode("utf-8", "surrogatepass"))


def digests_of(event_ids: Sequence[str]) -> list[bytes]:
    """Return what is remembered of ids."""
    return [xxh3_64_digest(one.encode("utf-8", "surrogatepass")) for one in event_ids]


def former_digest_of(event_id: str) -> bytes:
    """Return what pieces that name no digest remember of an id."""
    return blake2b(event_id.encode("utf-8", "surrogatepass"), digest_size=DIGEST_BYTES).digest()


def _trim(entries: dict[str, None], limit: int) -> None:
    while len(entries) > limit:
        del entries[next(iter(entries))]


def _pieces(memory: bytes) -> list[Piece]:
    pieces: list[Piece] = []
    at = 0
    while at < len(memory):
        length = int.from_bytes(memory[at : at + _LENGTH_BYTES], "little")
        at += _LENGTH_BYTES
        data = memory[at : at + length]
        if len(data) != length:
            raise BadMemory(f"a session's memory of {len(memory)} bytes breaks off at {at!r}")
        try:
            pieces.append(_decoder.decode(data))
        except msgspec.MsgspecError as error:
            raise BadMemory(f"a session's memory cannot be read: {error}") from error
        at += length
    return pieces
