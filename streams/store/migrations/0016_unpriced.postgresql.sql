-- The columns, in the tables as this level has them.

select count_unpriced();
