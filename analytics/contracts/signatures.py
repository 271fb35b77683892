"""Signatures of records: that a record was put on a topic by one of our own processes.

A broker that takes connections from anybody tells nothing of who wrote a record. Where keys are
given, gateway and worker sign what they put on a topic with the first of them, and whoever reads
takes what any of them signed, so a key is changed by putting the new one before the old one. What
is signed is the topic and the value, which holds tenant and id, and of a dead letter its headers
too: HMAC (RFC 2104) over SHA-256. Putting a signed record on its topic again is not prevented: it
counts once, by its id.
"""

import hmac
from collections.abc import Sequence
from enum import StrEnum
from functools import lru_cache
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from analytics.contracts import dead_letters, topics
from analytics.contracts.cloudevents import Header, Record

HEADER: Final = "signature"
"""The first header of a record that is signed."""
KEY_BYTES_MIN: Final = 32
KEYS_MAX: Final = 8
"""Keys that may be valid at a time."""
DIGEST: Final = "sha256"
BEGUN_MAX: Final = 128
"""Keys and topics whose code is begun once."""
_SIGNED_TOO: Final = (dead_letters.TENANT, dead_letters.ORIGIN, dead_letters.REASON)


class Seal(StrEnum):
    """What a record's signature says."""

    VALID = "valid"
    MISSING = "missing"
    WRONG = "wrong"


class SignatureRules(Struct, frozen=True, kw_only=True):
    """Which records are taken; without a key, all are."""

    keys: tuple[bytes, ...] = ()
    takes_unsigned: bool = False
    """Whether records without a signature are taken, as those from before are."""

    def refused(self, topic: str, value: bytes, headers: Sequence[Header]) -> Seal | None:
        """Return what is wrong with a record's signature, nothing if it is taken."""
        if not self.keys:
            return None
        seal = seal_of(topic, value, headers, keys=self.keys)
        is_taken = seal is Seal.VALID or (seal is Seal.MISSING and self.takes_unsigned)
        return None if is_taken else seal


ANYBODYS: Final = SignatureRules()


def keys_of(text: str) -> tuple[bytes, ...]:
    """Return the keys in a text, one a word, the one that signs first; raise `ValueError`."""
    keys = tuple(word.encode() for word in text.split())
    if not 0 < len(keys) <= KEYS_MAX:
        raise ValueError(f"{len(keys)} keys; give 1 to {KEYS_MAX}, one a line")
    if min(map(len, keys)) < KEY_BYTES_MIN:
        raise ValueError(f"a key of less than {KEY_BYTES_MIN} bytes")
    return keys


def signed(record: Record, key: bytes) -> Record:
    """Return the record with its signature."""
    digest = _digest(key, record.topic, record.value, record.headers)
    return replace(record, headers=((HEADER, digest), *record.headers))


def seal_of(topic: str, value: bytes, headers: Sequence[Header], *, keys: Sequence[bytes]) -> Seal:
    """Say whether one of these keys signed a record."""
    if not headers or headers[0][0] != HEADER:
        return Seal.MISSING
    given = headers[0][1] or b""
    for key in keys:
        if hmac.compare_digest(_digest(key, topic, value, headers), given):
            return Seal.VALID
    return Seal.WRONG


def _digest(key: bytes, topic: str, value: bytes, headers: Sequence[Header]) -> bytes:
    code = _begun(key, topic).copy()
    code.update(value)
    if topic == topics.DEAD_LETTERS.address:
        said = dict(headers)
        parts = [said.get(name) or b"" for name in _SIGNED_TOO]
        code.update(b"".join((*parts, b",".join(b"%d" % len(part) for part in parts))))
    return code.digest()


@lru_cache(maxsize=BEGUN_MAX)
def _begun(key: bytes, topic: str) -> hmac.HMAC:
    """Return a code that has read key and topic: half of what one costs from its beginning."""
    return hmac.new(key, topic.encode() + b"\0", DIGEST)
