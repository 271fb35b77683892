"""What the fold remembers of one session, and how that is kept in the store.

A memory holds digests of the ids already counted, the requests, tool calls and prompts that may
still be reported by another source, the running totals of its counters, its two accounts, and what
it is doing. Each batch that touches it leaves one encoded piece; the pieces of a session, in order,
rebuild it. A piece is a little-endian uint32 length and as many bytes of MessagePack, so pieces may
be joined.

Every collection has a limit of `MemoryLimits`. Beyond it the oldest entry goes: an id that old
would count again if it came again, a request, tool call or prompt that old is settled and further
reports of it change nothing; so is a running total that began before one that is forgotten. Each
case adds to `Counters`.
"""

from collections.abc import Sequence
from hashlib import blake2b
from itertools import islice
from typing import Final

import msgspec
from msgspec import Struct, field
from xxhash import xxh3_64_digest

from analytics.contracts.errors import Refused
from analytics.contracts.ids import SessionId, TenantId
from analytics.measures.accounts import NEVER, Account, Accounts
from analytics.measures.activity import AGENTS_MAX, Activity, Pace, shown
from analytics.measures.cells import Accumulator
from analytics.measures.columns import Sums
from analytics.measures.identities import owner_of
from analytics.measures.merging import CounterState, PromptState, RequestState, ToolState
from analytics.measures.reports import STAND_IN, Reports
from analytics.measures.rows import Measures, SessionRow
from analytics.measures.session_accumulators import SessionAccumulators
from analytics.measures.work_time import WorkTime

DIGEST_BYTES: Final = 8
"""How much of an id's digest is remembered: two of a million ids agree once in 10⁷ sessions."""
BLAKE2B: Final = 0
"""The digest of ids in pieces that name none: of BLAKE2b (RFC 7693)."""
XXH3: Final = 1
"""The digest of ids in all other pieces: XXH3 of 64 bits (the xxHash specification)."""
_LENGTH_BYTES: Final = 4

SessionKey = tuple[TenantId, SessionId]


class BadMemory(Refused):
    """Bytes that are no memory of a session; they were not written by this version or broke."""

    code = "bad-memory"


class MemoryLimits(Struct, frozen=True, kw_only=True):
    """How much is remembered of one session."""

    ids_max: int = 200_000
    merges_max: int = 4_096
    """Requests, and tool calls, that further reports may still change."""
    prompts_max: int = 4_096
    """Prompts that further reports may still be of."""
    counters_max: int = 1_024
    """Running totals that are told apart."""


class Counters(Struct):
    """How often a limit was met, or something could not be counted, since the fold began."""

    unpriced: int = 0
    """Model requests with tokens whose model has no price, and no stated cost, not yet told of."""
    ids_forgotten: int = 0
    merges_settled: int = 0
    counters_refused: int = 0
    """Points of running totals that `counters_max` made be forgotten: kept raw, in no sum."""
    cells_spilled: int = 0
    """Cells written as rows of their batch because too many windows were open."""
    sessions_forgotten: int = 0
    """Sessions that left the fold's memory; the store remembers them."""

    def take_unpriced(self) -> int:
        """Return how many requests had no price since the last time."""
        taken, self.unpriced = self.unpriced, 0
        return taken


class MemoryDelta(Struct, array_like=True):
    """What one batch adds to a memory."""

    ids: bytes
    requests: list[RequestState]
    tools: list[ToolState]
    prompts: list[str]
    counters: list[CounterState]
    doing: Activity
    digest: int = BLAKE2B
    """Of which kind the digests of `ids` are."""
    asked: list[PromptState] = []
    """The prompts; those that are in `prompts` by their id alone were told of to older versions."""
    accounts: list[Account] = []
    """What changed of the session's two accounts; pieces from before there were any have none."""
    agents: dict[str, Activity] = field(default_factory=dict)
    """What its subagents are doing."""
    metered_ms: int = 0
    """Since when the sender's own metrics tell of it; 0 if they do not."""
    signs: bytes | None = None
    """Its signs of work; None in pieces from before they were kept."""


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(MemoryDelta)


class SessionMemory:
    """What is known of one session while its partition is folded."""

    __slots__ = (
        "accounts", "agent", "agents", "batch", "busy_from_ms", "busy_until_ms", "counters",
        "counters_floor_ms", "doing", "ended_ms", "first_prompt", "former_ids", "fresh",
        "heard_ms", "ids", "key", "known_count", "lanes", "last_ms", "limits", "model",
        "new_counters", "owner", "project", "prompts", "requests", "shown_state", "started_ms",
        "team", "tools", "totals", "user", "version", "weighed", "work",
    )  # fmt: skip

    def __init__(self, key: SessionKey, limits: MemoryLimits, totals: Accumulator) -> None:
        self.key = key
        self.owner = owner_of(*key)
        """The number by which the session registers what it counts."""
        self.limits = limits
        self.fresh = True
        self.project = self.agent = self.version = self.user = self.team = self.model = ""
        self.first_prompt = ""
        self.started_ms = self.last_ms = 0
        self.ended_ms: int | None = None
        self.totals = totals
        self.accounts = Accounts()
        self.doing = Activity()
        self.busy_from_ms = self.busy_until_ms = 0
        """A sign of work of the main agent in this time, the end not included, only goes on."""
        self.agents: dict[str, Activity] = {}
        """What its subagents are doing, by their ids."""
        self.work = WorkTime()
        self.shown_state = self.doing.state
        self.ids: dict[bytes, None] = {}
        self.former_ids: dict[bytes, None] = {}
        merged, settled = limits.merges_max, limits.ids_max
        self.requests: Reports[RequestState] = Reports(known_max=merged, settled_max=settled)
        self.tools: Reports[ToolState] = Reports(known_max=merged, settled_max=settled)
        self.prompts: Reports[PromptState] = Reports(
            known_max=limits.prompts_max, settled_max=settled
        )
        self.counters: dict[tuple[str, int], CounterState] = {}
        """Running totals by their series and their start."""
        self.counters_floor_ms = -1
        """Of counters that began until then some are forgotten: an unknown one is settled."""
        self.batch = 0
        """The last batch that told anything of the session."""
        self.heard_ms = 0
        """When it was last touched, by the worker's clock."""
        self.weighed = 0
        """The weight when it was last taken into account."""
        self.lanes = SessionAccumulators(*key)
        self.known_count = 0
        """How many of `ids`, from the oldest, the store knows."""
        self.new_counters: dict[tuple[str, int], CounterState] = {}

    @property
    def weight(self) -> int:
        """How many entries the memory holds."""
        merges = len(self.requests) + len(self.tools)
        ids = len(self.ids) + len(self.former_ids)
        others = len(self.prompts) + len(self.counters) + len(self.accounts) + len(self.work)
        return ids + merges + others

    def recall(self, row: SessionRow | None, memories: Sequence[bytes]) -> None:
        """Take up what the store knows; raise `BadMemory` where it cannot be read."""
        if row is not None:
            self._take_row(row)
        if not memories:
            self.work.restart(self.doing, {})
        accounts: list[Account] = []
        signs: list[bytes] = []
        for memory in memories:
            for piece in _pieces(memory):
                self._take_piece(piece)
                accounts += piece.accounts
                if piece.signs is None:
                    signs.clear()
                    self.work.restart(self.doing, self.agents)
                else:
                    signs.append(piece.signs)
        self.work.recall(signs)
        self.accounts.recall(accounts, None if row is None else row.totals)
        self.fresh = row is None
        if row is not None:
            self.shown_state = row.state
        self._forget_news()

    def encode(self) -> bytes:
        """Return what was learnt since the last time, and begin anew."""
        new_ids = list(islice(reversed(self.ids), len(self.ids) - self.known_count))
        new_ids.reverse()
        piece = _encoder.encode(
            MemoryDelta(
                b"".join(new_ids),
                list(self.requests.new.values()),
                list(self.tools.new.values()),
                [],
                list(self.new_counters.values()),
                self.doing,
                XXH3,
                list(self.prompts.new.values()),
                self.accounts.news(),
                self.agents,
                self.accounts.metered_ms % NEVER,
                self.work.encode(),
            )
        )
        self._forget_news()
        return len(piece).to_bytes(_LENGTH_BYTES, "little") + piece

    def move(self, project: str, agent: str) -> None:
        """Let the session be at another project, or of another agent."""
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
        counters.merges_settled += self.requests.add(state)

    def add_tool(self, state: ToolState, counters: Counters) -> None:
        """Remember a tool call that other sources may report too."""
        counters.merges_settled += self.tools.add(state)

    def add_prompt(self, state: PromptState, counters: Counters) -> None:
        """Remember a prompt that other sources may report too."""
        counters.merges_settled += self.prompts.add(state)

    def add_counter(self, state: CounterState) -> None:
        """Remember a running total, and forget the one known longest if there are too many."""
        self.counters[state.key, state.start_ms] = state
        if len(self.counters) > self.limits.counters_max:
            oldest = next(iter(self.counters))
            del self.counters[oldest]
            self.counters_floor_ms = max(self.counters_floor_ms, oldest[1])

    def doing_of(self, agent_id: str) -> Activity:
        """Return what an agent is doing, to be changed: the main one where no other is named."""
        if not agent_id:
            return self.doing
        doing = self.agents.get(agent_id)
        if doing is None:
            doing = self.agents[agent_id] = Activity()
            if len(self.agents) > AGENTS_MAX:
                over = (key for key, agent in self.agents.items() if agent.is_over)
                del self.agents[next(over, next(iter(self.agents)))]
        return doing

    def row(self, sums: Sums, *, now_ms: int, pace: Pace) -> SessionRow:
        """Return the session as the store keeps it: one that is quiet by now shows as idle."""
        shows = shown(self.doing, self.agents, pace, now_ms)
        self.shown_state = shows.state
        return SessionRow(
            tenant=self.key[0],
            session_id=self.key[1],
            project=self.project,
            agent=self.agent,
            version=self.version,
            user=self.user,
            team=self.team,
            model=self.model,
            state=shows.state,
            state_since_ms=shows.since_ms,
            attention=shows.attention,
            started_ms=self.started_ms,
            last_ms=self.last_ms,
            ended_ms=self.ended_ms,
            first_prompt=self.first_prompt,
            totals=Measures(*sums),
            latency=self.totals.sketch(),
        )

    def is_outdated(self, *, now_ms: int, pace: Pace) -> bool:
        """Say whether the session shows another state by now than when it was last written."""
        return shown(self.doing, self.agents, pace, now_ms).state is not self.shown_state

    def _take_row(self, row: SessionRow) -> None:
        self.move(row.project, row.agent)
        self.version, self.user, self.team, self.model = row.version, row.user, row.team, row.model
        self.first_prompt = row.first_prompt
        self.started_ms, self.last_ms, self.ended_ms = row.started_ms, row.last_ms, row.ended_ms
        self.totals.restore(row.latency)
        self.doing = Activity(
            state=row.state,
            since_ms=row.state_since_ms,
            attention=row.attention,
            active_at_ms=row.last_ms,
            heard_ms=row.last_ms,
        )

    def _take_piece(self, piece: MemoryDelta) -> None:
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
            self.add_prompt(PromptState(prompt_id, 0, kinds=STAND_IN), counters)
        for prompt in piece.asked:
            self.add_prompt(prompt, counters)
        for counter in piece.counters:
            self.add_counter(counter)
        self.doing, self.agents = piece.doing, piece.agents
        self.doing.heard_ms = self.doing.heard_ms or self.doing.active_at_ms
        self.accounts.metered_ms = piece.metered_ms or NEVER

    def _forget_news(self) -> None:
        self.known_count = len(self.ids)
        self.requests.forget_news()
        self.tools.forget_news()
        self.prompts.forget_news()
        if self.new_counters:
            self.new_counters.clear()


def digest_of(event_id: str) -> bytes:
    """Return what is remembered of an id."""
    return xxh3_64_digest(event_id.encode("utf-8", "surrogatepass"))


def digests_of(event_ids: Sequence[str]) -> list[bytes]:
    """Return what is remembered of ids."""
    try:
        return list(map(xxh3_64_digest, map(str.encode, event_ids)))
    except UnicodeEncodeError:  # of half a pair of surrogates
        return [digest_of(one) for one in event_ids]


def former_digest_of(event_id: str) -> bytes:
    """Return what pieces that name no digest remember of an id."""
    return blake2b(event_id.encode("utf-8", "surrogatepass"), digest_size=DIGEST_BYTES).digest()


def _pieces(memory: bytes) -> list[MemoryDelta]:
    pieces: list[MemoryDelta] = []
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
