"""What a gateway can be told of the registry that it shares with other gateways."""

from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings


class RegistrySettings(BaseSettings):
    """Where gateways meet: Redis, or only this process."""

    redis_url: str | None = Field(
        None,
        pattern=r"^(redis|rediss)://[^@\s]+$",
        description="Redis or Valkey that gateways share, redis://HOST:PORT/DB, or rediss:// for "
        "TLS; unset keeps to this process. User and password have settings of their own.",
    )
    redis_cluster: bool = Field(default=False, description="Whether that is a Redis Cluster.")
    redis_user: str = Field("", description="ACL user; empty takes the default one.")
    redis_password: SecretStr | None = Field(None, description="The user's password.")
    redis_ca_file: Path | None = Field(
        None,
        description="Authorities that sign Redis's certificate, as PEM; unset takes the system's.",
    )
    redis_certificate_file: Path | None = Field(
        None, description="Certificate to show to Redis, as PEM."
    )
    redis_key_file: Path | None = Field(None, description="Its private key, as PEM.")
    redis_prefix: str = Field(
        "mainstem", pattern=r"^[\w.-]{1,50}$", description="What all keys in Redis begin with."
    )
    redis_timeout_seconds: float = Field(
        0.5, gt=0, description="Seconds that Redis has to answer, before it counts as away."
    )
    redis_connections_max: int = Field(8, ge=2, description="Connections to each node of Redis.")
    registry_beat_seconds: float = Field(
        1, gt=0, description="Seconds between two exchanges with the registry."
    )
    registry_dead_seconds: float = Field(
        5, gt=0, description="Seconds without a beat after which a node counts as dead."
    )
    registry_changes_max: int = Field(
        20_000,
        ge=1,
        description="Changes told in one exchange; what is over waits for the next.",
    )
    registry_members_max: int = Field(
        1_000, ge=1, description="Members of a channel, or connections, listed in one answer."
    )
    recent_told_max: int = Field(
        5_000, ge=0, description="Accepted event ids told to other gateways in one exchange."
    )
    redis_history: bool = Field(
        default=True,
        description="Whether channels are recovered from Redis, if there is one, before the log.",
    )
    redis_history_records_max: int = Field(
        50_000, ge=1, description="Publications that Redis keeps of a partition, about."
    )
    redis_history_bytes_max: int = Field(
        33_554_432, ge=65_536, description="Bytes that Redis keeps of a partition, about."
    )
    redis_history_seconds_max: float = Field(
        3_600, gt=0, description="Seconds that Redis keeps a publication."
    )
    redis_history_linger_ms: int = Field(
        50, ge=1, le=10_000, description="Milliseconds between two batches of them to Redis."
    )
    redis_history_queue_bytes_max: int = Field(
        8_388_608, ge=65_536, description="Bytes that wait for Redis before the oldest is dropped."
    )
