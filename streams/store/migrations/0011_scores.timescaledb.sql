-- Every reading of a watched series with its band and its score: what a detector goes on from after
-- its last snapshot, and what a timeline shows. A database that was plain PostgreSQL before keeps
-- its rows.

do $$
begin
    if to_regclass('scores') is not null then
        alter table scores rename to scores_native;
        alter index scores_by_series rename to scores_native_by_series;
    end if;
end $$;

create table scores (
    at timestamptz not null,
    watch_id bigint not null,
    value float8 not null,
    low float8 not null,
    high float8 not null,
    score real not null
);
create index scores_by_series on scores (watch_id, at);
select create_hypertable('scores', by_range('at', interval '1 day'), create_default_indexes => false);

do $$
begin
    if to_regclass('scores_native') is not null then
        insert into scores select * from scores_native;
        drop table scores_native;
    end if;
end $$;
