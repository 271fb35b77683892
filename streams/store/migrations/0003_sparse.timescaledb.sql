-- A sum that is zero is null: most sums of a cell are, and a null takes a bit where a zero took eight
-- bytes. Whoever adds sums up counts null as nothing.

do $$
declare
    name text;
    measure text;
begin
    foreach name in array array['window_10s', 'window_1m', 'window_5m', 'window_1h', 'window_1d'] loop
        continue when to_regclass(name) is null;
        for measure in
            select attname from pg_attribute
             where attrelid = name::regclass and attnum > 0 and attnotnull
               and atttypid = 'int8'::regtype
               and attname not in ('series_id', 'batch_offset')
        loop
            execute format('alter table %I alter column %I drop not null', name, measure);
        end loop;
    end loop;
end $$;
