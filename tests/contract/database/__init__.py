"""What the embedded PostgreSQL server promises to whoever starts and stops it."""
