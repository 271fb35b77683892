-- Names of the field: what cannot be read is a dead letter.
alter table graveyard rename to dead_letters;
alter index graveyard_by_time rename to dead_letters_by_time;
update retention_settings set kind = 'dead_letters' where kind = 'graveyard';
-- How far a partition has been folded, with the epoch that fences, is its checkpoint.
alter table ledger rename to checkpoints;
