"""A compact JWS (RFC 7515) taken apart, strictly: one spelling for each token, one reading.

Only unpadded, canonical base64url is taken, members may not be named twice (RFC 7519, section 4),
and a token that brings or points at its own key (`jwk`, `jku`, `x5u`, `x5c`), or that demands what
we do not know (`crit`), is refused. Nothing of the claims is looked at before the signature is.
"""

import base64
import binascii
import json
import re
from typing import Final, NoReturn

from msgspec import Struct

from analytics.contracts.errors import Unauthenticated

TOKEN_LENGTH_MAX: Final = 8_192
KEY_ID_LENGTH_MAX: Final = 200
ALGORITHMS: Final = {
    "HS256": "HS256",
    "RS256": "RS256",
    "ES256": "ES256",
    "EdDSA": "Ed25519",
    "Ed25519": "Ed25519",
}
"""What a token may be signed with, and the name each goes by here (EdDSA: RFC 9864)."""
TYPES: Final = frozenset({"jwt", "application/jwt", "at+jwt", "application/at+jwt"})
OWN_KEYS: Final = frozenset({"jwk", "jku", "x5u", "x5c", "crit", "b64", "zip", "enc"})
BASE64URL: Final = re.compile(r"[A-Za-z0-9_-]+")


class Signed(Struct, frozen=True, kw_only=True):
    """A token's parts, not yet believed."""

    algorithm: str
    key_id: str
    payload: bytes
    covered: bytes
    """What the signature is over."""
    signature: bytes


def take_apart(text: str) -> Signed:
    """Return the token's parts; raise `Unauthenticated` if it is not spelled as one of ours."""
    if len(text) > TOKEN_LENGTH_MAX:
        raise Unauthenticated(f"the token has more than {TOKEN_LENGTH_MAX} characters")
    parts = text.split(".")
    if len(parts) != 3:
        raise _bad("not three parts")
    header_bytes, payload, signature = (_unspell(part) for part in parts)
    header = fields_of(header_bytes)
    algorithm = header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        raise _bad("its algorithm is not taken here")
    key_id, kind = header.get("kid", ""), header.get("typ", "JWT")
    if not isinstance(key_id, str) or len(key_id) > KEY_ID_LENGTH_MAX:
        raise _bad("its key id is no short text")
    if not isinstance(kind, str) or kind.lower() not in TYPES:
        raise _bad("it is of another type")
    if header.keys() & OWN_KEYS:
        raise _bad("its header asks for what is not taken here")
    return Signed(
        algorithm=ALGORITHMS[algorithm],
        key_id=key_id,
        payload=payload,
        covered=text.rpartition(".")[0].encode(),
        signature=signature,
    )


def fields_of(data: bytes) -> dict[str, object]:
    """Return a JSON object whose members are each named once; raise `Unauthenticated`."""
    try:
        fields = json.loads(data, object_pairs_hook=_once, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise _bad(type(error).__name__) from None
    if not isinstance(fields, dict):
        raise _bad("a part of it is no object")
    return fields


def _unspell(part: str) -> bytes:
    if not BASE64URL.fullmatch(part):
        raise _bad("a part of it is empty or no base64url")
    try:
        data = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except (binascii.Error, ValueError):
        raise _bad("a part of it is no base64url") from None
    if base64.urlsafe_b64encode(data).rstrip(b"=").decode() != part:
        raise _bad("a part of it is not spelled as it should be")
    return data


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("named twice")
    return fields


def _no_constant(_text: str) -> NoReturn:
    raise ValueError("no number")


def _bad(why: str) -> Unauthenticated:
    return Unauthenticated(f"the token is not one of ours ({why})")
