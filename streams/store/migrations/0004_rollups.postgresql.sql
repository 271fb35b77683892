-- Wider windows and rollups in native partitions. A window table of these widths holds rows apart, of
-- what was too old for 1-minute windows when it came; a rollup holds what those add up to, by series;
-- a total holds the same by tenant and by one dimension.

create table window_5m (like window_1m including all) partition by range (start_at);
create table window_5m_default partition of window_5m default;
create table window_1d (like window_1m including all) partition by range (start_at);
create table window_1d_default partition of window_1d default;

create table rollup_5m (
    start_at timestamptz not null,
    series_id bigint not null,
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
    latency bytea not null,
    primary key (start_at, series_id)
) partition by range (start_at);
create index rollup_5m_by_series on rollup_5m (series_id, start_at);
create table rollup_5m_default partition of rollup_5m default;
create table rollup_1h (like rollup_5m) partition by range (start_at);
alter table rollup_1h add primary key (start_at, series_id);
create index rollup_1h_by_series on rollup_1h (series_id, start_at);
create table rollup_1h_default partition of rollup_1h default;
create table rollup_1d (like rollup_5m) partition by range (start_at);
alter table rollup_1d add primary key (start_at, series_id);
create index rollup_1d_by_series on rollup_1d (series_id, start_at);
create table rollup_1d_default partition of rollup_1d default;

create table total_1m (
    start_at timestamptz not null,
    tenant text not null,
    dimension text not null,
    name text not null,
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
    latency bytea not null,
    primary key (tenant, dimension, start_at, name)
) partition by range (start_at);
create table total_1m_default partition of total_1m default;
create table total_5m (like total_1m including all) partition by range (start_at);
create table total_5m_default partition of total_5m default;
create table total_1h (like total_1m including all) partition by range (start_at);
create table total_1h_default partition of total_1h default;
create table total_1d (like total_1m including all) partition by range (start_at);
create table total_1d_default partition of total_1d default;

-- The hours of a store from before there were rollups hold all that came, and 1-minute windows what
-- is not too old. From the hour on since when both hold the same, the hours are made of the minutes
-- again; the hours before it stay as they are and are added up to days.
do $$
declare
    whole timestamptz;
    measure text;
    sums text;
    names text;
begin
    if exists (select from kept) then
        return;
    end if;
    select max(hour) + interval '1 hour'
      into whole
      from (select start_at as hour, sum(events) as counted from window_1h group by 1) hours
      full join (
            select date_bin('1 hour', start_at, '1970-01-01 00:00:00+00') as hour,
                   sum(events) as counted
              from window_1m group by 1
           ) minutes using (hour)
     where hours.counted is distinct from minutes.counted
       and hours.counted is not null;
    whole := coalesce(whole, '1970-01-01 00:00:00+00');
    insert into kept (name, since)
    values ('window_10s', whole), ('window_1m', whole), ('rollup_5m', whole),
           ('rollup_1h', '1970-01-01 00:00:00+00'), ('rollup_1d', '1970-01-01 00:00:00+00');
    delete from window_1h where start_at >= whole;
    delete from window_1m where start_at < whole;
    select string_agg(format('nullif(sum(%I), 0)::bigint', attname), ', ' order by attnum),
           string_agg(quote_ident(attname), ', ' order by attnum)
      into sums, names
      from pg_attribute
     where attrelid = 'rollup_5m'::regclass and atttypid = 'int8'::regtype
       and attnum > 0 and attname <> 'series_id';
    execute format($move$
        insert into window_1d (start_at, series_id, log_id, partition, batch_offset,
                               %1$s, latency, closed)
        select date_bin('1 day', start_at, '1970-01-01 00:00:00+00'), series_id, log_id, partition,
               batch_offset, %2$s, coalesce(string_agg(latency, ''::bytea), ''::bytea), true
          from window_1h
         group by 1, 2, 3, 4, 5
    $move$, names, sums);
    insert into rollup_due (start_at)
    select distinct date_bin('5 minutes', start_at, '1970-01-01 00:00:00+00') from window_1m;
end $$;
