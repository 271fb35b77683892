"""What a gateway can be told: typed, bounded and explained; a wrong setting stops it at start.

Every field reads `MAINSTEM_GATEWAY_<FIELD>` from the environment.
"""

from pathlib import Path
from typing import Final, Self

from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic_settings import SettingsConfigDict, SettingsError

from analytics.contracts.errors import BadBody, BadSetting
from gateway.channels.names import NAMESPACES
from gateway.channels.settings import ChannelSettings
from gateway.http.settings import PREFIX, HttpSettings
from gateway.http.settings_access import check_bursts
from gateway.kafka.settings_privacy import PrivacySettings, check_key
from gateway.pool.settings import PoolSettings, rules_of
from gateway.registry.settings import RegistrySettings
from gateway.websocket.send_buffer import SlowPeerPolicy as SlowPolicy

SECRETS: Final = ("key", "secret", "password", "redis_url")
"""What is in the name of a setting whose value is never shown."""


class GatewaySettings(
    HttpSettings,
    RegistrySettings,
    ChannelSettings,
    PoolSettings,
    PrivacySettings,
):
    """One gateway process."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True)

    broker: str = Field(
        "127.0.0.1:9092",
        pattern=r"^[^\s:,]+:\d{1,5}(,[^\s:,]+:\d{1,5})*$",
        description="Kafka bootstrap servers, HOST:PORT, comma separated.",
    )
    record_keys: SecretStr | None = Field(
        None,
        description="Secrets that sign records on the broker (HMAC-SHA256), at least 32 bytes of "
        "text each, separated by blanks; the first signs. The workers' are the same.",
    )
    record_keys_file: Path | None = Field(None, description="File with those secrets, one a line.")
    record_unsigned: bool = Field(
        default=False,
        description="Show watchers records without a signature too, as those from before are.",
    )
    partitions: int | None = Field(
        None, ge=1, le=1_000, description="Width of topics made here; unset takes the declared one."
    )
    replication: int = Field(1, ge=1, le=9, description="Replicas of topics made here.")
    node: str = Field(
        "", max_length=100, description="Name of this process; empty takes a new one."
    )
    metrics_host: str = Field(
        "127.0.0.1", min_length=1, description="Address of the port for metrics alone."
    )
    metrics_port: int | None = Field(
        None,
        ge=0,
        le=65_535,
        description="Port that shows the metrics without a token, for a scraper in a network of "
        "its own; unset shows them at /metrics to a token of scope admin only.",
    )

    body_bytes_max: int = Field(
        8_388_608, ge=1_024, description="Bytes of a request body, also after decompression."
    )
    body_seconds_max: float = Field(
        30, gt=0, description="Seconds a request body may take to come."
    )
    body_bytes_per_second_min: int = Field(
        1_024,
        ge=0,
        description="Bytes a second a body has to come with after its first 5 seconds; 0 for none.",
    )
    bodies_bytes_max: int = Field(
        167_772_160,
        ge=1_048_576,
        description="Bytes of all bodies in memory, inflated; one tenant has half of it at most.",
    )
    hook_bytes_max: int = Field(
        2_097_152, ge=1_024, description="Bytes of a hook that are kept; a larger one is cut."
    )
    hook_body_bytes_max: int = Field(
        67_108_864, ge=1_024, description="Bytes of a hook's body before it is cut."
    )
    batch_events_max: int = Field(10_000, ge=1, description="Events in one publish.")

    connections_max: int = Field(10_000, ge=1, description="Sockets held before new ones get 503.")
    frame_commands_max: int = Field(1_000, ge=1, description="Commands joined in one frame.")
    calls_max: int = Field(64, ge=1, description="Calls of a socket answered at the same time.")
    outbound_bytes_max: int = Field(
        1_048_576, ge=1_024, description="Bytes waiting for a socket before it is closed as slow."
    )
    outbound_seconds_max: float = Field(
        10, gt=0, description="Seconds a write may wait for a socket before it counts as slow."
    )
    slow_policy: SlowPolicy = Field(
        SlowPolicy.CLOSE,
        description="What a slow socket gets: `close` (it recovers), or publications thinned to "
        "the `latest` of each channel or without the `oldest`, with a notice of what is missing.",
    )
    slow_policies: dict[str, SlowPolicy] = Field(
        {},
        description="That of single namespaces of channels, as JSON object, such as "
        '`{"metrics": "latest"}`; `slow_policy` is for the rest.',
    )
    channels_max: int = Field(128, ge=1, le=10_000, description="Channels a socket may be in.")
    join_seconds_max: float = Field(
        4, gt=0, description="Seconds a channel has to answer a subscribe."
    )
    write_seconds_max: float = Field(
        10, gt=0, description="Seconds one write to a socket may take."
    )
    ping_seconds: int = Field(25, ge=1, le=3_600, description="Seconds between pings to a socket.")
    pong_seconds: float = Field(10, gt=0, description="Seconds a socket has to answer a ping.")
    stale_seconds: float = Field(15, gt=0, description="Seconds a socket may stay without a token.")
    drain_rate: int = Field(500, ge=1, description="Sockets closed a second when stopping.")
    drain_retry_ms: int = Field(
        1_000,
        ge=0,
        le=600_000,
        description="About when clients are told to come again when the gateway stops.",
    )

    ack_seconds_max: float = Field(
        8, gt=0, description="Seconds the broker has to acknowledge an event before it is refused."
    )
    linger_ms: int = Field(
        5, ge=0, le=1_000, description="How far apart batches leave; with none under way, at once."
    )
    inflight_records_max: int = Field(
        50_000, ge=1, description="Records waiting for the broker before more are refused."
    )
    inflight_bytes_max: int = Field(
        67_108_864, ge=65_536, description="Bytes waiting for the broker before more are refused."
    )
    event_bytes_max: int = Field(
        1_000_000, ge=1_024, le=1_048_000, description="Bytes of one event on the broker."
    )
    recent_ids_max: int = Field(
        100_000, ge=1, description="Event ids remembered to answer a repeat as a duplicate."
    )
    loop_lag_ms_max: int = Field(
        500, ge=1, description="Event loop lag above which the gateway is not ready."
    )

    @model_validator(mode="after")
    def _bursts_fit(self) -> Self:
        check_bursts(self, frame_bytes_max=self.frame_bytes_max, body_bytes_max=self.body_bytes_max)
        return self

    @model_validator(mode="after")
    def _bodies_fit(self) -> Self:
        largest = max(self.body_bytes_max, self.webhook_bytes_max, self.hook_body_bytes_max)
        if self.bodies_bytes_max < 2 * largest:
            raise ValueError(
                f"{PREFIX}BODIES_BYTES_MAX has to be twice the {largest} bytes of one body"
            )
        return self

    @model_validator(mode="after")
    def _users_have_a_key(self) -> Self:
        check_key(self)
        return self

    @model_validator(mode="after")
    def _namespaces_exist(self) -> Self:
        strange = sorted(self.slow_policies.keys() - NAMESPACES.keys())
        if strange:
            raise ValueError(f"{PREFIX}SLOW_POLICIES names {strange[0]!r}, which is no namespace")
        return self

    @model_validator(mode="after")
    def _rules_fit(self) -> Self:
        try:
            rules_of(self)
        except BadBody as error:
            raise ValueError(f"rules of the pool: {error}") from error
        return self


def load(**given: object) -> GatewaySettings:
    """Return the settings of the environment, `given` first; raise `BadSetting` if one is wrong."""
    named = {name: value for name, value in given.items() if value is not None}
    try:
        return GatewaySettings(**named)  # type: ignore[arg-type]  # pydantic checks what is given
    except ValidationError as error:
        raise BadSetting(_explain(error)) from error
    except SettingsError as error:
        raise BadSetting(
            f'{error}; lists are written as JSON, such as ["https://a.example"]'
        ) from error


def _explain(error: ValidationError) -> str:
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"])
    if not field:
        return str(first["ctx"]["error"]) if "ctx" in first else first["msg"]
    hidden = any(word in field for word in SECRETS)
    shown = "" if hidden else f" (it is {first['input']!r})"
    return f"{PREFIX}{field.upper()}: {first['msg'][:1].lower()}{first['msg'][1:]}{shown}"
