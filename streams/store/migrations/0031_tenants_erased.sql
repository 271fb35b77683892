-- A tenant can be erased whole: a third kind of request and of tombstone.

alter table erasures drop constraint if exists erasures_kind_check;
alter table erasures add constraint erasures_kind_check
    check (kind in ('session', 'user', 'tenant'));
alter table tombstones drop constraint if exists tombstones_kind_check;
alter table tombstones add constraint tombstones_kind_check
    check (kind in ('session', 'user', 'tenant'));
