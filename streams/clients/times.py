"""Times as psycopg takes them."""

from datetime import UTC, datetime


def instant(at_ms: int) -> datetime:
    """Return a time as the store takes it."""
    return datetime.fromtimestamp(at_ms / 1_000, tz=UTC)
