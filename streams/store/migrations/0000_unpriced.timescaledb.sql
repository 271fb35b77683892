-- A database that was plain PostgreSQL before: migrations 0002 and 0004 are about to copy its windows
-- into tables of the time before there were columns of what is not priced. They are kept aside for
-- 0016, which comes after these.

do $$
declare
    name text;
begin
    if not exists (
        select from pg_attribute a join pg_class c on c.oid = a.attrelid
         where c.oid = to_regclass('window_10s') and c.relkind = 'p' and a.attname = 'unpriced_calls'
    ) then
        return;
    end if;
    create table unpriced_before (
        of_table text, start_at timestamptz, series_id bigint, log_id smallint, partition int,
        batch_offset bigint, tenant text, dimension text, name text, calls bigint, tokens bigint
    );
    foreach name in array array[
        'window_10s', 'window_1m', 'window_5m', 'window_1h', 'window_1d', 'rollup_5m', 'rollup_1h',
        'rollup_1d', 'total_1m', 'total_5m', 'total_1h', 'total_1d'
    ] loop
        execute format(
            'insert into unpriced_before (of_table, start_at, %1$s, calls, tokens)'
            ' select %2$L, start_at, %1$s, unpriced_calls, unpriced_tokens from %2$I'
            '  where unpriced_calls is not null or unpriced_tokens is not null',
            case when name like 'window%' then 'series_id, log_id, partition, batch_offset'
                 when name like 'rollup%' then 'series_id' else 'tenant, dimension, name' end,
            name);
        execute format('alter table %I drop column unpriced_calls, drop column unpriced_tokens', name);
    end loop;
end $$;
