"""Signatures of webhooks: HMAC-SHA256 over the body as it came, compared in constant time."""

import hashlib
import hmac
from collections.abc import Iterable
from typing import Final

from analytics.contracts.errors import Unauthenticated

SCHEME: Final = "sha256="


def check(body: bytes, signature: str | None, *, secrets: Iterable[bytes]) -> None:
    """Raise `Unauthenticated` unless one of `secrets` signed `body`; try each, whatever fits."""
    given = (signature or "").encode("latin-1", "replace")
    matches = [
        hmac.compare_digest(
            SCHEME.encode() + hmac.new(secret, body, hashlib.sha256).hexdigest().encode(), given
        )
        for secret in secrets
    ]
    if not any(matches):
        raise Unauthenticated("the body is not signed with a secret of ours; check both ends")
