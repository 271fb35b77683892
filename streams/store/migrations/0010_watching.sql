-- What the worker makes of closed windows: who watches which tenants and how far they are, the series
-- that are watched, what was unusual, what is expected, and alerts with all that belongs to them.

create table watches (
    shard smallint primary key,
    owner text not null default '',
    epoch bigint not null default 0,
    leased_until timestamptz not null default '1970-01-01 00:00:00+00',
    at_ms bigint not null default 0
) with (fillfactor = 50);
insert into watches (shard) select generate_series(0, 15);

create table watchers (
    owner text primary key,
    seen_at timestamptz not null default now()
);

create table watched (
    watch_id bigint primary key,
    tenant text not null,
    measure text not null,
    dimension text not null,
    part text not null,
    since_ms bigint not null,
    active_ms bigint not null,
    snapshot_ms bigint not null default 0,
    snapshot bytea,
    unique (tenant, measure, dimension, part)
) with (fillfactor = 70);

create table anomalies (
    anomaly_id text primary key,
    tenant text not null,
    at timestamptz not null,
    watch_id bigint not null,
    measure text not null,
    dimension text not null,
    part text not null,
    value float8,
    expected_low float8 not null,
    expected_high float8 not null,
    score float8 not null,
    rarity float8 not null,
    ingredient text not null,
    reason text not null,
    blames jsonb not null,
    feedback text not null default '',
    feedback_by text not null default '',
    feedback_at timestamptz
);
create index anomalies_by_time on anomalies (tenant, at desc);
create index anomalies_by_word on anomalies (tenant, watch_id) where feedback <> '';
create index anomalies_by_series on anomalies (watch_id, at desc);

create table forecasters (
    tenant text not null,
    measure text not null,
    dimension text not null,
    part text not null,
    step_ms bigint not null,
    snapshot bytea not null,
    primary key (tenant, measure, dimension, part, step_ms)
) with (fillfactor = 50);

create table forecasts (
    tenant text not null,
    measure text not null,
    dimension text not null,
    part text not null,
    horizon text not null,
    made_at timestamptz not null,
    step_ms bigint not null,
    points jsonb not null,
    primary key (tenant, measure, dimension, part, horizon)
) with (fillfactor = 50);

create table budgets (
    tenant text not null,
    name text not null,
    period text not null check (period in ('5h', 'day', 'week')),
    limit_usd float8 not null check (limit_usd > 0),
    project text not null default '',
    changed_by text not null default '',
    changed_at timestamptz not null default now(),
    at timestamptz,
    spent_usd float8,
    resets_at timestamptz,
    exhausts_at timestamptz,
    probability float8,
    primary key (tenant, name)
);

create table situations (
    tenant text primary key,
    at_ms bigint not null,
    state bytea not null
) with (fillfactor = 50);

create table alerts (
    tenant text not null,
    fingerprint text not null,
    rule text not null,
    labels jsonb not null,
    annotations jsonb not null,
    state text not null,
    value float8,
    active_at timestamptz not null,
    starts_at timestamptz,
    ends_at timestamptz,
    silenced_by text[] not null default '{}',
    inhibited_by text not null default '',
    acknowledged_by text not null default '',
    primary key (tenant, fingerprint)
) with (fillfactor = 70);

create table alert_changes (
    number bigint generated always as identity primary key,
    tenant text not null,
    at timestamptz not null,
    fingerprint text not null,
    labels jsonb not null,
    was text not null,
    state text not null,
    value float8
);
create index alert_changes_by_time on alert_changes (tenant, at desc);

create table notices (
    key text primary key,
    tenant text not null,
    at timestamptz not null,
    receiver text not null,
    integration text not null,
    why text not null,
    body bytea not null,
    state text not null default 'waiting' check (state in ('waiting', 'sent', 'given up')),
    attempts int not null default 0,
    next_at timestamptz not null default now(),
    sent_at timestamptz,
    error text not null default ''
);
create index notices_due on notices (next_at) where state = 'waiting';
create index notices_by_time on notices (tenant, at desc);

create table silences (
    silence_id text primary key,
    tenant text not null,
    matchers text not null,
    starts_at timestamptz not null,
    ends_at timestamptz not null,
    created_by text not null,
    comment text not null,
    replaces text not null default '',
    created_at timestamptz not null default now()
);
create index silences_by_end on silences (tenant, ends_at);

create table acknowledgements (
    tenant text not null,
    fingerprint text not null,
    at timestamptz not null,
    acknowledged_by text not null,
    primary key (tenant, fingerprint, at)
);

create table alert_files (
    tenant text not null,
    kind text not null check (kind in ('rules', 'routing')),
    name text not null,
    body text not null,
    changed_by text not null default '',
    changed_at timestamptz not null default now(),
    primary key (tenant, kind, name)
);

create table recordings (
    tenant text not null,
    at timestamptz not null,
    labels jsonb not null,
    value float8
);
create index recordings_by_time on recordings (tenant, at);
