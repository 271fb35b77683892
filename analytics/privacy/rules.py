"""What is kept of people's data; without further words, nothing but who did it."""

from enum import StrEnum

from msgspec import Struct


class Users(StrEnum):
    """What becomes of the name of the user that an event is of."""

    KEEP = "keep"
    HASH = "hash"
    DROP = "drop"


class PrivacyRules(Struct, frozen=True, kw_only=True):
    """What a filter leaves as it came."""

    content: bool = False
    """Prompts, answers and what tools were given; else only how long they were."""
    emails: bool = False
    paths: bool = False
    """Home folders with the user's name in them."""
    secrets: bool = False
    """What looks like a key, a token or a password."""
    users: Users = Users.KEEP
    key: bytes = b""
    """What pseudonyms are made with, where users are hashed."""

    @property
    def keeps_all(self) -> bool:
        """Whether there is nothing to filter."""
        return (
            self.content
            and self.emails
            and self.paths
            and self.secrets
            and self.users is Users.KEEP
        )
