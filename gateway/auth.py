"""Tokens: who calls, for which tenant, and what they may do.

Tokens are JWTs signed with HS256, for the issuer and audience below. A verified token is remembered
by its hash until it expires, so a busy caller costs one lookup; at most `cached_max` are kept. No
token is ever logged, and no error repeats one.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated, Final

import msgspec
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey
from msgspec import Meta, Struct

from analytics.contracts.errors import Forbidden, Unauthenticated
from analytics.contracts.ids import ID_LENGTH_MAX, TenantId

ALGORITHM: Final = "HS256"
ISSUER: Final = "mainstem"
AUDIENCE: Final = "mainstem-gateway"
TOKEN_LENGTH_MAX: Final = 8_192
CLOCK_SKEW_MS: Final = 30_000
"""How far ahead of ours the clock of whoever issued a token may be."""


class Scope(StrEnum):
    """What a token allows."""

    PUBLISH = "publish"
    SUBSCRIBE = "subscribe"
    ADMIN = "admin"


class Grant(Struct, frozen=True, kw_only=True):
    """What a good token says."""

    user: str
    tenant: TenantId
    scopes: frozenset[str]
    expires_ms: int | None = None
    channels: tuple[str, ...] = ()
    """Channels that a connection with this token is put into."""
    channel: str = ""
    """The one channel that this token opens, where it is a subscription's and no connection's."""

    def require(self, scope: Scope) -> None:
        """Raise `Forbidden` unless the token has `scope`."""
        if scope not in self.scopes:
            raise Forbidden(f"the token lacks the scope {scope.value!r}; ask for one that has it")


class TokenExpired(Unauthenticated):
    """A token that was good once; a new one will do."""

    code = "token-expired"


class _Claims(Struct, frozen=True, kw_only=True):
    tenant: Annotated[str, Meta(min_length=1, max_length=ID_LENGTH_MAX)]
    iss: str
    aud: str | list[str]
    sub: Annotated[str, Meta(max_length=512)] = ""
    scopes: list[str] = []
    channels: list[str] = []
    channel: str = ""
    exp: float | None = None
    nbf: float | None = None


def issue(
    key: bytes,
    *,
    user: str,
    tenant: TenantId,
    scopes: Iterable[Scope],
    now_ms: int,
    lifetime_ms: int | None = None,
) -> str:
    """Return a signed token for `user` of `tenant`; one without a lifetime never expires."""
    claims: dict[str, object] = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": user,
        "tenant": tenant,
        "scopes": [scope.value for scope in scopes],
        "iat": now_ms // 1_000,
    }
    if lifetime_ms is not None:
        claims["exp"] = (now_ms + lifetime_ms) // 1_000
    return jwt.encode({"alg": ALGORITHM}, claims, OctKey.import_key(key))


class Verifier:
    """Checks tokens against one key and remembers the good ones."""

    def __init__(self, key: bytes, *, cached_max: int) -> None:
        self._key = OctKey.import_key(key)
        self._cached_max = cached_max
        self._cached: OrderedDict[bytes, Grant] = OrderedDict()

    def verify(self, token: str, *, now_ms: int) -> Grant:
        """Return what `token` grants; raise `TokenExpired` or `Unauthenticated`."""
        digest = hashlib.blake2b(token.encode("utf-8", "replace"), digest_size=16).digest()
        grant = self._cached.get(digest)
        if grant is None:
            grant = self._read(token, now_ms=now_ms)
            self._cached[digest] = grant
            if len(self._cached) > self._cached_max:
                self._cached.popitem(last=False)
        if grant.expires_ms is not None and grant.expires_ms <= now_ms:
            self._cached.pop(digest, None)
            raise TokenExpired("the token has expired; use a new one")
        return grant

    def _read(self, token: str, *, now_ms: int) -> Grant:
        if len(token) > TOKEN_LENGTH_MAX:
            raise Unauthenticated(f"the token has more than {TOKEN_LENGTH_MAX} characters")
        try:
            decoded = jwt.decode(token, self._key, algorithms=[ALGORITHM])
            claims = msgspec.convert(decoded.claims, _Claims)
            expires_ms = None if claims.exp is None else int(claims.exp * 1_000)
        except (JoseError, ValueError, TypeError, OverflowError, RecursionError) as error:
            kind = type(error).__name__
            raise Unauthenticated(f"the token is not one of ours ({kind})") from error
        audiences = [claims.aud] if isinstance(claims.aud, str) else claims.aud
        if claims.iss != ISSUER or AUDIENCE not in audiences:
            raise Unauthenticated(f"the token is not from {ISSUER!r} for {AUDIENCE!r}")
        if claims.nbf is not None and claims.nbf * 1_000 > now_ms + CLOCK_SKEW_MS:
            raise Unauthenticated("the token is not valid yet")
        return Grant(
            user=claims.sub,
            tenant=TenantId(claims.tenant),
            scopes=frozenset(claims.scopes),
            expires_ms=expires_ms,
            channels=tuple(claims.channels),
            channel=claims.channel,
        )


def bearer(header: str | None) -> str:
    """Return the token of an Authorization header; raise `Unauthenticated` if it holds none."""
    scheme, _, token = (header or "").strip().partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Unauthenticated("no bearer token; send the header Authorization: Bearer …")
    return token.strip()
