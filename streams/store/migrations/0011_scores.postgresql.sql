-- Every reading of a watched series with its band and its score: what a detector goes on from after
-- its last snapshot, and what a timeline shows.

create table scores (
    at timestamptz not null,
    watch_id bigint not null,
    value float8 not null,
    low float8 not null,
    high float8 not null,
    score real not null
) partition by range (at);
create index scores_by_series on scores (watch_id, at);
create table scores_default partition of scores default;
