"""Who is at the other end: the peer's address, or what proxies that we trust say of it.

`X-Forwarded-For` (RFC 7239 has its successor) is written by everybody on the way, and by the client
first. So it is read from the right, and only as far as each hop is a proxy of the trusted networks,
at most `hops_max` of them: the first address that is none is the client's. An IPv6 client counts by
its /64, since that is what one household or machine is given.
"""

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, Final

from analytics.contracts.errors import BadSetting

UNKNOWN: Final = "unknown"
"""Whoever comes by an ingest path that has no addresses, such as a Unix socket."""
PREFIX_BITS: Final = 64
HEADER: Final = b"x-forwarded-for"
HEADER_BYTES_MAX: Final = 4_096

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address


class Addresses:
    """See the module."""

    def __init__(self, proxies: Iterable[str], *, hops_max: int) -> None:
        """`proxies` are networks such as `10.0.0.0/8`; raise `BadSetting` if one is none."""
        self._proxies: Sequence[Network] = [_network(text) for text in proxies]
        self._hops_max = hops_max

    def peer_of(self, host: str) -> str | None:
        """Return a peer's address as limits count it; nothing where it is a trusted proxy."""
        address = _address(host)
        if address is None:
            return UNKNOWN
        return None if self._trusts(address) else _counted(address)

    def client_of(self, scope: Any) -> str:  # noqa: ANN401 - ASGI
        """Return the client's address as limits count it."""
        peer = scope.get("client")
        address = _address(str(peer[0])) if peer else None
        if address is None:
            return UNKNOWN
        if self._proxies and self._trusts(address):
            address = self._walk(address, _forwarded(scope))
        return _counted(address)

    def _walk(self, peer: Address, forwarded: Sequence[str]) -> Address:
        nearest = peer
        for text in reversed(forwarded[-self._hops_max :]):
            address = _address(text.strip())
            if address is None:
                break
            nearest = address
            if not self._trusts(address):
                break
        return nearest

    def _trusts(self, address: Address) -> bool:
        return any(address in network for network in self._proxies)


def _forwarded(scope: Any) -> Sequence[str]:  # noqa: ANN401 - ASGI
    values = [value for name, value in scope["headers"] if name == HEADER]
    text = b",".join(values)[-HEADER_BYTES_MAX:].decode("latin-1")
    return text.split(",") if text else ()


def _address(text: str) -> Address | None:
    """Return the address in `1.2.3.4`, `1.2.3.4:80`, `::1` or `[::1]:80`."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _counted(address: Address) -> str:
    if isinstance(address, IPv4Address):
        return str(address)
    return str(ip_network((address, PREFIX_BITS), strict=False))


def _network(text: str) -> Network:
    try:
        return ip_network(text)
    except ValueError as error:
        raise BadSetting(f"{text!r} is no network such as '10.0.0.0/8'") from error
