-- Model requests whose cost is not known, and the tokens that they took, are sums like all others. The
-- shapes of rows that a batch hands over gain them under new names, since older workers still send the
-- old ones; what those write has nothing in these columns.

create type window_row_v2 as (
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
    unpriced_calls bigint,
    unpriced_tokens bigint,
    latency bytea,
    closed bool
);

create type session_row_v2 as (
    tenant text,
    session_id text,
    project text,
    agent text,
    version text,
    user_name text,
    team text,
    model text,
    state text,
    state_since timestamptz,
    attention text,
    started_at timestamptz,
    last_at timestamptz,
    ended_at timestamptz,
    first_prompt text,
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
    unpriced_calls bigint,
    unpriced_tokens bigint,
    latency bytea
);

-- Adds the columns to whatever tables of sums there are, and fills them. Until now a row of series
-- counted as not priced if it had tokens and no cost at all. So does each row here, and of one that
-- holds requests of both sorts what the narrower rows of the same events say, as far as those are
-- kept. Totals are what their series come to. Where the database makes rollups itself, they have no
-- columns to fill. A database that gains an edition calls it again, for the tables that it then makes;
-- what `unpriced_before` keeps for it comes back first.
create function count_unpriced() returns void language plpgsql as $$
declare
    own constant text := 'coalesce(cost_nanousd, 0) = 0 and coalesce(input_tokens, 0)'
        ' + coalesce(output_tokens, 0) + coalesce(cache_read_tokens, 0)'
        ' + coalesce(cache_write_tokens, 0) > 0';
    tokens constant text := 'nullif(coalesce(input_tokens, 0) + coalesce(output_tokens, 0)'
        ' + coalesce(cache_read_tokens, 0) + coalesce(cache_write_tokens, 0), 0)';
    is_first constant bool := not exists (select from pg_attribute
        where attrelid = 'sessions'::regclass and attname = 'unpriced_calls');
    tables constant text[] := array(
        select relname::text from pg_class
         where oid in (select to_regclass(listed) from unnest(array[
                   'window_10s', 'window_1m', 'window_5m', 'window_1h', 'window_1d', 'rollup_5m',
                   'rollup_1h', 'rollup_1d', 'total_1m', 'total_5m', 'total_1h', 'total_1d']) listed)
           and relkind in ('r', 'p'));
    name text;
    step record;
begin
    if current_setting('timescaledb.max_tuples_decompressed_per_dml_transaction', true) is not null then
        perform set_config('timescaledb.max_tuples_decompressed_per_dml_transaction', '0', true);
    end if;
    foreach name in array tables loop
        execute format('alter table %I add column if not exists unpriced_calls bigint,'
                       ' add column if not exists unpriced_tokens bigint', name);
    end loop;
    if to_regclass('unpriced_before') is not null then
        foreach name in array tables loop
            execute format(
                'update %1$I w set unpriced_calls = b.calls, unpriced_tokens = b.tokens'
                '  from unpriced_before b where b.of_table = %1$L and b.start_at = w.start_at and %2$s',
                name,
                case when name like 'window%' then 'b.series_id = w.series_id and b.log_id = w.log_id'
                          ' and b.partition = w.partition and b.batch_offset = w.batch_offset'
                     when name like 'rollup%' then 'b.series_id = w.series_id'
                     else 'b.tenant = w.tenant and b.dimension = w.dimension and b.name = w.name'
                end);
        end loop;
        drop table unpriced_before;
        return;
    end if;
    foreach name in array tables loop
        continue when name like 'total%';
        execute format('update %I set unpriced_calls = nullif(calls, 0), unpriced_tokens = %s where %s',
                       name, tokens, own);
    end loop;
    for step in
        select *, case when wide like 'window%' then array['series_id', 'log_id', 'partition', 'batch_offset']
                       else array['series_id'] end as keys
          from (values
            ('window_1m', 'window_10s', '1 minute'), ('window_1h', 'window_5m', '1 hour'),
            ('window_1d', 'window_1h', '1 day'), ('rollup_5m', 'window_1m', '5 minutes'),
            ('rollup_1h', 'rollup_5m', '1 hour'), ('rollup_1d', 'rollup_1h', '1 day')
        ) listed (wide, narrow, width)
         where wide = any(tables)
    loop
        execute format(
            'update %1$I w set unpriced_calls = n.calls, unpriced_tokens = n.tokens'
            '  from (select date_bin(%3$L::interval, start_at, ''epoch''::timestamptz) as start_at,'
            '               %4$s, nullif(sum(unpriced_calls), 0)::bigint as calls,'
            '               sum(unpriced_tokens)::bigint as tokens'
            '          from %2$I where unpriced_tokens > 0 group by 1, %4$s) n'
            ' where n.start_at = w.start_at and w.unpriced_tokens is null and %5$s',
            step.wide, step.narrow, step.width, array_to_string(step.keys, ', '),
            (select string_agg(format('n.%1$s = w.%1$s', key), ' and ') from unnest(step.keys) key));
    end loop;
    for step in
        select * from (values ('total_1m', 'window_1m'), ('total_5m', 'rollup_5m'),
                              ('total_1h', 'rollup_1h'), ('total_1d', 'rollup_1d')
        ) listed (total, source)
         where source = any(tables)
    loop
        execute format(
            'update %I t set unpriced_calls = n.calls, unpriced_tokens = n.tokens'
            '  from (select w.start_at, s.tenant, of.dimension, of.name,'
            '               nullif(sum(w.unpriced_calls), 0)::bigint as calls,'
            '               sum(w.unpriced_tokens)::bigint as tokens'
            '          from %I w join series s on s.series_id = w.series_id and s.grain = ''fleet'''
            '         cross join lateral (values ('''', ''''), (''agent'', s.agent),'
            '               (''model'', s.model), (''tool'', s.tool), (''skill'', s.skill),'
            '               (''project'', s.project)) as of (dimension, name)'
            '         where w.unpriced_tokens > 0 group by 1, 2, 3, 4) n'
            ' where n.start_at = t.start_at and n.tenant = t.tenant'
            '   and n.dimension = t.dimension and n.name = t.name',
            step.total, step.source);
    end loop;
    insert into rollup_due (width_ms, start_at)
    select distinct 300000, date_bin('5 minutes', start_at, 'epoch'::timestamptz)
      from window_1m where unpriced_tokens > 0;
    if not is_first then
        return;
    end if;
    alter table sessions add column unpriced_calls bigint not null default 0,
                         add column unpriced_tokens bigint not null default 0;
    execute format(
        'update sessions u set unpriced_calls = n.calls, unpriced_tokens = n.tokens'
        '  from (select s.tenant, s.session_id, coalesce(sum(w.calls), 0)::bigint as calls,'
        '               sum(w.tokens)::bigint as tokens'
        '          from (select series_id, unpriced_calls as calls, unpriced_tokens as tokens'
        '                  from window_1m where unpriced_tokens > 0'
        '                union all'
        '                select series_id, unpriced_calls, unpriced_tokens'
        '                  from window_1d where unpriced_tokens > 0'
        '                union all'
        '                select series_id, calls, %s from rollup_1d where %s and start_at <='
        '                  (select since - interval ''1 day'' from kept where name = ''window_1m'')'
        '               ) w'
        '          join series s on s.series_id = w.series_id and s.grain = ''session'''
        '         group by 1, 2) n'
        ' where n.tenant = u.tenant and n.session_id = u.session_id', tokens, own);
end $$;
