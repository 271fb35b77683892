"""The signing key and tokens of this machine: JSON Web Tokens, HS256, as the gateway reads them.

The key and the first token are made on first use, readable by the user only, and never printed by
anything but `mainstem token`.
"""

import base64
import hmac
import json
import os
import secrets
import time
from pathlib import Path
from typing import Final

from analytics.contracts.ids import DEFAULT_TENANT, TenantId
from apps.local.home import PRIVATE_FILE, Home, Unusable, make

KEY_BYTES: Final = 48
ID_BYTES: Final = 8
TOKEN_DOTS: Final = 2
SCOPES: Final = ("publish", "subscribe", "work", "admin")
"""Every scope there is; `gateway.http.auth.Scope` is imported only where a token is made."""
FIRST_SCOPES: Final = ("publish", "subscribe")
FIRST_USER: Final = "local"
FIRST_TTL_S: Final = 365 * 86_400
RENEWED_S: Final = 30 * 86_400
"""How long before its end this machine's token is made again."""
DAY_S: Final = 86_400


def key(home: Home) -> str:
    """Return the key that signs this machine's tokens, made on first use."""
    kept = secret_in(home.key)
    if kept:
        return kept
    keep(home.key, secrets.token_urlsafe(KEY_BYTES))
    return secret_in(home.key)


def has_key(home: Home) -> bool:
    """Say whether this machine has a key already."""
    return bool(secret_in(home.key))


def token(home: Home) -> str:
    """Return the token that this machine's agents present.

    A changed key makes a new one, and so does the nearing end of the one that is kept; agents that
    still present that one may do so until its end.
    """
    secret = key(home)
    kept = secret_in(home.token)
    if not is_signed(kept, secret) or _ends_soon(kept, now_s=int(time.time())):
        home.token.unlink(missing_ok=True)
        keep(home.token, _first(secret))
        kept = secret_in(home.token)
    return kept


def of_tenant(home: Home, tenant: str) -> str:
    """Return a token for a tenant of this machine's own, such as the demo's; it is not kept."""
    now_s = int(time.time())
    return issue(
        key(home), tenant=tenant, user=FIRST_USER, scopes=FIRST_SCOPES, now_s=now_s, ttl_s=DAY_S
    )


def known(home: Home) -> str:
    """Return this machine's token if there is one yet, so that it can be kept out of sight."""
    return secret_in(home.token)


def is_signed(text: str, secret: str) -> bool:
    """Say whether the token `text` carries this key's signature; its claims are not looked at."""
    body, dot, signature = text.rpartition(".")
    digest = hmac.digest(secret.encode(), body.encode(), "sha256")
    wanted = base64.urlsafe_b64encode(digest).rstrip(b"=")
    return bool(dot) and hmac.compare_digest(wanted, signature.encode())


def issue(
    secret: str,
    *,
    tenant: str,
    user: str,
    scopes: tuple[str, ...],
    now_s: int,
    ttl_s: int | None = None,
) -> str:
    """Return a signed token with an id of its own; without `ttl_s` it does not expire."""
    from gateway.http import auth

    return auth.issue(
        secret.encode(),
        user=user,
        tenant=TenantId(tenant),
        scopes=[auth.TokenScope(scope) for scope in scopes],
        now_ms=now_s * 1_000,
        lifetime_ms=None if ttl_s is None else ttl_s * 1_000,
        token_id=secrets.token_hex(ID_BYTES),
    )


def claims_of(text: str) -> dict[str, object]:
    """Return what a token says, nothing where it is none; its signature is not looked at."""
    body = text.split(".")[1] if text.count(".") == TOKEN_DOTS else ""
    try:
        said = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def _ends_soon(text: str, *, now_s: int) -> bool:
    ends = claims_of(text).get("exp")
    return isinstance(ends, int | float) and ends < now_s + RENEWED_S


def _first(secret: str) -> str:
    return issue(
        secret,
        tenant=DEFAULT_TENANT,
        user=FIRST_USER,
        scopes=FIRST_SCOPES,
        now_s=int(time.time()),
        ttl_s=FIRST_TTL_S,
    )


def secret_in(path: Path) -> str:
    """Return the secret in a file, empty where there is none; raise `Unusable` if it fails."""
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        message = f"the file {str(path)!r} cannot be read ({error}); repair it or move it away"
        raise Unusable(message) from error


def keep(path: Path, text: str) -> None:
    """Write a secret that only the user can read; who came first wins."""
    make(path.parent)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_FILE)
    except FileExistsError:
        if secret_in(path):
            return
        path.unlink()
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_FILE)
    with os.fdopen(handle, "w") as file:
        file.write(text + "\n")
