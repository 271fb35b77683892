-- From here on the sums of a window and of a session hold the fuller of two accounts, what events tell
-- and what the sender's own metrics say, so readers choose no more. Sessions that only metrics told of
-- were read from the usage_ columns until now: what these hold beyond the others is added, as rows
-- apart (batch_offset -2), to each width that keeps it, for the session and for its fleet. Periods
-- whose minutes are kept are marked, so that rollups and totals are made anew of them.

do $$
declare
    names constant text[] := array['input_tokens', 'output_tokens', 'cache_read_tokens',
        'cache_write_tokens', 'cost_nanousd', 'lines_added', 'lines_removed', 'active_ms'];
    target record;
    sums text;
    columns text;
    changes text;
    before timestamptz;
begin
    create temp table told_by_metrics on commit drop as
    select s.series_id, fleet.series_id as fleet_id,
           u.usage_input_tokens > u.input_tokens as input_tokens,
           u.usage_output_tokens > u.output_tokens as output_tokens,
           u.usage_cache_read_tokens > u.cache_read_tokens as cache_read_tokens,
           u.usage_cache_write_tokens > u.cache_write_tokens as cache_write_tokens,
           u.usage_cost_nanousd > u.cost_nanousd as cost_nanousd,
           u.usage_lines_added > u.lines_added as lines_added,
           u.usage_lines_removed > u.lines_removed as lines_removed,
           u.usage_active_ms > u.active_ms as active_ms
      from sessions u
      join series s on s.tenant = u.tenant and s.session_id = u.session_id and s.grain = 'session'
      left join (
          select distinct on (tenant, project, agent, model)
                 tenant, project, agent, model, series_id
            from series
           where grain = 'fleet'
           order by tenant, project, agent, model, tool, skill, query_source, series_id
      ) fleet on fleet.tenant = s.tenant and fleet.project = s.project
             and fleet.agent = s.agent and fleet.model = s.model
     where u.second_book
       and (u.usage_input_tokens > u.input_tokens or u.usage_output_tokens > u.output_tokens
            or u.usage_cache_read_tokens > u.cache_read_tokens
            or u.usage_cache_write_tokens > u.cache_write_tokens
            or u.usage_cost_nanousd > u.cost_nanousd or u.usage_lines_added > u.lines_added
            or u.usage_lines_removed > u.lines_removed or u.usage_active_ms > u.active_ms);
    if not exists (select from told_by_metrics) then
        return;
    end if;
    select string_agg(format(
               'sum(case when u.%1$I then coalesce(w.usage_%1$I, 0) - coalesce(w.%1$I, 0) end)',
               name), ', '),
           string_agg(format('%I', name), ', '),
           string_agg(format('%1$I = nullif(coalesce(kept.%1$I, 0) + coalesce(excluded.%1$I, 0), 0)',
                             name), ', ')
      into sums, columns, changes
      from unnest(names) name;
    for target in
        select * from (values
            ('window_10s', 'window_10s', null, '10 seconds'),
            ('window_1m', 'window_1m', null, '1 minute'),
            ('window_5m', 'window_5m', null, '5 minutes'),
            ('window_1h', 'window_1h', null, '1 hour'),
            ('window_1d', 'window_1d', null, '1 day'),
            ('window_5m', 'rollup_5m', 'window_1m', '5 minutes'),
            ('window_1h', 'rollup_5m', 'window_1m', '1 hour'),
            ('window_1d', 'rollup_5m', 'window_1m', '1 day'),
            ('window_1h', 'rollup_1h', 'rollup_5m', '1 hour'),
            ('window_1d', 'rollup_1h', 'rollup_5m', '1 day'),
            ('window_1d', 'rollup_1d', 'rollup_1h', '1 day')
        ) listed (into_table, from_table, narrower, width)
    loop
        select since into before from kept where name = target.narrower;
        continue when target.narrower is not null and before is null;
        execute format(
            'insert into %1$I as kept (start_at, series_id, log_id, partition, batch_offset, %2$s,
                                       latency, closed)
             select date_bin(%3$L::interval, w.start_at, ''epoch''::timestamptz),
                    either.series_id, 0, 0, -2, %4$s, ''''::bytea, true
               from %5$I w join told_by_metrics u on u.series_id = w.series_id
              cross join lateral (values (u.series_id), (u.fleet_id)) as either (series_id)
              where either.series_id is not null and %6$s
              group by 1, 2
             on conflict (start_at, series_id, log_id, partition, batch_offset) do update set %7$s',
            target.into_table, columns, target.width, sums, target.from_table,
            case when target.narrower is null then 'w.batch_offset <> -2'
                 else format('w.start_at < %L', before) end,
            changes);
    end loop;
    insert into rollup_due (width_ms, start_at)
    select distinct 300000, date_bin('5 minutes', w.start_at, 'epoch'::timestamptz)
      from window_1m w join told_by_metrics u on u.series_id = w.series_id;
    update sessions
       set input_tokens = greatest(input_tokens, usage_input_tokens),
           output_tokens = greatest(output_tokens, usage_output_tokens),
           cache_read_tokens = greatest(cache_read_tokens, usage_cache_read_tokens),
           cache_write_tokens = greatest(cache_write_tokens, usage_cache_write_tokens),
           cost_nanousd = greatest(cost_nanousd, usage_cost_nanousd),
           lines_added = greatest(lines_added, usage_lines_added),
           lines_removed = greatest(lines_removed, usage_lines_removed),
           active_ms = greatest(active_ms, usage_active_ms)
     where second_book;
    drop table told_by_metrics;
end $$;

-- Which sessions metrics alone tell of is a mark beside a figure by now, and no list is cut by it.
drop index if exists sessions_of_second_book;
