-- What was erased on request: who asked and what went, and tombstones by which it does not come back.
-- Both name their subject by a digest with this store's own salt. And for how long tenants keep what
-- is theirs, where that is less than everybody does; how far the job has removed it; and when it last
-- looked further back, since rows may come late.

create table erasure_salt (
    salt bytea primary key
);
insert into erasure_salt
select decode(replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''), 'hex');

create table erasures (
    number bigint generated always as identity primary key,
    tenant text not null,
    kind text not null check (kind in ('session', 'user')),
    digest bytea not null,
    asked_by text not null,
    asked_at timestamptz not null default now(),
    finished_at timestamptz,
    removed jsonb not null default '{}'
);
create index erasures_by_time on erasures (tenant, asked_at desc);

create table tombstones (
    number bigint generated always as identity primary key,
    tenant text not null,
    kind text not null check (kind in ('session', 'user')),
    digest bytea not null,
    until_at timestamptz not null,
    unique (tenant, kind, digest)
);

create table retention_settings (
    tenant text not null,
    kind text not null,
    days int not null check (days >= 1),
    changed_by text not null default '',
    changed_at timestamptz not null default now(),
    swept_to timestamptz not null default '1970-01-01 00:00:00+00',
    looked_at timestamptz not null default '1970-01-01 00:00:00+00',
    primary key (tenant, kind)
);
