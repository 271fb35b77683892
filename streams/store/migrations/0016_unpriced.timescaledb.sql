-- The columns, in the tables as this level has them. A database that was plain PostgreSQL before has
-- new ones by now.

select count_unpriced();
