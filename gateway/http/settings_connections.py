"""What a listener can be told of its TCP connections: how long they may be silent, how many."""

from pydantic import Field
from pydantic_settings import BaseSettings


class ConnectionSettings(BaseSettings):
    """How long a peer may take, and how many connections an address may hold."""

    tls_seconds_max: float = Field(10, gt=0, description="Seconds a TLS handshake may take.")
    head_seconds_max: float = Field(
        10,
        gt=0,
        description="Seconds the head of a request may take: of the first from the connection's "
        "opening (after TLS) on, of the next from its first byte on.",
    )
    idle_seconds_max: float = Field(
        75, gt=0, description="Seconds a connection may stay open between two requests."
    )
    head_bytes_max: int = Field(
        65_536, ge=1_024, description="Bytes of the head of a request before it gets 431."
    )
    headers_max: int = Field(100, ge=10, description="Headers of a request before it gets 431.")
    unauthenticated_by_address_max: int = Field(
        256,
        ge=1,
        description="Connections of an address that have not shown a good token; one more ends the "
        "one that has made no progress for longest.",
    )
    unauthenticated_max: int = Field(
        4_096, ge=1, description="Such connections of all addresses; one more ends the oldest."
    )
    connections_by_address_max: int = Field(
        12_000, ge=1, description="Connections of an address before new ones get 429."
    )
