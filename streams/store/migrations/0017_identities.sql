-- Which session told of a request, a prompt or a tool call first: a digest of tenant, kind and name, and
-- a number that stands for the session. Rows go in as batches come, so an index by blocks finds old ones.

create table identities (
    digest uuid primary key,
    owner bigint not null,
    tenant text not null,
    registered_at timestamptz not null default now()
) with (fillfactor = 100);
create index identities_by_time on identities using brin (registered_at) with (pages_per_range = 32);

create type identity_row as (
    digest uuid,
    owner bigint,
    tenant text
);
