"""A store of the Community edition, and a plain one to compare it with."""

from tests.support.community import community_url, empty_community_url, plain_url
from tests.support.database import database_url, migrated_template, postgres

__all__ = [
    "community_url",
    "database_url",
    "empty_community_url",
    "migrated_template",
    "plain_url",
    "postgres",
]
