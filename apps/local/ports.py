"""Ports of this machine: which are free, who listens. A free port may be taken a moment later."""

import random
import socket
from typing import Final

LOOPBACK: Final = "127.0.0.1"
CONNECT_S: Final = 0.25


LISTENING: Final = range(20_000, 32_768)
"""Ports below those that Linux gives to connections, which would take a port before its server."""
TRIES_MAX: Final = 64


def free_port() -> int:
    """Return a port of the loopback interface that nobody listens on now."""
    for port in random.sample(LISTENING, TRIES_MAX):
        if is_free(port):
            return port
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def is_free(port: int, host: str = LOOPBACK) -> bool:
    """Say whether a server could listen on `port` now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def answers(port: int, host: str = LOOPBACK) -> bool:
    """Say whether something accepts connections on `port`."""
    try:
        socket.create_connection((host, port), timeout=CONNECT_S).close()
    except OSError:
        return False
    return True
