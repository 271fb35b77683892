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
-- update stays within its page (HOT). What lists are cut, filtered and sorted by comes first in a
-- row: whoever looks through many sessions reads no further into most of them.

alter table sessions rename to sessions_before;
create table sessions (
    last_at timestamptz not null,
    started_at timestamptz not null,
    state_since timestamptz not null,
    last_period timestamptz not null
        generated always as (date_bin('10 minutes', last_at, '2000-01-01 00:00:00+00')) stored,
    second_book bool not null
        generated always as (calls = 0 and (usage_input_tokens > 0 or usage_output_tokens > 0
                                            or usage_cost_nanousd > 0)) stored,
    tenant text not null,
    session_id text not null,
    state text not null,
    project text not null,
    agent text not null,
    model text not null,
    user_name text not null,
    ended_at timestamptz,
    attention text not null,
    version text not null,
    team text not null,
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
    latency bytea not null
) with (fillfactor = 80);
insert into sessions (
    last_at, started_at, state_since, tenant, session_id, state, project, agent, model, user_name,
    ended_at, attention, version, team, first_prompt, sessions, prompts, calls, call_errors,
    rate_limits, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, cost_nanousd,
    cost_estimated_nanousd, latency_sum_ms, latency_count, tool_calls, tool_errors, tool_refusals,
    lines_added, lines_removed, active_ms, usage_input_tokens, usage_output_tokens,
    usage_cache_read_tokens, usage_cache_write_tokens, usage_cost_nanousd, usage_lines_added,
    usage_lines_removed, usage_active_ms, events, latency
)
select
    last_at, started_at, state_since, tenant, session_id, state, project, agent, model, user_name,
    ended_at, attention, version, team, first_prompt, sessions, prompts, calls, call_errors,
    rate_limits, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, cost_nanousd,
    cost_estimated_nanousd, latency_sum_ms, latency_count, tool_calls, tool_errors, tool_refusals,
    lines_added, lines_removed, active_ms, usage_input_tokens, usage_output_tokens,
    usage_cache_read_tokens, usage_cache_write_tokens, usage_cost_nanousd, usage_lines_added,
    usage_lines_removed, usage_active_ms, events, latency
  from sessions_before;
drop table sessions_before;
alter table sessions add primary key (tenant, session_id);
create index sessions_by_period on sessions (tenant, last_period desc);
create index sessions_of_second_book on sessions (tenant, last_period desc) where second_book;
