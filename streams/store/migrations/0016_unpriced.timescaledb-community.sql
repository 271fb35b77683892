-- A continuous aggregate gains no columns, so they are made anew, as 0006 made them. What they hold of
-- periods that are older than the 1-minute windows moves to the tables of rows apart, and totals of
-- these periods go, since rows apart are added to totals. Every other period is due once more.

do $$
declare
    step record;
    since timestamptz := coalesce((select since from kept where name = 'window_1m'), '-infinity');
    measures text[] := array(
        select attname::text from pg_attribute
         where attrelid = 'window_1m'::regclass and attnum > 0 and not attisdropped
           and atttypid = 'int8'::regtype and attname not in ('series_id', 'batch_offset')
         order by attnum);
    tokens constant text := '(coalesce(input_tokens, 0) + coalesce(output_tokens, 0)'
        ' + coalesce(cache_read_tokens, 0) + coalesce(cache_write_tokens, 0))';
    held text := array_to_string(
        array_remove(array_remove(measures, 'unpriced_calls'), 'unpriced_tokens'), ', ');
    changes text := (
        select string_agg(format('%1$s = nullif(coalesce(kept.%1$s, 0) + coalesce(excluded.%1$s, 0), 0)',
                                 name), ', ')
          from unnest(measures) name);
    sums text := (
        select string_agg(format('nullif(least(greatest(coalesce(sum(%1$s), 0),'
                                 ' -9223372036854775807), 9223372036854775807), 0)::bigint as %1$s',
                                 name),
                          ', ' order by place)
          from unnest(measures) with ordinality as named (name, place));
begin
    for step in
        select * from (values ('5m', interval '5 minutes'), ('1h', interval '1 hour'),
                              ('1d', interval '1 day')) as steps (width, period)
    loop
        execute format('alter materialized view rollup_%s set (timescaledb.materialized_only = true)',
                       step.width);
        execute format(
            'insert into window_%1$s as kept (start_at, series_id, log_id, partition, batch_offset,'
            ' %2$s, unpriced_calls, unpriced_tokens, latency, closed)'
            ' select start_at, series_id, 0, 0, 0, %2$s,'
            '        case when coalesce(cost_nanousd, 0) = 0 and %3$s > 0 then calls end,'
            '        case when coalesce(cost_nanousd, 0) = 0 and %3$s > 0 then %3$s end, latency, true'
            '   from rollup_%1$s where start_at + $1 <= $2'
            ' on conflict (start_at, series_id, log_id, partition, batch_offset) do update'
            '    set %4$s, latency = kept.latency || excluded.latency',
            step.width, held, tokens, changes) using step.period, since;
        execute format('delete from total_%s where start_at + $1 <= $2', step.width)
          using step.period, since;
    end loop;
    drop materialized view rollup_1d;
    drop materialized view rollup_1h;
    drop materialized view rollup_5m;
    for step in
        select * from (values ('5m', 'window_1m', interval '5 minutes', interval '1 day'),
                              ('1h', 'rollup_5m', interval '1 hour', interval '30 days'),
                              ('1d', 'rollup_1h', interval '1 day', interval '365 days'))
               as steps (width, source, period, chunk)
    loop
        execute format(
            'create materialized view rollup_%s with (timescaledb.continuous,'
            ' timescaledb.materialized_only = false, timescaledb.chunk_interval = %L) as'
            ' select time_bucket(interval %L, start_at) as start_at, series_id, %s,'
            ' merged_sketch(string_agg(latency, ''''::bytea)) as latency'
            ' from %I group by 1, 2 with no data',
            step.width, step.chunk, step.period, sums, step.source);
    end loop;
end $$;

insert into rollup_due (start_at)
select distinct time_bucket(interval '5 minutes', start_at) from window_1m;
