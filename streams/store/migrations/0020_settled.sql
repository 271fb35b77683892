-- Up to when all windows of a partition are closed: windows that end together are closed in slices, so
-- this may be behind the watermark for a while. Nothing (null) is the same as the watermark.

alter table ledger add column if not exists settled_ms bigint;
