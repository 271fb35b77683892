-- What rollups of windows need beside their tables: which periods are to be rolled up anew, and from
-- when on each table is whole.

create table rollup_due (
    number bigint generated always as identity primary key,
    width_ms int not null default 300000,
    start_at timestamptz not null,
    marked_at timestamptz not null default now()
);
create index rollup_due_by_period on rollup_due (width_ms, start_at);
create index rollup_due_by_age on rollup_due (width_ms, marked_at);

create table kept (
    name text primary key,
    since timestamptz not null default '1970-01-01 00:00:00+00',
    term_s bigint
);

-- When a worker last made sure of a series, and when something was last learnt of a memory: what
-- nothing refers to any more goes only after that.
alter table series add column used_at timestamptz not null default now();
alter table seen add column added_at timestamptz not null default now();
