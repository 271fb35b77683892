"""The query API over a real PostgreSQL."""
