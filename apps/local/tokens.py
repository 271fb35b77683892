"""The signing key and tokens of this machine: JSON Web Tokens, HS256, as the gateway reads them.

The key and the first token are made on first use, readable by the user only, and never printed by
anything but `mainstem token`.
"""

import base64
import hmac
import os
import secrets
import time
from pathlib import Path
from typing import Final

from analytics.contracts.ids import DEFAULT_TENANT, TenantId
from apps.local.home import PRIVATE_FILE, Home, Unusable, make

KEY_BYTES: Final = 48
SCOPES: Final = ("publish", "subscribe", "admin")
FIRST_SCOPES: Final = ("publish", "subscribe")
FIRST_USER: Final = "local"


def key(home: Home) -> str:
    """Return the key that signs this machine's tokens, made on first use."""
    kept = _read(home.key)
    if kept:
        return kept
    _keep(home.key, secrets.token_urlsafe(KEY_BYTES))
    return _read(home.key)


def token(home: Home) -> str:
    """Return the token that this machine's agents present; a changed key makes a new one."""
    secret = key(home)
    kept = _read(home.token)
    if not is_signed(kept, secret):
        home.token.unlink(missing_ok=True)
        _keep(home.token, _first(secret))
        kept = _read(home.token)
    return kept


def known(home: Home) -> str:
    """Return this machine's token if there is one yet, so that it can be kept out of sight."""
    return _read(home.token)


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
    """Return a signed token, as the gateway reads it; without `ttl_s` it does not expire."""
    from gateway import auth

    return auth.issue(
        secret.encode(),
        user=user,
        tenant=TenantId(tenant),
        scopes=[auth.Scope(scope) for scope in scopes],
        now_ms=now_s * 1_000,
        lifetime_ms=None if ttl_s is None else ttl_s * 1_000,
    )


def _first(secret: str) -> str:
    return issue(
        secret,
        tenant=DEFAULT_TENANT,
        user=FIRST_USER,
        scopes=FIRST_SCOPES,
        now_s=int(time.time()),
    )


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        message = f"the file {str(path)!r} cannot be read ({error}); repair it or move it away"
        raise Unusable(message) from error


def _keep(path: Path, text: str) -> None:
    """Write a secret that only the user can read; who came first wins."""
    make(path.parent)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_FILE)
    except FileExistsError:
        if _read(path):
            return
        path.unlink()
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_FILE)
    with os.fdopen(handle, "w") as file:
        file.write(text + "\n")
