-- How notices are sent: those of one group to one receiver in their order, and for how long already.

alter table notices add column thread text not null default '';
alter table notices add column made_at timestamptz not null default now();
create index notices_in_turn on notices (tenant, integration, thread, at, key)
 where state = 'waiting';
