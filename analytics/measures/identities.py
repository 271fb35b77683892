"""Who told of a thing first: each request, prompt and tool call of a tenant belongs to one session.

Forks, resumed sessions and copied transcripts repeat what another session did. A session registers
what it counts, under a digest of its tenant, kind and name; what another has registered counts
nothing. Only transcripts can hold copies, so only for them is asked whose things are; a live report
is registered unasked, and the store refuses a batch that registers what another session has by now,
and says whose it is. A name that need not be the only one of its kind in the world is registered by
nobody: some models number their tool calls anew in each session.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Final

from xxhash import xxh3_64_intdigest, xxh3_128_digest

from analytics.contracts.ids import SessionId, TenantId
from analytics.measures.rows import IdentityRow

DIGEST_BYTES: Final = 16
"""Two of 10⁹ names agree once in 10²⁰ tenants."""
REQUEST: Final = "request"
TOOL: Final = "tool"
PROMPT: Final = "prompt"

UNIQUE_LENGTH_MIN: Final = 11
UNIQUE_END: Final = 6
"""So many last characters of a unique name are letters and digits, so that none numbers it."""

_DIGIT: Final = re.compile("[0-9]")
_OWNER: Final = itemgetter(0)
_TENANT: Final = itemgetter(1)
_SIGN_BIT: Final = 1 << 63


class Identities:
    """What the sessions of a partition register in one batch, and what is known to be others'."""

    __slots__ = ("_fresh", "_owners", "_told", "is_watchful", "register")

    def __init__(self) -> None:
        self._owners: dict[bytes, int] = {}
        """Of digests that were asked for, or that the store said are another's."""
        self._fresh: list[tuple[int, TenantId, str, str]] = []
        """What was registered since the last look."""
        self.register: Final = self._fresh.append
        """Registers a thing as a session's: takes owner, tenant, kind and name."""
        self._told: dict[bytes, tuple[int, TenantId]] = {}
        """What this batch registers."""
        self.is_watchful = False
        """Whether anything may turn out to be another session's."""

    def learn(self, owners: Mapping[bytes, int]) -> None:
        """Take in whose some things are."""
        self._owners.update(owners)
        self.is_watchful = self.is_watchful or bool(owners)

    def is_anothers(self, owner: int, tenant: TenantId, kind: str, name: str) -> bool:
        """Say whether another session has a thing."""
        if not is_unique(name):
            return False
        self._settle()
        digest = digest_of(tenant, kind, name)
        known = self._owners.get(digest)
        if known is None:
            known, _ = self._told.get(digest, (owner, tenant))
        return known != owner

    def take(self) -> tuple[IdentityRow, ...]:
        """Return what the batch registers, in the order of digests, and begin the next one."""
        self._settle()
        owners, told = self._owners, self._told
        if owners:
            told = {digest: one for digest, one in told.items() if owners.get(digest) != one[0]}
        digests = sorted(told)
        whose = [told[digest] for digest in digests]
        rows = map(IdentityRow, digests, map(_OWNER, whose), map(_TENANT, whose))
        self._told, self._owners, self.is_watchful = {}, {}, False
        return tuple(rows)

    def _settle(self) -> None:
        """Take what was registered since the last look into account; the first one holds."""
        if not self._fresh:
            return
        self.is_watchful = True
        fresh = [one for one in reversed(self._fresh) if is_unique(one[3])]
        names = [f"{tenant}\0{kind}\0{name}" for _, tenant, kind, name in fresh]
        whose = [one[:2] for one in fresh]
        news = dict(zip(_digests_of(names), whose, strict=True))
        if self._told:
            for digest, one in news.items():
                self._told.setdefault(digest, one)
        else:
            self._told = news
        self._fresh.clear()


def owner_of(tenant: TenantId, session_id: SessionId) -> int:
    """Return the number by which a session registers its things."""
    number = xxh3_64_intdigest(f"{tenant}\0{session_id}".encode("utf-8", "surrogatepass"))
    return number - 2 * (number & _SIGN_BIT)


def digest_of(tenant: TenantId, kind: str, name: str) -> bytes:
    """Return what a thing is registered under."""
    return xxh3_128_digest(f"{tenant}\0{kind}\0{name}".encode("utf-8", "surrogatepass"))


def digests_of(tenant: TenantId, named: Iterable[tuple[str, str]]) -> list[bytes]:
    """Return what things, given by kind and name, are registered under: those that can be."""
    return [digest_of(tenant, kind, name) for kind, name in named if is_unique(name)]


def is_unique(name: str) -> bool:
    """Say whether a name can be taken to be the only one of its kind in the world."""
    return (
        len(name) >= UNIQUE_LENGTH_MIN
        and name[-UNIQUE_END:].isalnum()
        and _DIGIT.search(name) is not None
    )


def _digests_of(names: Sequence[str]) -> list[bytes]:
    try:
        return list(map(xxh3_128_digest, map(str.encode, names)))
    except UnicodeEncodeError:  # of half a pair of surrogates
        return [xxh3_128_digest(one.encode("utf-8", "surrogatepass")) for one in names]
