-- A database that was plain PostgreSQL before: migration 0002 is about to copy its windows into
-- tables of the time before sums could be null, so nulls become zeros again here.

do $$
declare
    name text;
    zeros text;
    nulls text;
begin
    foreach name in array array['window_10s', 'window_1m', 'window_1h'] loop
        continue when not exists (
            select from pg_class where oid = to_regclass(name) and relkind = 'p'
        );
        select string_agg(format('%1$I = coalesce(%1$I, 0)', attname), ', '),
               string_agg(format('%I is null', attname), ' or ')
          into zeros, nulls
          from pg_attribute
         where attrelid = name::regclass and attnum > 0 and not attnotnull
           and atttypid = 'int8'::regtype;
        if zeros is not null then
            execute format('update %I set %s where %s', name, zeros, nulls);
        end if;
    end loop;
end $$;
