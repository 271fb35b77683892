"""What can be set for the dashboard: MAINSTEM_DASHBOARD_* in the environment.

The store is MAINSTEM_DASHBOARD_STORE_URL, else the worker's MAINSTEM_STREAMS_STORE_URL, else
DATABASE_URL, so that one variable serves all parts. A wrong value stops the dashboard at start.
"""

from ipaddress import ip_network

from pydantic import AliasChoices, Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from analytics.contracts.ids import DEFAULT_TENANT, ID_LENGTH_MAX
from apps.runtime.settings import loaded

PREFIX = "MAINSTEM_DASHBOARD_"


class DashboardSettings(BaseSettings):
    """One dashboard process."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True)

    host: str = Field("127.0.0.1", min_length=1, description="Address to listen on.")
    port: int = Field(8501, ge=0, le=65_535, description="Port to listen on; 0 takes a free one.")
    base_path: str = Field(
        "", pattern=r"^[\w\-./]*$", description="Path under which a proxy serves the dashboard."
    )
    store_url: SecretStr = Field(
        SecretStr("postgresql://127.0.0.1:5432/mainstem"),
        validation_alias=AliasChoices(
            f"{PREFIX}STORE_URL", "MAINSTEM_STREAMS_STORE_URL", "DATABASE_URL"
        ),
        description="URL of the store (PostgreSQL or TimescaleDB).",
    )
    tenant: str = Field(
        DEFAULT_TENANT,
        min_length=1,
        max_length=ID_LENGTH_MAX,
        description="The tenant whose data is shown.",
    )
    tenants: str = Field(
        "",
        description="Tenants that a viewer may choose from, with commas between; empty shows one.",
    )
    reader_header: str = Field(
        "",
        pattern=r"^[A-Za-z0-9-]*$",
        description="Header by which a trusted proxy says who reads, such as X-Forwarded-User; "
        "without it the dashboard listens on loopback alone.",
    )
    proxies: tuple[str, ...] = Field(
        ("127.0.0.0/8", "::1/128"),
        description="Networks of proxies whose header is believed, as JSON list.",
    )
    published_on_loopback: bool = Field(
        default=False,
        description="Whether the port is published on the machine's loopback alone, as compose "
        "does: only then may a container listen on every address without a proxy.",
    )
    read_only: bool = Field(
        default=False, description="Whether the dashboard only shows, and changes nothing."
    )
    refresh_s: float = Field(
        1.0, ge=0.5, le=60, description="Seconds between two looks at the store while live."
    )
    charts_refresh_s: float = Field(
        5.0, ge=1, le=300, description="Seconds between two drawings of the charts while live."
    )
    connections_max: int = Field(
        4, ge=1, le=64, description="Connections to the store held at most."
    )
    connect_wait_s: float = Field(
        3.0, gt=0, le=60, description="Seconds to wait for the store before saying it is away."
    )
    answers_max: int = Field(
        256, ge=16, le=10_000, description="Answers kept to show while the store is away."
    )
    gateway_url: str = Field(
        "http://127.0.0.1:4318",
        pattern=r"^(https?://\S+)?$",
        description="Where the gateway's health is asked; empty does not ask.",
    )
    worker_metrics_url: str = Field(
        "http://127.0.0.1:9464/metrics",
        pattern=r"^(https?://\S+)?$",
        description="Where the worker's metrics are read; empty does not ask.",
    )

    @field_validator("proxies")
    @classmethod
    def _are_networks(cls, proxies: tuple[str, ...]) -> tuple[str, ...]:
        for one in proxies:
            ip_network(one)
        return proxies

    @property
    def choices(self) -> tuple[str, ...]:
        """The tenants that may be shown, the one of the setting first."""
        named = (name.strip() for name in self.tenants.split(","))
        return tuple(dict.fromkeys((self.tenant, *(name for name in named if name))))


def load(**given: object) -> DashboardSettings:
    """Return the settings of the environment, `given` first; raise `BadSetting` if one is wrong."""
    return loaded(DashboardSettings, given)
