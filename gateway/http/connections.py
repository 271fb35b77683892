"""The TCP connections of a listener: how many an address holds, and how long each may be silent.

A connection counts under its address from the moment it is accepted, before TLS and before any
token. Where an address holds as many that have shown no good token as it may, the one that has made
no progress for longest is dropped: who waits without a word cannot keep others of its address out.
What comes by a trusted proxy counts under the address that the proxy names, request by request.

Each connection waits for one thing at a time, with a deadline that single bytes do not move: the
TLS handshake, the head of a request, the next request. A peer that takes no bytes has a deadline of
its own.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final

from msgspec import Struct

from gateway import metrics
from gateway.http.addresses import UNKNOWN, Addresses

WIRE: Final = "mainstem.wire"
"""Our server's extension: a `Wire` past the queue of ASGI's `send`."""
CONNECTION: Final = "mainstem.connection"
"""Where a request's scope holds its connection."""
CLOSE_SECONDS_MAX: Final = 2.0
"""How long a closed connection may take to send what it still holds."""
TLS: Final = "tls_seconds_max"
HEAD: Final = "head_seconds_max"
IDLE: Final = "idle_seconds_max"
"""The deadline that nobody missed who is past it: it is not counted."""

Queue = dict["Connection", None]
"""Connections in the order of their last progress, longest ago first."""


class ConnectionBounds(Struct, frozen=True, kw_only=True):
    """How long, and how many."""

    tls_seconds_max: float
    head_seconds_max: float
    idle_seconds_max: float
    write_seconds_max: float
    head_bytes_max: int
    headers_max: int
    unauthenticated_by_address_max: int
    unauthenticated_max: int
    connections_by_address_max: int


class Connections:
    """The connections of one listener; see the module."""

    def __init__(self, bounds: ConnectionBounds, addresses: Addresses) -> None:
        self.bounds = bounds
        self._addresses = addresses
        self._counts: dict[str, int] = {}
        self._unauthenticated: Queue = {}
        self._by_address: dict[str, Queue] = {}

    def __len__(self) -> int:
        """Return how many connections count under an address."""
        return sum(self._counts.values())

    @property
    def unauthenticated(self) -> int:
        """How many of them have not shown a good token."""
        return len(self._unauthenticated)

    def open(self, transport: asyncio.Transport) -> "Connection":
        """Return a connection that was accepted; see `Connection.is_refused`."""
        peer = transport.get_extra_info("peername")
        address = self._addresses.peer_of(str(peer[0])) if isinstance(peer, tuple) else UNKNOWN
        connection = Connection(self, transport)
        connection.is_proxied = address is None
        if address is not None:
            connection.is_refused = not self.admit(connection, address)
        return connection

    def client_of(self, scope: Any) -> str:  # noqa: ANN401 - ASGI
        """Return the address under which a request counts."""
        return self._addresses.client_of(scope)

    def admit(self, connection: "Connection", address: str) -> bool:
        """Count a connection under an address; say whether it may stay."""
        bounds = self.bounds
        if self._counts.get(address, 0) >= bounds.connections_by_address_max:
            metrics.LIMITS_HIT.labels("connections_by_address_max").inc()
            return False
        queue = self._by_address.setdefault(address, {})
        if len(queue) >= bounds.unauthenticated_by_address_max:
            next(iter(queue)).drop("unauthenticated_by_address_max")
            queue = self._by_address.setdefault(address, queue)
        if len(self._unauthenticated) >= bounds.unauthenticated_max:
            next(iter(self._unauthenticated)).drop("unauthenticated_max")
            queue = self._by_address.setdefault(address, queue)
        connection.address = address
        self._counts[address] = self._counts.get(address, 0) + 1
        self._unauthenticated[connection] = queue[connection] = None
        return True

    def advance(self, connection: "Connection") -> None:
        """Note that a connection without a token made progress."""
        if connection in self._unauthenticated:
            queue = self._by_address[connection.address]
            del self._unauthenticated[connection], queue[connection]
            self._unauthenticated[connection] = queue[connection] = None

    def trust(self, connection: "Connection") -> None:
        """Note that a connection has shown a good token."""
        if connection not in self._unauthenticated:
            return
        del self._unauthenticated[connection]
        queue = self._by_address[connection.address]
        del queue[connection]
        if not queue:
            del self._by_address[connection.address]

    def release(self, connection: "Connection") -> None:
        """Count a connection no more."""
        address, connection.address = connection.address, ""
        if not address:
            return
        if connection in self._unauthenticated:
            del self._unauthenticated[connection]
            queue = self._by_address[address]
            del queue[connection]
            if not queue:
                del self._by_address[address]
        self._counts[address] -= 1
        if not self._counts[address]:
            del self._counts[address]


class Connection:
    """One connection, and the two deadlines it may have."""

    __slots__ = (
        "_book", "_reading", "_writing", "address", "is_proxied", "is_refused", "transport",
    )  # fmt: skip

    def __init__(self, book: Connections, transport: asyncio.Transport) -> None:
        self._book = book
        self._reading: asyncio.TimerHandle | None = None
        self._writing: asyncio.TimerHandle | None = None
        self.address = ""
        """Under which it counts now; empty where it does not."""
        self.is_proxied = False
        """Whether it comes from a trusted proxy, and counts by request."""
        self.is_refused = False
        """Whether its address holds as many as it may."""
        self.transport = transport

    @property
    def bounds(self) -> ConnectionBounds:
        """The limits it is held to."""
        return self._book.bounds

    def enter(self, scope: Any) -> bool:  # noqa: ANN401 - ASGI
        """Take a request whose head is whole; say whether it may be served."""
        self.settle()
        scope[CONNECTION] = self
        if self.is_proxied:
            self._book.release(self)
            return self._book.admit(self, self._book.client_of(scope))
        self._book.advance(self)
        return True

    def answered(self) -> None:
        """Note that a request was answered."""
        if self.is_proxied:
            self._book.release(self)

    def authenticate(self) -> None:
        """Note that it has shown a good token."""
        self._book.trust(self)

    def expect(self, limit: str, *, last_words: Callable[[], bytes] = bytes) -> None:
        """Wait for what has the deadline `limit`; past it, say the last words and close."""
        self.settle()
        seconds: float = getattr(self.bounds, limit)
        loop = asyncio.get_running_loop()
        self._reading = loop.call_later(seconds, self._late, limit, last_words)

    def settle(self) -> None:
        """Wait for nothing."""
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None

    def stall(self) -> None:
        """Note that the peer takes no bytes."""
        if self._writing is None:
            loop = asyncio.get_running_loop()
            self._writing = loop.call_later(
                self.bounds.write_seconds_max, self.drop, "write_seconds_max"
            )

    def flow(self) -> None:
        """Note that the peer takes bytes again."""
        if self._writing is not None:
            self._writing.cancel()
            self._writing = None

    def close(self) -> None:
        """Close once what was written is sent, or at the latest in `CLOSE_SECONDS_MAX`."""
        self.settle()
        self.transport.close()
        loop = asyncio.get_running_loop()
        self._reading = loop.call_later(CLOSE_SECONDS_MAX, self.transport.abort)

    def drop(self, limit: str) -> None:
        """Cut it off at a limit, without a word."""
        metrics.LIMITS_HIT.labels(limit).inc()
        self.leave()
        self.transport.abort()

    def leave(self) -> None:
        """Note that it is gone."""
        self.settle()
        self.flow()
        self._book.release(self)

    def _late(self, limit: str, last_words: Callable[[], bytes]) -> None:
        if limit != IDLE:
            metrics.LIMITS_HIT.labels(limit).inc()
        answer = last_words()
        if answer and not self.transport.is_closing():
            self.transport.write(answer)
        self.close()
