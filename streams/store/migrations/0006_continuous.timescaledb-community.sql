-- Rollups as continuous aggregates, and the columnstore, where the edition has them.
--
-- What the rollup job wrote before stays: of periods that are older than the 1-minute windows it
-- moves to the tables of rows apart, which are added to the rollups anyway, under log 0, which no
-- topic has. Every other period is due once more, and is read from the 1-minute windows until then.

create function merged_sketch(pairs bytea) returns bytea
    language sql immutable strict parallel safe
    return (
        select coalesce(string_agg(
                   bucket || set_byte(set_byte(set_byte(set_byte('\x00000000'::bytea,
                       0, (total & 255)::int), 1, (total >> 8 & 255)::int),
                       2, (total >> 16 & 255)::int), 3, (total >> 24 & 255)::int),
                   ''::bytea order by place), ''::bytea)
          from (
            select bucket, place, least(sum(number), 4294967295)::bigint as total
              from (
                select substring(pairs from at * 6 + 1 for 2) as bucket,
                       (get_byte(pairs, at * 6) + 256 * get_byte(pairs, at * 6 + 1) + 32768) % 65536
                           as place,
                       get_byte(pairs, at * 6 + 2) + 256 * get_byte(pairs, at * 6 + 3)
                           + 65536 * get_byte(pairs, at * 6 + 4)
                           + 16777216 * get_byte(pairs, at * 6 + 5)::bigint as number
                  from generate_series(0, length(pairs) / 6 - 1) as at
              ) listed
             group by bucket, place
          ) summed
         where total > 0
    );

do $$
declare
    step record;
    since timestamptz := coalesce((select since from kept where name = 'window_1m'), '-infinity');
    measures text := (
        select string_agg(quote_ident(attname), ', ' order by attnum) from pg_attribute
         where attrelid = 'rollup_5m'::regclass and attnum > 0 and not attisdropped
           and attname not in ('start_at', 'series_id', 'latency'));
    sums text := (
        select string_agg(format('nullif(least(greatest(coalesce(sum(%1$s), 0),'
                                 ' -9223372036854775807), 9223372036854775807), 0)::bigint as %1$s',
                                 name),
                          ', ' order by place)
          from unnest(string_to_array(measures, ', ')) with ordinality as named (name, place));
begin
    for step in
        select * from (values ('5m', 'window_1m', interval '5 minutes', interval '1 day'),
                              ('1h', 'rollup_5m', interval '1 hour', interval '30 days'),
                              ('1d', 'rollup_1h', interval '1 day', interval '365 days'))
               as steps (width, source, period, chunk)
    loop
        execute format(
            'insert into window_%1$s (start_at, series_id, log_id, partition, batch_offset, %2$s,'
            ' latency, closed)'
            ' select start_at, series_id, 0, 0, 0, %2$s, latency, true'
            '   from rollup_%1$s where start_at + $1 <= $2',
            step.width, measures) using step.period, since;
        execute format('drop table rollup_%s', step.width);
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

alter table events set (
    timescaledb.enable_columnstore,
    timescaledb.segmentby = 'session_id', timescaledb.orderby = 'at desc');
alter table window_10s set (
    timescaledb.enable_columnstore, timescaledb.segmentby = 'series_id',
    timescaledb.orderby = 'start_at desc, log_id, partition, batch_offset');
alter table window_1m set (
    timescaledb.enable_columnstore, timescaledb.segmentby = 'series_id',
    timescaledb.orderby = 'start_at desc, log_id, partition, batch_offset');
