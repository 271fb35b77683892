"""The keys that tokens are checked with: a fixed few, and a set that rotates.

A key serves one algorithm and one issuer, so a public key can never be taken for a secret, nor one
issuer's key for another's tokens. A key id that is not known asks for the rotating set anew, at
most once in `cooldown_ms`; until a fetch that began after it was asked for is done, such a token is
answered "later", then refused. Pure state: whoever fetches calls `begin` and then `replace`.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, JWKRegistry, OctKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry
from msgspec import Struct

from analytics.contracts.errors import BadSetting, Unavailable
from gateway.http.auth_jws import Signed, fields_of

RSA_BITS_MIN: Final = 2_048
UNKNOWN_IDS_MAX: Final = 1_000
"""Key ids remembered as asked for."""
ANONYMOUS_KEYS_MAX: Final = 4
"""Keys tried for a token that names none."""
BEGIN: Final = b"-----BEGIN "

Material = OctKey | RSAKey | ECKey | OKPKey


class KeysPending(Unavailable):
    """The token names a key that is being asked for; the same token may be good in a moment."""

    code = "keys-pending"


class Key(Struct, frozen=True, kw_only=True, eq=False):
    """One key, bound to what it may be used for."""

    id: str
    algorithm: str
    issuer: str
    material: Material

    def signed(self, token: Signed) -> bool:
        """Say whether this key signed the token."""
        if token.algorithm != self.algorithm:
            return False
        try:
            return bool(
                JWSRegistry.algorithms[self.algorithm].verify(
                    token.covered, token.signature, self.material
                )
            )
        except (JoseError, ValueError, TypeError):
            return False


class Keyring:
    """See the module."""

    def __init__(
        self, fixed: Iterable[Key], *, rotates: bool = False, cooldown_ms: int = 0
    ) -> None:
        """`rotates` says that somebody fetches; `cooldown_ms` is the least time between fetches."""
        self.wake: Callable[[], None] = _nothing
        self.version = 0
        """Counts changes of the keys, so that what was verified by others can be forgotten."""
        self._fixed = tuple(fixed)
        self._fetched: tuple[Key, ...] = ()
        self._rotates = rotates
        self._cooldown_ms = cooldown_ms
        self._asked: OrderedDict[str, tuple[int, int]] = OrderedDict()
        self._begun = 0
        self._done = 0

    def candidates(self, token: Signed) -> Sequence[Key]:
        """Return the keys that may have signed the token, those it names first."""
        fitting = [key for key in self._fixed + self._fetched if key.algorithm == token.algorithm]
        if not token.key_id:
            return fitting[:ANONYMOUS_KEYS_MAX]
        named = [key for key in fitting if key.id == token.key_id]
        nameless = [key for key in fitting if not key.id]
        return named + nameless[:ANONYMOUS_KEYS_MAX]

    def pending(self, token: Signed, *, now_ms: int) -> bool:
        """Say whether the key that a token names may still turn up; ask for it if so."""
        key_id = token.key_id
        if not (self._rotates and key_id) or token.algorithm == "HS256":
            return False
        if any(key.id == key_id for key in self._fetched):
            return False
        asked = self._asked.get(key_id)
        if asked is None or now_ms - asked[1] > self._cooldown_ms:
            asked = (self._begun, now_ms)
            self._asked[key_id] = asked
            self._asked.move_to_end(key_id)
            if len(self._asked) > UNKNOWN_IDS_MAX:
                self._asked.popitem(last=False)
            self.wake()
        return self._done <= asked[0]

    def begin(self) -> int:
        """Note that a fetch begins; hand what this returns to `replace`."""
        self._begun += 1
        return self._begun

    def replace(self, keys: Iterable[Key], *, fetch: int) -> None:
        """Take what was fetched for all there is."""
        fetched = tuple(keys)
        before = [_print_of(key) for key in self._fetched]
        if before != [_print_of(key) for key in fetched]:
            self.version += 1
            self._fetched = fetched
        self._done = max(self._done, fetch)


def secret(key: bytes, *, issuer: str) -> Key:
    """Return the key of a shared secret."""
    return Key(id="", algorithm="HS256", issuer=issuer, material=OctKey.import_key(key))


def read_keys(data: bytes, *, issuer: str, keys_max: int) -> list[Key]:
    """Return the public keys of a JWKS or of PEM text; raise `BadSetting` if it is neither.

    Keys of no use here (for encryption, of other kinds, too short, secret) are passed over.
    """
    if data.lstrip().startswith(BEGIN):
        found = _read_pem(data)
    else:
        try:
            listed = fields_of(data).get("keys")
        except Exception as error:
            raise BadSetting("the keys are neither a JWKS nor PEM text") from error
        if not isinstance(listed, list):
            raise BadSetting("the JWKS has no list of keys")
        if len(listed) > keys_max:
            raise BadSetting(f"the JWKS has {len(listed)} keys, at most {keys_max} are taken")
        found = [key for entry in listed if (key := _read_jwk(entry)) is not None]
    return [
        Key(id=key_id, algorithm=algorithm, issuer=issuer, material=material)
        for key_id, material in found[:keys_max]
        if (algorithm := _algorithm_of(material)) is not None
    ]


def _read_pem(data: bytes) -> list[tuple[str, Material]]:
    found: list[tuple[str, Material]] = []
    for block in data.split(BEGIN)[1:]:
        text = BEGIN + block
        for kind in (RSAKey, ECKey, OKPKey):
            try:
                key = kind.import_key(text)
            except (JoseError, ValueError, TypeError):
                continue
            if key.is_private:
                raise BadSetting("the keys hold a private key; give the public ones only")
            found.append(("", key))
            break
        else:
            raise BadSetting("a block of the PEM text is no public key of RSA, P-256 or Ed25519")
    return found


def _read_jwk(entry: object) -> tuple[str, Material] | None:
    if not isinstance(entry, dict) or entry.get("kty") not in {"RSA", "EC", "OKP"}:
        return None
    if entry.get("use", "sig") != "sig" or "d" in entry:
        return None
    try:
        key: Any = JWKRegistry.import_key(entry)
    except (JoseError, ValueError, TypeError, KeyError):
        return None
    named, algorithm = entry.get("alg"), _algorithm_of(key)
    if named is not None and named not in {algorithm, "EdDSA" if algorithm == "Ed25519" else None}:
        return None
    key_id = entry.get("kid", "")
    return (key_id, key) if isinstance(key_id, str) else None


def _algorithm_of(key: Material) -> str | None:
    if isinstance(key, RSAKey):
        return "RS256" if key.raw_value.key_size >= RSA_BITS_MIN else None
    if isinstance(key, ECKey):
        return "ES256" if key.curve_name == "P-256" else None
    if isinstance(key, OKPKey):
        return "Ed25519" if key.curve_name == "Ed25519" else None
    return None


def _print_of(key: Key) -> tuple[str, str, str]:
    return key.id, key.algorithm, key.material.thumbprint()


def _nothing() -> None:
    return None
