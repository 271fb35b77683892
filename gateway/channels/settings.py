"""What a gateway can be told of its channels: how much it remembers, reads again and streams."""

from pydantic import Field
from pydantic_settings import BaseSettings


class ChannelSettings(BaseSettings):
    """Live results: channels over WebSocket and server-sent events."""

    channel_records_max: int = Field(
        10_000, ge=1, description="Publications remembered of a partition that is followed."
    )
    channel_bytes_max: int = Field(
        8_388_608, ge=65_536, description="Bytes remembered of a partition that is followed."
    )
    channel_seconds_max: float = Field(
        600, gt=0, description="Seconds a publication is remembered."
    )
    channel_warm_records: int = Field(
        1_000,
        ge=1,
        le=100_000,
        description="Records before its end that a partition is opened with.",
    )
    channel_linger_seconds: float = Field(
        60, ge=0, description="Seconds a partition is followed on after its last subscriber."
    )
    channel_fetch_bytes: int = Field(
        1_048_576, ge=65_536, description="Bytes fetched of a partition at a time."
    )
    subscriptions_max: int = Field(
        200_000, ge=1, description="Subscriptions of all sockets and streams together."
    )
    recovery_publications_max: int = Field(
        1_000, ge=1, description="Publications one recovery may hand over; more is a gap."
    )
    recovery_records_max: int = Field(
        50_000, ge=1, description="Records of the log one recovery may read; more is a gap."
    )
    recovery_bytes_max: int = Field(
        16_777_216, ge=65_536, description="Bytes of the log one recovery may read; more is a gap."
    )
    recovery_seconds_max: float = Field(
        3, gt=0, description="Seconds one recovery may read the log; longer is a gap."
    )
    ahead_seconds_max: float = Field(
        2, gt=0, description="Seconds a client is waited for that has read further than we have."
    )
    log_generation: str = Field(
        "",
        max_length=100,
        description="Change it, on all gateways, where the log went back or a topic was made "
        "anew under the same cluster id: older positions then count as gaps.",
    )
    streams_max: int = Field(
        1_000, ge=1, description="Server-sent event streams held before new ones get 503."
    )
    stream_heartbeat_seconds: float = Field(
        15, gt=0, le=300, description="Seconds between heartbeats of a stream."
    )
