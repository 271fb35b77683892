"""`mainstem token`: issue a token signed with this machine's key."""

import json
import time
from typing import Annotated

import typer

from analytics.contracts.errors import BadSetting

NEVER = "never"
SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


def command(
    *,
    tenant: Annotated[str, typer.Option(help="Whose events it may send and see.")] = "local",
    user: Annotated[str, typer.Option(help="Who presents it.")] = "local",
    scopes: Annotated[
        str, typer.Option(help="What it may do: publish, subscribe, work, admin; comma separated.")
    ] = "publish,subscribe",
    ttl: Annotated[
        str, typer.Option(help="How long it holds, such as 90s, 30m, 12h, 30d, or never: no end.")
    ] = "365d",
    as_json: Annotated[bool, typer.Option("--json", help="Print it with its claims.")] = False,
) -> None:
    """Issue a token for an agent, a person or a service.

    Present it as `Authorization: Bearer TOKEN` over HTTP, or in the connect frame of a WebSocket.
    It carries an id (`jti`), by which MAINSTEM_GATEWAY_REVOKED_FILE takes it back, and is signed
    with MAINSTEM_GATEWAY_TOKEN_KEY or the key file that is set, else with this machine's own key; a
    key that had to be made is told on stderr.

    Example: mainstem token --user ci --scopes publish --ttl 30d
    """
    from apps.local import tokens

    wanted = tuple(scope.strip() for scope in scopes.split(",") if scope.strip())
    unknown = [scope for scope in wanted if scope not in tokens.SCOPES]
    if unknown or not wanted:
        raise BadSetting(f"--scopes takes {', '.join(tokens.SCOPES)}, not {scopes!r}")
    if not tenant or not user:
        raise BadSetting("--tenant and --user must not be empty")
    seconds = _seconds(ttl)
    secret = _secret()
    now_s = int(time.time())
    text = tokens.issue(secret, tenant=tenant, user=user, scopes=wanted, now_s=now_s, ttl_s=seconds)
    if not as_json:
        typer.echo(text)
        return
    expires = None if seconds is None else now_s + seconds
    claims = {
        "id": tokens.claims_of(text).get("jti", ""),
        "tenant": tenant,
        "user": user,
        "scopes": list(wanted),
        "expires_s": expires,
    }
    typer.echo(json.dumps({"token": text, **claims}))


def _secret() -> str:
    """Return the key that the gateway of this environment checks tokens with."""
    from apps.local import tokens
    from apps.local.home import home
    from gateway.http.settings import signing_key
    from gateway.settings import load

    settings = load()
    if settings.token_key is not None or settings.token_key_file is not None:
        return signing_key(settings).decode()
    here = home()
    if not tokens.has_key(here):
        typer.echo(
            f"made a new key, {str(here.key)!r}: only a gateway with this key takes the token",
            err=True,
        )
    return tokens.key(here)


def _seconds(ttl: str) -> int | None:
    if ttl in {"", NEVER}:
        return None
    number, unit = ttl[:-1], ttl[-1]
    if not number.isdecimal() or unit not in SECONDS or int(number) == 0:
        raise BadSetting(
            f"--ttl takes a number and s, m, h or d, such as 30d, or never, not {ttl!r}"
        )
    return int(number) * SECONDS[unit]
