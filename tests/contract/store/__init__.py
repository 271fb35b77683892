"""What every store promises, held to the same words: memory, PostgreSQL, TimescaleDB."""
