"""The dashboard and its queries over a real PostgreSQL."""
