"""What can be set for the query API: MAINSTEM_API_* in the environment.

Who may call is set once, for the gateway (MAINSTEM_GATEWAY_TOKEN_KEY and others), so that one token
serves both. The store is MAINSTEM_API_STORE_URL, else the worker's, else DATABASE_URL.
"""

from pydantic import AliasChoices, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from apps.runtime.settings import loaded

PREFIX = "MAINSTEM_API_"


class ApiSettings(BaseSettings):
    """One process of the query API."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True)

    host: str = Field("127.0.0.1", min_length=1, description="Address to listen on.")
    port: int = Field(4319, ge=0, le=65_535, description="Port to listen on; 0 takes a free one.")
    store_url: SecretStr = Field(
        SecretStr("postgresql://127.0.0.1:5432/mainstem"),
        validation_alias=AliasChoices(
            f"{PREFIX}STORE_URL", "MAINSTEM_STREAMS_STORE_URL", "DATABASE_URL"
        ),
        description="URL of the store (PostgreSQL or TimescaleDB); a role that only reads will "
        "do, and then files of alerts cannot be changed over HTTP.",
    )
    connections_max: int = Field(
        8, ge=1, le=64, description="Connections to the store held at most."
    )
    connect_wait_s: float = Field(
        3.0, gt=0, le=60, description="Seconds to wait for the store before saying it is away."
    )
    query_ms_max: int = Field(
        5_000,
        ge=100,
        le=600_000,
        description="Milliseconds a query may take in the store, and an evaluation altogether.",
    )


def load(**given: object) -> ApiSettings:
    """Return the settings of the environment, `given` first; raise `BadSetting` if one is wrong."""
    return loaded(ApiSettings, given)
