"""Ports of this machine: which are free, who listens. A free port may be taken a moment later."""

import random
import socket
from typing import Final

from apps.local.home import Unusable

LOOPBACK: Final = "127.0.0.1"
CONNECT_S: Final = 0.25
_CLAIMS: Final[list[socket.socket]] = []

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


def claim(port: int) -> bool:
    """Claim `port` among the `up`s of this machine until this process ends; say whether it is ours.

    A part listens seconds after its port was chosen, and until then the port looks free to others.
    The claim is the UDP port of the same number, on which no part listens.
    """
    held = socket.socket(type=socket.SOCK_DGRAM)
    try:
        held.bind((LOOPBACK, port))
    except OSError:
        held.close()
        return False
    _CLAIMS.append(held)
    return True


def claim_free_port() -> int:
    """Return a free port that is claimed."""
    for _ in range(TRIES_MAX):
        if claim(port := free_port()):
            return port
    raise Unusable("no port of this machine is free; end programs that listen, and try again")


def answers(port: int, host: str = LOOPBACK) -> bool:
    """Say whether something accepts connections on `port`."""
    try:
        socket.create_connection((host, port), timeout=CONNECT_S).close()
    except OSError:
        return False
    return True
