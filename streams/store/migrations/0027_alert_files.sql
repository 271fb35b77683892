-- Who keeps a file of alerts: people who ask for it, or the folder that a worker follows. What of that
-- folder was refused, and why; and which worker follows it just now.

alter table alert_files add column if not exists origin text not null default 'asked';

create table if not exists alert_files_refused (
    tenant text not null,
    name text not null,
    reason text not null,
    at timestamptz not null default now(),
    primary key (tenant, name)
);

create table if not exists alert_folder (
    number int primary key,
    owner text not null,
    leased_until timestamptz not null
);
