-- Series of topics that are about no session are told apart by the type of event.

alter table series add column kind text not null default '';
