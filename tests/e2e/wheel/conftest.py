"""The parts that the tests of the image run against."""

from tests.support.broker import tansu
from tests.support.database import database_url, migrated_template, postgres

__all__ = ["database_url", "migrated_template", "postgres", "tansu"]
