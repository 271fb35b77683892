-- Raw events and windows in native partitions, which a job makes ahead and drops; what has no
-- partition yet waits in the default one.

create table events (
    received_at timestamptz not null,
    at timestamptz not null,
    tenant text not null,
    session_id text not null,
    id text not null,
    type text not null,
    source text not null,
    project text not null,
    agent text not null,
    agent_id text not null,
    model text not null,
    tool text not null,
    duration_ms bigint,
    cost_nanousd bigint,
    failed bool not null,
    log_id smallint not null,
    partition int not null,
    log_offset bigint not null,
    payload jsonb not null
) partition by range (received_at);
create index events_by_session on events (tenant, session_id, at);
create table events_default partition of events default;

create table window_10s (
    start_at timestamptz not null,
    series_id bigint not null,
    log_id smallint not null,
    partition int not null,
    batch_offset bigint not null,
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
    closed bool not null,
    primary key (start_at, series_id, log_id, partition, batch_offset)
) partition by range (start_at);
create table window_10s_default partition of window_10s default with (fillfactor = 70);

create table window_1m (like window_10s including all) partition by range (start_at);
create table window_1m_default partition of window_1m default with (fillfactor = 70);

create table window_1h (like window_10s including all) partition by range (start_at);
create table window_1h_default partition of window_1h default with (fillfactor = 70);
