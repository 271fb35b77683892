-- What the second stage of the windows keeps between commits: the parcels that it still needs, and
-- what it knows beside them.

create table parcels (
    log_id smallint not null references logs,
    partition int not null,
    log_offset bigint not null,
    until_ms bigint not null,
    payload bytea not null,
    primary key (log_id, partition, log_offset)
);

create table merging (
    log_id smallint not null references logs,
    partition int not null,
    state bytea not null,
    primary key (log_id, partition)
) with (fillfactor = 50);
