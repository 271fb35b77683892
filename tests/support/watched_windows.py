"""Closed windows for tests of what is watched: rows as the stream leaves them, without a stream."""

from collections.abc import Iterable
from typing import Final

import psycopg

from analytics.contracts import topics
from analytics.contracts.ids import SessionId, TenantId
from analytics.measures.rows import ON_TIME, CellKey, Grain
from analytics.measures.sketch import to_bytes
from analytics.monitoring.catalogue import STEP_MS
from streams.store.series import FIELDS, series_id
from tests.support.facts import T0_MS

TENANT: Final = "local"
COLUMNS: Final = (
    "cost_nanousd", "input_tokens", "calls", "call_errors", "tool_calls", "tool_errors", "sessions",
    "events", "latency_sum_ms", "latency_count",
)  # fmt: skip

_ADD_SERIES: Final = f"""
insert into series (series_id, {", ".join(FIELDS)}) values (%s, {", ".join(["%s"] * len(FIELDS))})
on conflict do nothing
"""
_OTHERS: Final = (
    "prompts", "rate_limits", "output_tokens", "cache_read_tokens", "cache_write_tokens",
    "cost_estimated_nanousd", "tool_refusals", "lines_added", "lines_removed", "active_ms",
    "usage_input_tokens", "usage_output_tokens", "usage_cache_read_tokens",
    "usage_cache_write_tokens", "usage_cost_nanousd", "usage_lines_added", "usage_lines_removed",
    "usage_active_ms",
)  # fmt: skip
_ADD_WINDOW: Final = f"""
insert into window_1m (start_at, series_id, log_id, partition, batch_offset, closed, latency,
                       {", ".join((*COLUMNS, *_OTHERS))})
values (to_timestamp(%s / 1000.0), %s, 1, 0, %s, true, %s,
        {", ".join(["%s"] * len(COLUMNS))}, {", ".join(["0"] * len(_OTHERS))})
"""
_ADD_SESSION: Final = """
insert into sessions (tenant, session_id, project, agent, version, user_name, team, model, state,
    state_since, attention, started_at, last_at, first_prompt, sessions, prompts, calls,
    call_errors, rate_limits, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens,
    cost_nanousd, cost_estimated_nanousd, latency_sum_ms, latency_count, tool_calls, tool_errors,
    tool_refusals, lines_added, lines_removed, active_ms, usage_input_tokens, usage_output_tokens,
    usage_cache_read_tokens, usage_cache_write_tokens, usage_cost_nanousd, usage_lines_added,
    usage_lines_removed, usage_active_ms, events, latency)
values (%s, %s, 'p', 'claude-code', '', 'ada', 'core', '', 'running', now(), '', now(), now(), '',
        0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, '')
on conflict do nothing
"""
_REACH: Final = """
insert into checkpoints (log_id, partition, epoch, next_offset, watermark_ms)
values (%s, 0, 1, 1, %s)
on conflict (log_id, partition) do update set watermark_ms = excluded.watermark_ms
"""
_MARK: Final = "insert into rollup_due (start_at) values (to_timestamp(%s / 1000.0))"
_ADD_LOG: Final = """
insert into logs (cluster_id, topic) values ('c', %s)
on conflict (cluster_id, topic) do update set topic = excluded.topic returning log_id
"""

Window = tuple[CellKey, int, dict[str, int]]
"""A series, the minute since the start, and what it counts."""


def fleet(tenant: str = TENANT, **dimensions: str) -> CellKey:
    """Return a series of a fleet."""
    return CellKey(tenant=TenantId(tenant), grain=Grain.FLEET, **dimensions)


def session(session_id: str, tenant: str = TENANT) -> CellKey:
    """Return a series of a session."""
    return CellKey(
        tenant=TenantId(tenant), grain=Grain.SESSION, session_id=SessionId(session_id), project="p"
    )


def write(
    url: str, windows: Iterable[Window], *, reached_minutes: int, batch_offset: int = ON_TIME
) -> None:
    """Write one-minute windows, and say that event time is so many minutes after the start.

    What is imported has the offset of its batch.
    """
    rows = list(windows)
    keys = {key for key, _, _ in rows}
    with psycopg.connect(url) as db:
        row = db.execute(_ADD_LOG, [topics.PARTIALS.address]).fetchone()
        assert row is not None
        with db.cursor() as cursor:
            cursor.executemany(
                _ADD_SERIES,
                [(series_id(key), *(getattr(key, one) for one in FIELDS)) for key in keys],
            )
            cursor.executemany(
                _ADD_SESSION, [(key.tenant, key.session_id) for key in keys if key.session_id]
            )
            cursor.executemany(_ADD_WINDOW, [_window(*one, batch_offset) for one in rows])
        periods = {minute // 5 * 5 for _, minute, _ in rows}
        with db.cursor() as cursor:
            cursor.executemany(_MARK, [[T0_MS + minute * STEP_MS] for minute in sorted(periods)])
        db.execute(_REACH, [row[0], T0_MS + reached_minutes * STEP_MS])


def _window(key: CellKey, minute: int, counts: dict[str, int], batch_offset: int) -> list[object]:
    latency = to_bytes({counts["latency_bucket"]: 1}) if "latency_bucket" in counts else b""
    return [
        T0_MS + minute * STEP_MS, series_id(key), batch_offset, latency,
        *(counts.get(name, 0) for name in COLUMNS),
    ]  # fmt: skip
