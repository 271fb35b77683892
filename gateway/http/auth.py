"""Tokens: who calls, for which tenant, and what they may do.

Tokens are JWTs signed with HS256, RS256, ES256 or EdDSA by a key of the ring, for the audience
below and by the issuer whom the key belongs to. A verified token is remembered by its hash until
it expires, so a busy caller costs one lookup; at most `cached_max` are kept, and none when keys
change. Whether it was taken back is looked at each time. No token is ever logged, and no error
repeats one.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import Annotated, Final

import msgspec
from joserfc import jwt
from joserfc.jwk import OctKey
from msgspec import Meta, Struct

from analytics.contracts.errors import Forbidden, Unauthenticated
from analytics.contracts.ids import ID_LENGTH_MAX, TenantId
from gateway import metrics
from gateway.http.auth_jws import Signed, fields_of, take_apart
from gateway.http.auth_keys import Key, Keyring, KeysPending, secret
from gateway.http.auth_revoked import Revoked

ALGORITHM: Final = "HS256"
"""What tokens of our own are signed with."""
ISSUER: Final = "mainstem"
AUDIENCE: Final = "mainstem-gateway"
CLOCK_SKEW_MS: Final = 30_000
"""How far ahead of ours the clock of whoever issued a token may be."""
CHANNELS_MAX: Final = 128
"""Channels that a token may name."""
PENDING_RETRY_MS: Final = 1_000


class TokenScope(StrEnum):
    """What a token allows."""

    PUBLISH = "publish"
    SUBSCRIBE = "subscribe"
    WORK = "work"
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
    info: bytes = b""
    """JSON that others in a channel are shown."""
    token_id: str = ""
    issued_ms: int | None = None

    def require(self, scope: TokenScope) -> None:
        """Raise `Forbidden` unless the token has `scope`."""
        if scope not in self.scopes:
            raise Forbidden(f"the token lacks the scope {scope.value!r}; ask for one that has it")


class TokenExpired(Unauthenticated):
    """A token that was good once; a new one will do."""

    code = "token-expired"


class TokenRevoked(Unauthenticated):
    """A token that was taken back."""

    code = "token-revoked"


class TokenPolicy(Struct, frozen=True, kw_only=True):
    """What is asked of every token."""

    audience: str = AUDIENCE
    tenant_claim: str = "tenant"


class _Claims(Struct, frozen=True, kw_only=True):
    tenant: Annotated[str, Meta(min_length=1, max_length=ID_LENGTH_MAX)]
    iss: str
    aud: str | list[str]
    sub: Annotated[str, Meta(max_length=512)] = ""
    scopes: list[str] | None = None
    scope: str = ""
    channels: Annotated[list[str], Meta(max_length=CHANNELS_MAX)] = []
    subs: Annotated[dict[str, object], Meta(max_length=CHANNELS_MAX)] = {}
    channel: str = ""
    info: object = None
    jti: Annotated[str, Meta(max_length=512)] = ""
    exp: float | None = None
    expire_at: float | None = None
    nbf: float | None = None
    iat: float | None = None


class _Known(Struct, frozen=True):
    grant: Grant
    expires_ms: int | None


def issue(
    key: bytes,
    *,
    user: str,
    tenant: TenantId,
    scopes: Iterable[TokenScope],
    now_ms: int,
    lifetime_ms: int | None = None,
    token_id: str = "",
) -> str:
    """Return a signed token for `user` of `tenant`; one without a lifetime never expires.

    By its id a token can be taken back before it expires.
    """
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
    if token_id:
        claims["jti"] = token_id
    return jwt.encode({"alg": ALGORITHM}, claims, OctKey.import_key(key))


class Verifier:
    """Checks tokens against a ring of keys and remembers the good ones."""

    def __init__(
        self,
        keys: Keyring | bytes,
        *,
        cached_max: int,
        policy: TokenPolicy = TokenPolicy(),  # noqa: B008 - a frozen value
    ) -> None:
        """Bytes as `keys` are one secret, of tokens that are our own."""
        self.revoked = Revoked()
        self.on_revoked: Callable[[], None] = _nothing
        """Told after tokens were taken back, so that what they opened can be closed."""
        self._keys = Keyring([secret(keys, issuer=ISSUER)]) if isinstance(keys, bytes) else keys
        self._version = self._keys.version
        self._policy = policy
        self._cached_max = cached_max
        self._cached: OrderedDict[bytes, _Known] = OrderedDict()

    def verify(self, token: str, *, now_ms: int) -> Grant:
        """Return what `token` grants; raise `Unauthenticated`, or `KeysPending` to come again."""
        try:
            grant = self._verify(token, now_ms=now_ms)
        except (Unauthenticated, KeysPending) as error:
            metrics.TOKENS.labels(_OUTCOMES.get(type(error), "refused")).inc()
            raise
        _GOOD.inc()
        return grant

    def take_back(self, revoked: Revoked) -> None:
        """Hold these tokens for taken back, and no others."""
        self.revoked = revoked
        metrics.REVOKED.set(len(revoked))
        self.on_revoked()

    def holds(self, grant: Grant) -> bool:
        """Say whether what was granted still is: its token was not taken back since."""
        return not self.revoked.holds(
            token_id=grant.token_id,
            tenant=grant.tenant,
            user=grant.user,
            issued_ms=grant.issued_ms,
        )

    def _verify(self, token: str, *, now_ms: int) -> Grant:
        if self._version != self._keys.version:
            self._version = self._keys.version
            self._cached.clear()
        digest = hashlib.blake2b(token.encode("utf-8", "replace"), digest_size=16).digest()
        known = self._cached.get(digest)
        if known is None:
            known = self._read(token, now_ms=now_ms)
            self._cached[digest] = known
            if len(self._cached) > self._cached_max:
                self._cached.popitem(last=False)
        if known.expires_ms is not None and known.expires_ms <= now_ms:
            self._cached.pop(digest, None)
            raise TokenExpired("the token has expired; use a new one")
        if not self.holds(known.grant):
            raise TokenRevoked("the token was taken back; use a new one")
        return known.grant

    def _read(self, token: str, *, now_ms: int) -> _Known:
        signed = take_apart(token)
        key = self._key_of(signed, now_ms=now_ms)
        fields = fields_of(signed.payload)
        if self._policy.tenant_claim != "tenant":
            fields["tenant"] = fields.get(self._policy.tenant_claim)
        try:
            claims = msgspec.convert(fields, _Claims)
            expires_ms, issued_ms = _ms(claims.exp), _ms(claims.iat)
            ends_ms = expires_ms if claims.expire_at is None else _ms(claims.expire_at)
        except (ValueError, TypeError, OverflowError, RecursionError) as error:
            kind = type(error).__name__
            raise Unauthenticated(f"the token is not one of ours ({kind})") from None
        self._check(claims, key=key, now_ms=now_ms)
        scopes = claims.scope.split() if claims.scopes is None else claims.scopes
        grant = Grant(
            user=claims.sub,
            tenant=TenantId(claims.tenant),
            scopes=frozenset(scopes),
            expires_ms=ends_ms or None,
            channels=tuple(dict.fromkeys([*claims.channels, *claims.subs])),
            channel=claims.channel,
            info=b"" if claims.info is None else msgspec.json.encode(claims.info),
            token_id=claims.jti,
            issued_ms=issued_ms,
        )
        return _Known(grant, expires_ms)

    def _key_of(self, signed: Signed, *, now_ms: int) -> Key:
        for key in self._keys.candidates(signed):
            if key.signed(signed):
                return key
        if self._keys.pending(signed, now_ms=now_ms):
            raise KeysPending(
                "the token's key is being asked for; send it again",
                retry_after_ms=PENDING_RETRY_MS,
            )
        raise Unauthenticated("the token is not one of ours (no key of ours signed it)")

    def _check(self, claims: _Claims, *, key: Key, now_ms: int) -> None:
        audience = self._policy.audience
        audiences = [claims.aud] if isinstance(claims.aud, str) else claims.aud
        if claims.iss != key.issuer or audience not in audiences:
            raise Unauthenticated(f"the token is not from {key.issuer!r} for {audience!r}")
        for begins in (claims.nbf, claims.iat):
            if begins is not None and begins * 1_000 > now_ms + CLOCK_SKEW_MS:
                raise Unauthenticated("the token is not valid yet")


def _nothing() -> None:
    return None


def _ms(seconds: float | None) -> int | None:
    return None if seconds is None else int(seconds * 1_000)


def bearer(header: str | None) -> str:
    """Return the token of an Authorization header; raise `Unauthenticated` if it holds none."""
    scheme, _, token = (header or "").strip().partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Unauthenticated("no bearer token; send the header Authorization: Bearer …")
    return token.strip()


_OUTCOMES: Final[dict[type[Exception], str]] = {
    TokenExpired: "expired",
    TokenRevoked: "revoked",
    KeysPending: "pending",
}
_GOOD: Final = metrics.TOKENS.labels("good")
