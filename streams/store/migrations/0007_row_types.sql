-- The shapes of rows that a batch hands over as one parameter, beside session_row: an array of these,
-- in binary form. A table that gains a column gets a type of a new name, since older workers still
-- send this one. cell_row of 0003 stays for them.

create type window_row as (
    start_at timestamptz,
    series_id bigint,
    batch_offset bigint,
    sessions bigint,
    prompts bigint,
    calls bigint,
    call_errors bigint,
    rate_limits bigint,
    input_tokens bigint,
    output_tokens bigint,
    cache_read_tokens bigint,
    cache_write_tokens bigint,
    cost_nanousd bigint,
    cost_estimated_nanousd bigint,
    latency_sum_ms bigint,
    latency_count bigint,
    tool_calls bigint,
    tool_errors bigint,
    tool_refusals bigint,
    lines_added bigint,
    lines_removed bigint,
    active_ms bigint,
    usage_input_tokens bigint,
    usage_output_tokens bigint,
    usage_cache_read_tokens bigint,
    usage_cache_write_tokens bigint,
    usage_cost_nanousd bigint,
    usage_lines_added bigint,
    usage_lines_removed bigint,
    usage_active_ms bigint,
    events bigint,
    latency bytea,
    closed bool
);

create type series_row as (
    series_id bigint,
    tenant text,
    grain text,
    project text,
    session_id text,
    agent text,
    model text,
    tool text,
    skill text,
    query_source text,
    kind text
);

create type seen_row as (
    tenant text,
    session_id text,
    batch_offset bigint,
    memory bytea
);

create type outbox_row as (
    topic text,
    key bytea,
    value bytea,
    headers jsonb
);

-- Each commit moves last_at of its sessions. An index on it made every such update touch all indexes
-- of the table; one on the ten minutes that it falls in is touched once in ten minutes, so that an
-- update stays within its page (HOT).

alter table sessions
  add column last_period timestamptz not null
      generated always as (date_bin('10 minutes', last_at, '2000-01-01 00:00:00+00')) stored;
create index sessions_by_period on sessions (tenant, last_period desc);
drop index sessions_by_last;
