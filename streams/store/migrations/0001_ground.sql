-- What every level holds alike: who has read how far, sessions, and what waits to be sent.

create table logs (
    log_id smallint generated always as identity primary key,
    cluster_id text not null,
    topic text not null,
    first_seen timestamptz not null default now(),
    unique (cluster_id, topic)
);

create table ledger (
    log_id smallint not null references logs,
    partition int not null,
    epoch bigint not null,
    next_offset bigint not null,
    watermark_ms bigint not null,
    event_count bigint not null default 0,
    late_count bigint not null default 0,
    duplicate_count bigint not null default 0,
    backfill_count bigint not null default 0,
    updated_at timestamptz not null default now(),
    primary key (log_id, partition)
) with (fillfactor = 50);

create table series (
    series_id bigint primary key,
    tenant text not null,
    grain text not null,
    project text not null,
    session_id text not null,
    agent text not null,
    model text not null,
    tool text not null,
    skill text not null,
    query_source text not null
);
create index series_by_tenant on series (tenant, grain);
create index series_by_session on series (tenant, session_id) where session_id <> '';

create table sessions (
    tenant text not null,
    session_id text not null,
    project text not null,
    agent text not null,
    version text not null,
    user_name text not null,
    team text not null,
    model text not null,
    state text not null,
    state_since timestamptz not null,
    attention text not null,
    started_at timestamptz not null,
    last_at timestamptz not null,
    ended_at timestamptz,
    first_prompt text not null,
    sessions bigint not null,
    prompts bigint not null,
    calls bigint not null,
    call_errors bigint not null,
    rate_limits bigint not null,
    input_tokens bigint not null,
    output_tokens bigint not null,
    cache_read_tokens bigint not null,
    cache_write_tokens bigint not null,
    cost_nanousd bigint not null,
    cost_estimated_nanousd bigint not null,
    latency_sum_ms bigint not null,
    latency_count bigint not null,
    tool_calls bigint not null,
    tool_errors bigint not null,
    tool_refusals bigint not null,
    lines_added bigint not null,
    lines_removed bigint not null,
    active_ms bigint not null,
    usage_input_tokens bigint not null,
    usage_output_tokens bigint not null,
    usage_cache_read_tokens bigint not null,
    usage_cache_write_tokens bigint not null,
    usage_cost_nanousd bigint not null,
    usage_lines_added bigint not null,
    usage_lines_removed bigint not null,
    usage_active_ms bigint not null,
    events bigint not null,
    latency bytea not null,
    primary key (tenant, session_id)
) with (fillfactor = 70);
create index sessions_by_last on sessions (tenant, last_at desc);

create table seen (
    number bigint generated always as identity,
    tenant text not null,
    session_id text not null,
    log_id smallint not null,
    partition int not null,
    batch_offset bigint not null,
    memory bytea not null
);
create index seen_by_session on seen (tenant, session_id, number);

create table outbox (
    number bigint generated always as identity primary key,
    topic text not null,
    key bytea not null,
    value bytea not null,
    headers jsonb not null,
    created_at timestamptz not null default now()
);

create table graveyard (
    at timestamptz not null,
    topic text not null,
    partition int not null,
    log_offset bigint not null,
    tenant text not null,
    origin text not null,
    reason text not null,
    payload bytea not null
);
create index graveyard_by_time on graveyard (at desc);

create table jobs (
    name text primary key,
    last_started timestamptz,
    last_finished timestamptz,
    last_error text,
    next_due timestamptz,
    detail jsonb not null default '{}'
);
