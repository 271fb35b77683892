"""Tokens made to deceive: each is refused, and none is repeated in what is said of it."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from typing import Any, Final

import pytest
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

from analytics.contracts.errors import BadSetting, Unauthenticated
from gateway.http.auth import TokenExpired, TokenPolicy, TokenRevoked, Verifier
from gateway.http.auth_keys import Keyring, KeysPending, read_keys, secret
from gateway.http.auth_revoked import read_revoked
from tests.support.gateway import KEY, NOW_MS

ISSUER: Final = "https://id.example"
NOW_S: Final = NOW_MS // 1_000
CLAIMS: Final[dict[str, Any]] = {
    "iss": ISSUER, "aud": "mainstem-gateway", "tenant": "acme", "sub": "ada", "scopes": ["publish"],
}  # fmt: skip
RSA: Final = RSAKey.generate_key(2_048, {"kid": "rsa"})
EC: Final = ECKey.generate_key("P-256", {"kid": "ec"})
ED: Final = OKPKey.generate_key("Ed25519", {"kid": "ed"})
STRANGER: Final = RSAKey.generate_key(2_048, {"kid": "rsa"})
PUBLIC: Final = [key.as_dict(private=False) for key in (RSA, EC, ED)]
JWKS: Final = json.dumps({"keys": PUBLIC}).encode()
PEM: Final = RSA.as_pem(private=False)


def _part(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _token(
    key: Any = RSA,
    claims: object = CLAIMS,
    *,
    payload: bytes | None = None,
    head: str | None = None,
    **header: object,
) -> str:
    names = {"RSA": "RS256", "EC": "ES256", "OKP": "EdDSA", "oct": "HS256"}
    fields = {"alg": names[key.key_type], "kid": key.kid, "typ": "JWT", **header}
    spelled = head or json.dumps({k: v for k, v in fields.items() if v is not None})
    body = json.dumps(claims).encode() if payload is None else payload
    covered = f"{_part(spelled.encode())}.{_part(body)}"
    kind = {"EdDSA": "Ed25519"}.get(names[key.key_type], names[key.key_type])
    return f"{covered}.{_part(JWSRegistry.algorithms[kind].sign(covered.encode(), key))}"


def _confused() -> str:
    """Return a token signed with the public key's text, as if it were a shared secret."""
    covered = _part(b'{"alg":"HS256","kid":"rsa"}') + "." + _part(json.dumps(CLAIMS).encode())
    return f"{covered}.{_part(hmac.new(PEM, covered.encode(), hashlib.sha256).digest())}"


def _ours(**changed: object) -> str:
    return _token(OctKey.import_key(KEY), {**CLAIMS, "iss": "mainstem", **changed})


def _unspelled(token: str) -> str:
    """Return the token with one bit set that no byte of its signature has."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return token[:-1] + alphabet[alphabet.index(token[-1]) + 1]


GOOD: Final = _token()
HEADER, PAYLOAD, SIGNATURE = GOOD.split(".")
NONE: Final = _part(b'{"alg":"none"}')
ATTACKS: Final[dict[str, str]] = {
    "algorithm none": f"{NONE}.{PAYLOAD}.",
    "algorithm none with a signature": f"{NONE}.{PAYLOAD}.{SIGNATURE}",
    "algorithm nOnE": _part(b'{"alg":"nOnE"}') + f".{PAYLOAD}.{SIGNATURE}",
    "no algorithm": f"{_part(b'{}')}.{PAYLOAD}.{SIGNATURE}",
    "an algorithm that is no text": _part(b'{"alg":["RS256"]}') + f".{PAYLOAD}.{SIGNATURE}",
    "a public key taken for a secret": _confused(),
    "RSA named ES256": _token(alg="ES256"),
    "RSA named PS256": _token(alg="PS256"),
    "RSA named RS512": _token(alg="RS512"),
    "a stranger's key under a known id": _token(STRANGER),
    "a path as key id": _token(STRANGER, kid="../../../../dev/null"),
    "a query as key id": _token(STRANGER, kid="x' or '1'='1"),
    "a key id that is no text": _token(kid=["rsa"]),
    "a key id that is very long": _token(kid="k" * 201),
    "a key in the header": _token(STRANGER, jwk=STRANGER.as_dict(private=False)),
    "a key's address in the header": _token(STRANGER, jku="https://evil.example/keys"),
    "a certificate's address in the header": _token(STRANGER, x5u="https://evil.example/c"),
    "a certificate in the header": _token(STRANGER, x5c=["MIIB"]),
    "a critical extension": _token(crit=["b64"], b64=False),
    "a compressed payload": _token(zip="DEF"),
    "another type": _token(typ="JWE"),
    "a type that is no text": _token(typ=5),
    "an algorithm named twice": _token(head='{"alg":"RS256","alg":"RS256","kid":"rsa"}'),
    "a claim named twice": _token(
        payload=json.dumps(CLAIMS).encode()[:-1] + b',"tenant":"umbrella"}'
    ),
    "a payload that is a list": _token(payload=b"[]"),
    "a payload that is not JSON": _token(payload=b"\xff"),
    "a payload that is deep": _token(payload=b"[" * 4_000),
    "a number that is none": _token(payload=json.dumps(CLAIMS).encode()[:-1] + b',"exp":NaN}'),
    "an expiry without end": _token(payload=json.dumps(CLAIMS).encode()[:-1] + b',"exp":1e999}'),
    "an expiry that is text": _token(claims={**CLAIMS, "exp": "never"}),
    "an expiry that is true": _token(claims={**CLAIMS, "exp": True}),
    "no issuer": _token(claims={k: v for k, v in CLAIMS.items() if k != "iss"}),
    "another issuer": _token(claims={**CLAIMS, "iss": "https://evil.example"}),
    "the issuer of another key": _token(claims={**CLAIMS, "iss": "mainstem"}),
    "our secret for another's issuer": _ours(iss=ISSUER),
    "another audience": _token(claims={**CLAIMS, "aud": "another"}),
    "audiences without ours": _token(claims={**CLAIMS, "aud": ["a", "b"]}),
    "no audience": _token(claims={k: v for k, v in CLAIMS.items() if k != "aud"}),
    "no tenant": _token(claims={k: v for k, v in CLAIMS.items() if k != "tenant"}),
    "a tenant that is a list": _token(claims={**CLAIMS, "tenant": ["acme"]}),
    "scopes that are text": _token(claims={**CLAIMS, "scopes": "publish admin"}),
    "not valid yet": _token(claims={**CLAIMS, "nbf": NOW_S + 60}),
    "issued in the future": _token(claims={**CLAIMS, "iat": NOW_S + 3_600}),
    "too many channels": _token(claims={**CLAIMS, "channels": ["c"] * 129}),
    "cut off": GOOD[:-5],
    "without a signature": f"{HEADER}.{PAYLOAD}.",
    "without its last part": f"{HEADER}.{PAYLOAD}",
    "with a part too many": f"{GOOD}.{SIGNATURE}",
    "another payload": f"{HEADER}.{_part(json.dumps({**CLAIMS, 'tenant': 'x'}).encode())}."
    f"{SIGNATURE}",
    "padded": GOOD + "==",
    "spelled with a stray bit": _unspelled(_token(EC)),
    "with a line's end": GOOD + "\n",
    "with a space": " " + GOOD,
    "in the other base64": GOOD.replace("-", "+").replace("_", "/") + "+",
    "too long": _token(claims={**CLAIMS, "more": "x" * 8_192}),
    "a signature of zeros": _part(b'{"alg":"ES256","kid":"ec"}') + f".{PAYLOAD}." + "A" * 86,
    "not ASCII": "é.é.é",
    "empty": "",
}  # fmt: skip


def _verifier(**changed: Any) -> Verifier:
    ring = Keyring([secret(KEY, issuer="mainstem")], **changed)
    ring.replace(read_keys(JWKS, issuer=ISSUER, keys_max=10), fetch=ring.begin())
    return Verifier(ring, cached_max=10)


@pytest.mark.requirement("bad-input-answered")
@pytest.mark.requirement("tokens-forged-refused")
@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS.keys())
def test_an_attack_is_refused_without_repeating_it(attack: str) -> None:
    with pytest.raises(Unauthenticated) as refused:
        _verifier().verify(attack, now_ms=NOW_MS)

    assert not isinstance(refused.value, TokenExpired)
    said = f"{refused.value} {refused.value.__cause__} {refused.value.args}"
    assert not attack or attack not in said
    assert all(part not in said for part in attack.split(".") if len(part) > 20)


@pytest.mark.parametrize("key", [RSA, EC, ED, OctKey.import_key(KEY)], ids=lambda k: k.key_type)
def test_each_algorithm_is_taken_from_the_key_that_is_meant_for_it(key: Any) -> None:
    token = _ours() if key.key_type == "oct" else _token(key)

    grant = _verifier().verify(token, now_ms=NOW_MS)

    assert (grant.user, grant.tenant) == ("ada", "acme")


@pytest.mark.parametrize("key", [RSA, EC, ED], ids=lambda key: key.key_type)
def test_public_keys_may_be_pem_text(key: Any) -> None:
    keys = read_keys(key.as_pem(private=False), issuer=ISSUER, keys_max=5)

    assert Verifier(Keyring(keys), cached_max=1).verify(_token(key), now_ms=NOW_MS).user == "ada"


@pytest.mark.parametrize(
    "data",
    [b"", b"{}", b"[]", b'{"keys":5}', b"\xff", RSA.as_pem(private=True), b"-----BEGIN X-----"],
)
def test_keys_that_are_none_or_private_stop_the_start(data: bytes) -> None:
    with pytest.raises(BadSetting) as refused:
        read_keys(data, issuer=ISSUER, keys_max=5)

    assert "PRIVATE" not in str(refused.value)


def test_an_expired_token_is_told_from_a_bad_one() -> None:
    with pytest.raises(TokenExpired):
        _verifier().verify(_token(claims={**CLAIMS, "exp": NOW_S - 1}), now_ms=NOW_MS)


def test_a_connection_may_end_apart_from_its_token() -> None:
    claims = {**CLAIMS, "exp": NOW_S + 10, "expire_at": NOW_S + 60}

    assert _verifier().verify(_token(claims=claims), now_ms=NOW_MS).expires_ms == NOW_MS + 60_000


def test_an_identity_provider_may_name_scopes_and_tenant_its_own_way() -> None:
    ring = Keyring(read_keys(JWKS, issuer=ISSUER, keys_max=5))
    verifier = Verifier(ring, cached_max=1, policy=TokenPolicy(audience="us", tenant_claim="org"))
    claims = {"iss": ISSUER, "aud": ["us"], "org": "acme", "scope": "publish work"}

    grant = verifier.verify(_token(claims=claims), now_ms=NOW_MS)

    assert (grant.tenant, set(grant.scopes)) == ("acme", {"publish", "work"})


def test_a_key_that_turns_up_is_asked_for_once_and_then_taken() -> None:
    ring = Keyring([], rotates=True, cooldown_ms=10_000)
    asked: list[int] = []
    ring.wake = lambda: asked.append(1)
    verifier = Verifier(ring, cached_max=5)

    for _ in range(3):
        with pytest.raises(KeysPending):
            verifier.verify(GOOD, now_ms=NOW_MS)
    ring.replace(read_keys(JWKS, issuer=ISSUER, keys_max=5), fetch=ring.begin())

    assert verifier.verify(GOOD, now_ms=NOW_MS).user == "ada"
    assert len(asked) == 1


def test_a_key_that_never_turns_up_is_refused_and_asked_for_again_after_the_pause() -> None:
    ring = Keyring([], rotates=True, cooldown_ms=10_000)
    verifier = Verifier(ring, cached_max=5)
    with pytest.raises(KeysPending):
        verifier.verify(GOOD, now_ms=NOW_MS)
    ring.replace([], fetch=ring.begin())

    with pytest.raises(Unauthenticated):
        verifier.verify(GOOD, now_ms=NOW_MS)
    with pytest.raises(KeysPending):
        verifier.verify(GOOD, now_ms=NOW_MS + 10_001)


def test_a_key_that_is_gone_takes_the_tokens_it_verified_along() -> None:
    ring = Keyring([])
    ring.replace(read_keys(JWKS, issuer=ISSUER, keys_max=5), fetch=ring.begin())
    verifier = Verifier(ring, cached_max=5)
    verifier.verify(GOOD, now_ms=NOW_MS)

    ring.replace([], fetch=ring.begin())

    with pytest.raises(Unauthenticated):
        verifier.verify(GOOD, now_ms=NOW_MS)


@pytest.mark.parametrize(
    "listed",
    [
        {"tokens": ["t1"]},
        {"users": [{"tenant": "acme", "user": "ada", "before_ms": NOW_MS}]},
        {"users": [{"tenant": "acme", "before_ms": NOW_MS}]},
    ],
)
def test_a_token_that_was_taken_back_is_refused_though_it_is_remembered(
    listed: dict[str, Any],
) -> None:
    verifier, told = _verifier(), list[bool]()
    token = _token(claims={**CLAIMS, "jti": "t1", "iat": NOW_S - 5})
    grant = verifier.verify(token, now_ms=NOW_MS)
    verifier.on_revoked = lambda: told.append(verifier.holds(grant))

    verifier.take_back(read_revoked(json.dumps(listed).encode(), entries_max=5))

    assert told == [False]
    with pytest.raises(TokenRevoked):
        verifier.verify(token, now_ms=NOW_MS)


@pytest.mark.parametrize(
    "spoil",
    [lambda: b"{", lambda: b'{"token":[]}', lambda: json.dumps({"tokens": ["x"] * 6}).encode()],
)
def test_a_list_of_revoked_tokens_that_cannot_be_read_is_a_bad_setting(
    spoil: Callable[[], bytes],
) -> None:
    with pytest.raises(BadSetting):
        read_revoked(spoil(), entries_max=5)
