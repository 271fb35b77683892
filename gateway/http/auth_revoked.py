"""Tokens taken back before they expire: by their id, or all that somebody got before a moment.

The list is JSON: `{"tokens": ["<jti>", …], "users": [{"tenant": …, "user": …, "before_ms": …}]}`. A
user's entry takes back every token issued up to that moment, and those that do not say when; an
empty user stands for all of the tenant. At most `entries_max` entries are kept.
"""

from collections.abc import Mapping
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from analytics.contracts.errors import BadSetting
from analytics.contracts.ids import ID_LENGTH_MAX, EpochMs

EVERYBODY: Final = ""


class Taken(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All tokens of a user, or of a tenant, up to a moment."""

    tenant: Annotated[str, Meta(min_length=1, max_length=ID_LENGTH_MAX)]
    user: Annotated[str, Meta(max_length=512)] = EVERYBODY
    before_ms: EpochMs


class _Listed(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    tokens: list[str] = []
    users: list[Taken] = []


class Revoked(Struct, frozen=True, kw_only=True):
    """What was taken back."""

    tokens: frozenset[str] = frozenset()
    users: Mapping[tuple[str, str], int] = {}

    def __len__(self) -> int:
        """Return how many entries there are."""
        return len(self.tokens) + len(self.users)

    def holds(self, *, token_id: str, tenant: str, user: str, issued_ms: int | None) -> bool:
        """Say whether a token was taken back."""
        if token_id and token_id in self.tokens:
            return True
        for who in (user, EVERYBODY):
            before_ms = self.users.get((tenant, who))
            if before_ms is not None and (issued_ms is None or issued_ms <= before_ms):
                return True
        return False


def read_revoked(data: bytes, *, entries_max: int) -> Revoked:
    """Return the list in `data`; raise `BadSetting` if it is none or too long."""
    try:
        listed = msgspec.json.decode(data, type=_Listed)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadSetting(f"the list of revoked tokens cannot be read: {error}") from error
    count = len(listed.tokens) + len(listed.users)
    if count > entries_max:
        raise BadSetting(f"the list of revoked tokens has {count} entries, at most {entries_max}")
    users: dict[tuple[str, str], int] = {}
    for taken in listed.users:
        who = (taken.tenant, taken.user)
        users[who] = max(taken.before_ms, users.get(who, 0))
    return Revoked(tokens=frozenset(listed.tokens), users=users)
