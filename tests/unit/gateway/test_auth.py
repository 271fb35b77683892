"""Tokens: what is taken, what is refused, and what is remembered."""

import base64
import json

import pytest
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey

from analytics.contracts.errors import Forbidden, Unauthenticated
from gateway.http.auth import CLOCK_SKEW_MS, TokenExpired, TokenScope, Verifier, bearer
from tests.support.gateway import KEY, NOW_MS, token

CLAIMS = {"iss": "mainstem", "aud": "mainstem-gateway", "tenant": "acme", "scopes": ["publish"]}
NOW_S = NOW_MS // 1_000


def _signed(claims: object, *, alg: str = "HS256", key: bytes = KEY) -> str:
    assert isinstance(claims, dict)
    return jwt.encode({"alg": alg}, claims, OctKey.import_key(key), algorithms=[alg])


def _part(fields: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(fields).encode()).rstrip(b"=").decode()


def _confused() -> str:
    """Return a token signed with an RSA key, as if its public half were our secret."""
    return jwt.encode({"alg": "RS256"}, CLAIMS, RSAKey.generate_key(2_048), algorithms=["RS256"])


BAD = {
    "empty": "",
    "no token": "hello",
    "algorithm none": f"{_part({'alg': 'none'})}.{_part(CLAIMS)}.",
    "another key": _signed(CLAIMS, key=b"another key that is long enough too"),
    "another algorithm": _signed(CLAIMS, alg="HS512", key=KEY * 2),
    "a key of another kind": _confused(),
    "a key named in its header": f"{_part({'alg': 'HS256', 'kid': '../../dev/null'})}."
    f"{_part(CLAIMS)}.AAAA",
    "cut off": _signed(CLAIMS)[:-4],
    "another issuer": _signed({**CLAIMS, "iss": "evil"}),
    "another audience": _signed({**CLAIMS, "aud": "another"}),
    "no audience": _signed({key: value for key, value in CLAIMS.items() if key != "aud"}),
    "no tenant": _signed({key: value for key, value in CLAIMS.items() if key != "tenant"}),
    "an empty tenant": _signed({**CLAIMS, "tenant": ""}),
    "scopes that are text": _signed({**CLAIMS, "scopes": "publish"}),
    "an expiry that is text": _signed({**CLAIMS, "exp": "soon"}),
    "not valid yet": _signed({**CLAIMS, "nbf": NOW_S + CLOCK_SKEW_MS // 1_000 + 1}),
    "too long": _signed({**CLAIMS, "sub": "x" * 500, "more": "x" * 9_000}),
    "not ASCII": "é.é.é",
}


@pytest.mark.parametrize("text", BAD.values(), ids=BAD.keys())
def test_a_token_that_is_not_ours_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(Unauthenticated) as refused:
        Verifier(KEY, cached_max=10).verify(text, now_ms=NOW_MS)

    assert not isinstance(refused.value, TokenExpired)
    assert not text or text not in str(refused.value)


def test_a_good_token_says_who_and_what() -> None:
    grant = Verifier(KEY, cached_max=10).verify(token(lifetime_ms=60_000), now_ms=NOW_MS)

    assert (grant.user, str(grant.tenant), set(grant.scopes)) == ("ada", "acme", {"publish"})
    assert grant.expires_ms == NOW_MS + 60_000


def test_a_token_may_name_us_among_its_audiences_and_run_a_little_ahead() -> None:
    ahead = {**CLAIMS, "aud": ["other", "mainstem-gateway"], "nbf": NOW_S + 20}

    assert Verifier(KEY, cached_max=10).verify(_signed(ahead), now_ms=NOW_MS).tenant == "acme"


def test_a_token_that_is_remembered_still_expires() -> None:
    verifier = Verifier(KEY, cached_max=10)
    text = token(lifetime_ms=60_000)

    verifier.verify(text, now_ms=NOW_MS + 59_999)

    with pytest.raises(TokenExpired):
        verifier.verify(text, now_ms=NOW_MS + 60_000)


@pytest.mark.requirement("limits-have-names")
def test_no_more_tokens_are_remembered_than_the_limit() -> None:
    verifier = Verifier(KEY, cached_max=3)

    for number in range(10):
        verifier.verify(token(user=f"user-{number}"), now_ms=NOW_MS)

    assert len(verifier._cached) == 3


def test_a_scope_that_is_missing_is_named() -> None:
    grant = Verifier(KEY, cached_max=10).verify(token(scopes=()), now_ms=NOW_MS)

    with pytest.raises(Forbidden, match="'publish'"):
        grant.require(TokenScope.PUBLISH)


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic abc", "abc"])
def test_a_header_without_a_bearer_token_is_refused(header: str | None) -> None:
    with pytest.raises(Unauthenticated):
        bearer(header)


@pytest.mark.parametrize("header", ["Bearer abc", "bearer  abc ", "BEARER abc"])
def test_the_scheme_is_read_in_any_case(header: str) -> None:
    assert bearer(header) == "abc"
