-- Raw events and windows as hypertables. A database that was plain PostgreSQL before keeps its rows.

do $$
declare
    name text;
begin
    foreach name in array array['events', 'window_10s', 'window_1m', 'window_1h'] loop
        if to_regclass(name) is not null then
            execute format('alter table %1$I rename to %2$I', name, name || '_native');
        end if;
    end loop;
    if to_regclass('events_by_session') is not null then
        alter index events_by_session rename to events_native_by_session;
    end if;
end $$;

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
);
create index events_by_session on events (tenant, session_id, at);
select create_hypertable('events', by_range('received_at', interval '1 day'), create_default_indexes => false);

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
) with (fillfactor = 70);
create table window_1m (like window_10s including all) with (fillfactor = 70);
create table window_1h (like window_10s including all) with (fillfactor = 70);
select create_hypertable('window_10s', by_range('start_at', interval '1 day'), create_default_indexes => false);
select create_hypertable('window_1m', by_range('start_at', interval '1 day'), create_default_indexes => false);
select create_hypertable('window_1h', by_range('start_at', interval '30 days'), create_default_indexes => false);

do $$
declare
    name text;
begin
    foreach name in array array['events', 'window_10s', 'window_1m', 'window_1h'] loop
        if to_regclass(name || '_native') is not null then
            execute format('insert into %1$I select * from %2$I', name, name || '_native');
            execute format('drop table %1$I', name || '_native');
        end if;
    end loop;
end $$;
