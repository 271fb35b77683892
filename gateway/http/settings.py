"""What a listener can be told: where it listens, whom it believes, for how long it waits."""

from pathlib import Path
from typing import Final

import platformdirs
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from analytics.contracts.errors import BadSetting
from gateway.http.settings_access import AccessSettings
from gateway.http.settings_connections import ConnectionSettings

KEY_BYTES_MIN: Final = 32
"""HS256 wants a key as long as its digest (RFC 7518, section 3.2)."""
PREFIX: Final = "MAINSTEM_GATEWAY_"


class HomeSettings(BaseSettings):
    """Where this machine keeps its own data: `MAINSTEM_HOME`, else the user's data folder."""

    model_config = SettingsConfigDict(env_prefix="MAINSTEM_", frozen=True)

    home: Path = Field(
        default_factory=lambda: Path(platformdirs.user_data_dir("mainstem")),
        description="The folder with this machine's key, token and run state.",
    )


class HttpSettings(AccessSettings, ConnectionSettings):
    """One listener."""

    host: str = Field("127.0.0.1", min_length=1, description="Address to listen on.")
    port: int = Field(4318, ge=0, le=65_535, description="Port to listen on; 0 takes a free one.")
    frame_bytes_max: int = Field(65_536, ge=1_024, le=1_048_576, description="Bytes of a frame.")
    drain_seconds_max: float = Field(
        10, gt=0, description="Seconds that stopping waits for calls and for the broker, each."
    )
    admission_lag_ms_max: int = Field(
        2_000,
        ge=1,
        description="Event loop lag above which new sockets and requests get 503 and Retry-After; "
        "open sockets go on.",
    )


def signing_key(settings: AccessSettings) -> bytes:
    """Return the secret that signs tokens; raise `BadSetting` if there is none or it is short."""
    if settings.token_key is not None:
        return _long_enough(settings.token_key.get_secret_value().encode(), PREFIX + "TOKEN_KEY")
    path = settings.token_key_file or HomeSettings().home / "token.key"
    try:
        key = path.read_bytes().strip()
    except OSError as error:
        raise BadSetting(
            f"no signing key in {str(path)!r} ({error.strerror}); "
            f"run `mainstem token` to make one, or set {PREFIX}TOKEN_KEY"
        ) from error
    return _long_enough(key, str(path))


def _long_enough(key: bytes, where: str) -> bytes:
    if len(key) < KEY_BYTES_MIN:
        raise BadSetting(
            f"the signing key in {where!r} has {len(key)} bytes; use at least {KEY_BYTES_MIN}"
        )
    return key
