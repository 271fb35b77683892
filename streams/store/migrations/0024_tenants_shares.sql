-- What each partition tells apart of a tenant (see analytics/measures/cardinality.py), and how many
-- events were counted as `other` since there was more than its limits hold.

create table told_apart (
    log_id smallint not null,
    partition int not null,
    tenant text not null,
    dimension text not null,
    digest bigint not null,
    used_ms bigint not null,
    primary key (log_id, partition, tenant, dimension, digest)
);

create table limited (
    tenant text not null,
    dimension text not null,
    log_id smallint not null,
    partition int not null,
    events bigint not null,
    last_at timestamptz not null default now(),
    primary key (tenant, dimension, log_id, partition)
);
