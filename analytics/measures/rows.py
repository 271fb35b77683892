"""The values that folding a batch amounts to: what the store is asked to keep.

One `BatchOutcome` is written in one transaction with the offset it reaches, so a replay changes
nothing. A cell is absolute: it replaces what the same key held. Cells of late and imported events
never touch a closed window's cell; they are rows of their own, told apart by the offset of the
batch that brought them, and whoever reads adds the rows of one series up.
"""

from enum import StrEnum
from typing import Final

from msgspec import Struct

from analytics.contracts.ids import SessionId, TenantId

WIDTHS_MS: Final = (10_000, 60_000)
"""The window widths that the stream folds."""
ROLLED_MS: Final = (300_000, 3_600_000, 86_400_000)
"""The widths that the store rolls up from the widest of `WIDTHS_MS`.

A cell of such a width comes from the stream only for what was too old, when it came, for all of
`WIDTHS_MS`. It is always a row apart, and nothing is rolled up from it.
"""

ON_TIME: Final = -1
"""The `batch_offset` of a cell that its window's own fold wrote."""


class Grain(StrEnum):
    """Which dimensions a cell keeps apart."""

    FLEET = "fleet"
    """project, agent, model, tool, skill and query source, over all sessions."""
    SESSION = "session"
    """project, agent, session and model."""
    TOPIC = "topic"
    """The type of event alone: for topics that are about no session."""


class CellKey(Struct, frozen=True, gc=False, cache_hash=True):
    """The series a cell belongs to; a dimension that does not apply is empty."""

    tenant: TenantId
    grain: Grain
    project: str = ""
    session_id: str = ""
    agent: str = ""
    model: str = ""
    tool: str = ""
    skill: str = ""
    query_source: str = ""
    kind: str = ""
    """The type of event, such as `connection.closed`."""


class Measures(Struct, gc=False):
    """What is counted; every field but `latency` is a sum, and sums may shrink when reports merge.

    `cost_nanousd` holds all cost, of which `cost_estimated_nanousd` comes from a price table. The
    fields that begin with `usage_` are what the sender's own metrics say, as it came; the fields of
    the same names without it hold the fuller of that and of what events tell (see `accounts`).
    """

    sessions: int = 0
    prompts: int = 0
    calls: int = 0
    call_errors: int = 0
    rate_limits: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    cost_nanousd: int = 0
    cost_estimated_nanousd: int = 0
    latency_sum_ms: int = 0
    latency_count: int = 0
    tool_calls: int = 0
    tool_errors: int = 0
    tool_refusals: int = 0
    lines_added: int = 0
    lines_removed: int = 0
    active_ms: int = 0
    usage_input_tokens: int = 0
    usage_output_tokens: int = 0
    usage_cache_read_tokens: int = 0
    usage_cache_write_tokens: int = 0
    usage_cost_nanousd: int = 0
    usage_lines_added: int = 0
    usage_lines_removed: int = 0
    usage_active_ms: int = 0
    events: int = 0
    unpriced_calls: int = 0
    """Model requests that took tokens and whose cost nobody states and no price table knows."""
    unpriced_tokens: int = 0
    """The tokens that they took, and those that only metrics tell of, without a cost."""


MEASURES: Final = Measures.__struct_fields__
"""The names of all sums, in the order in which the store has its columns."""


class SessionState(StrEnum):
    """What a session is doing, as far as its events tell."""

    RUNNING = "running"
    WAITING = "waiting"
    IDLE = "idle"
    STUCK = "stuck"
    RATE_LIMITED = "rate_limited"
    ENDED = "ended"


class RawRow(Struct, frozen=True, gc=False):
    """One event as it came, with the columns that queries filter by."""

    id: str
    tenant: TenantId
    session_id: str
    at_ms: int
    type: str
    source: str
    project: str
    agent: str
    agent_id: str
    model: str
    tool: str
    duration_ms: int | None
    cost_nanousd: int | None
    failed: bool
    offset: int
    payload: bytes


class CellRow(Struct, frozen=True, gc=False):
    """One series' measures over one window, from one partition: absolute, replacing."""

    key: CellKey
    width_ms: int
    start_ms: int
    batch_offset: int
    measures: Measures
    latency: bytes
    closed: bool


class IdentityRow(Struct, frozen=True, gc=False):
    """A thing (see `identities`) and the session that counts it; the first one stays."""

    digest: bytes
    owner: int
    tenant: TenantId


class SessionRow(Struct, frozen=True, kw_only=True, gc=False):
    """All that is known of a session by now: absolute, replacing."""

    tenant: TenantId
    session_id: SessionId
    project: str
    agent: str
    version: str
    user: str
    team: str
    model: str
    state: SessionState
    state_since_ms: int
    attention: str
    started_ms: int
    last_ms: int
    ended_ms: int | None
    first_prompt: str
    totals: Measures
    latency: bytes


class SeenRow(Struct, frozen=True, kw_only=True, gc=False):
    """What one batch adds to a session's memory of ids seen and of facts still to be merged.

    `memory` is the core's own encoding: concatenating the rows of a session in `batch_offset`
    order gives back the whole. Rows are only ever added.
    """

    tenant: TenantId
    session_id: SessionId
    batch_offset: int
    memory: bytes


class MergedRow(Struct, frozen=True, gc=False):
    """One series over one window, of all partitions, as far as is known: absolute."""

    key: CellKey
    width_ms: int
    start_ms: int
    revision: int
    """0 when the window closed; each time that more came for it afterwards, one more."""
    source_count: int
    measures: Measures
    latency: bytes


class KeptRow(Struct, frozen=True, gc=False):
    """A record that the second stage still needs, as it came; see `windows.merging`."""

    offset: int
    until_ms: int
    """The latest end of the windows that it tells of."""
    payload: bytes


class ToldApart(Struct, frozen=True, gc=False):
    """A value, a series or a session that a partition tells apart; see `cardinality`."""

    tenant: TenantId
    dimension: str
    digest: int
    used_ms: int
    """When it was last used, by the broker's clock and about."""


class Limited(Struct, frozen=True, gc=False):
    """How many events of a tenant a batch counted as the value `other` of a dimension."""

    tenant: TenantId
    dimension: str
    events: int


class BatchOutcome(Struct, frozen=True, kw_only=True):
    """What one batch of one partition amounts to."""

    first_offset: int
    next_offset: int
    watermark_ms: int
    raw: tuple[RawRow, ...]
    cells: tuple[CellRow, ...]
    closed: tuple[CellRow, ...]
    """Those cells that are closed by it, to be published; each is among `cells` too."""
    sessions: tuple[SessionRow, ...]
    seen: tuple[SeenRow, ...]
    late_count: int
    duplicate_count: int
    backfill_count: int
    mark: int = 0
    """What the last record is known by when it is met again; 0 where there was none."""
    merged: tuple[MergedRow, ...] = ()
    """Windows of all partitions that closed or were revised, to be published."""
    forced_count: int = 0
    """How many of them closed early, since there was no room to keep them."""
    kept: tuple[KeptRow, ...] = ()
    released_ms: int = 0
    """What was kept until then, or less, is not needed any more."""
    apart: tuple[ToldApart, ...] = ()
    """What is told apart from now on, or was used again; replacing."""
    apart_since_ms: int = 0
    """What was last used before this is not told apart any more."""
    unpriced_count: int = 0
    """Model requests that took tokens and that came without a cost, by models without a price."""
    limited: tuple[Limited, ...] = ()
    """What met a limit of its tenant; to be added up."""
    quiet: bool = False
    """Whether the partition is idle, with no window open: it may say nothing more for long."""
    identities: tuple[IdentityRow, ...] = ()
    """The things that are counted for the first time, in the order of their digests."""
    state: bytes = b""
    """What a second stage knows beside what it keeps; empty for a first stage."""
    behind_ms: int = 0
    """How far behind the watermark there are windows that have ended and are not closed yet."""

    @property
    def settled_ms(self) -> int:
        """Up to when all windows are closed by this outcome and those before it."""
        return self.watermark_ms - self.behind_ms
