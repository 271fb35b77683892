"""One Faust agent a file, named for what it makes."""

from typing import Final

from streams.agents import connections, dead_letters, final_aggregation, metrics, reviews

ALL: Final = (
    metrics.add_to,
    connections.add_to,
    reviews.add_to,
    final_aggregation.add_to,
    dead_letters.add_to,
)
"""Every agent of a worker."""
