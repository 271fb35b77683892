-- In which order sessions came: a place in a list that no later event moves, for pages to go by.

alter table sessions add column if not exists number bigint generated always as identity;
create unique index if not exists sessions_by_arrival on sessions (tenant, number desc);
