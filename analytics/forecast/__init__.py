"""What a series will do: models judged online, intervals that hold, budgets that run out."""
