-- By what the last stored record of a partition is known again (see streams/consumer/fingerprints.py).
alter table ledger add column mark bigint not null default 0;

-- For which partition of which log a session was last recalled: only that one may replace its row.
alter table sessions add column owner bigint not null default 0;

create function require_all(replaced bigint, asked bigint) returns void
language plpgsql as $$
begin
    if replaced <> asked then
        raise exception 'a session was recalled for another partition or log since'
              using errcode = 'serialization_failure';
    end if;
end $$;
