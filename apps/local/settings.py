"""What can be set for `mainstem up`: MAINSTEM_LOCAL_* in the environment, options win over it."""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class LocalSettings(BaseSettings):
    """How the parts on this machine are run; a wrong value stops `up` at start."""

    model_config = SettingsConfigDict(env_prefix="MAINSTEM_LOCAL_", frozen=True)

    broker: str = Field("tansu", description="`tansu`, `kafka`, or HOST:PORT of one that runs.")
    broker_port: int = Field(
        0, ge=0, le=65_535, description="Port of the broker that `up` starts; 0 is any."
    )
    port: int = Field(4318, ge=0, le=65_535, description="Port of the gateway; 0 is any.")
    dashboard_port: int = Field(8501, ge=0, le=65_535, description="Dashboard's port; 0 is any.")
    api_port: int | None = Field(
        None,
        ge=0,
        le=65_535,
        description="Port of the query API; unset is 4319 where that is free, 0 is any.",
    )
    partitions: int = Field(
        4, ge=1, le=1_000, description="Partitions of a topic on a broker that `up` starts."
    )
    ready_wait_s: float = Field(
        120.0, gt=0, le=3_600, description="Seconds all parts have to get ready at start."
    )
    drain_wait_s: float = Field(
        30.0, ge=0, le=3_600, description="Seconds the worker has at stop to read every topic out."
    )
    stop_wait_s: float = Field(
        20.0, gt=0, le=600, description="Seconds a process has to stop before it is killed."
    )
    hung_s: float = Field(
        10.0,
        ge=0,
        le=3_600,
        description="Seconds that a part may not answer before it is restarted; 0 is for ever.",
    )
    backoff_ms: int = Field(
        250, ge=10, le=60_000, description="Pause before the first restart of a part; then doubled."
    )
    backoff_max_ms: int = Field(
        30_000, ge=10, le=3_600_000, description="Longest pause before a restart."
    )
    steady_ms: int = Field(
        30_000, ge=0, le=3_600_000, description="A part that ran this long starts over at pause 1."
    )
    log_bytes_max: int = Field(
        10_000_000, ge=10_000, le=10**10, description="Size at which a log file is turned over."
    )
    demo_rate_max: int = Field(
        200, ge=1, le=10_000, description="Events a second that the demo sends at most."
    )
