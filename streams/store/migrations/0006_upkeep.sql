-- How often a job ran, and how often that failed.

alter table jobs
    add column runs bigint not null default 0,
    add column failures bigint not null default 0;
