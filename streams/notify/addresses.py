"""Which addresses are the internet's, by IANA's registries of special addresses.

An IPv4 address is public unless a range of the IPv4 special-purpose registry holds it. An IPv6
address is public only within 2000::/3, all that is given out for the internet, and outside the
ranges of the IPv6 registry. Forms that carry an IPv4 address (mapped, translated by NAT64, 6to4,
ISATAP) are as public as that one is; IPv4-compatible ones, local NAT64 prefixes and Teredo never
are. The registries are written down here since Python's own differ from version to version.
"""

from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
)
from typing import Final

SPECIAL_IPV4: Final = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # shared by carriers
        "127.0.0.0/8",  # loopback
        "169.254.0.0/16",  # link-local, and clouds' metadata
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments, and a cloud's metadata
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # relays of 6to4, given up
        "192.168.0.0/16",  # private
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
    )
)
GLOBAL_IPV6: Final = IPv6Network("2000::/3")
SPECIAL_IPV6: Final = tuple(
    IPv6Network(text)
    for text in (
        "2001::/23",  # protocol assignments, Teredo among them
        "2001:db8::/32",  # documentation
        "3fff::/20",  # documentation
    )
)
NAT64: Final = IPv6Network("64:ff9b::/96")
ISATAP: Final = frozenset({0x0000_5EFE, 0x0200_5EFE})
"""What an interface that carries an IPv4 address begins with (RFC 5214, 6.1)."""
LOW_32: Final = 0xFFFF_FFFF


def is_public(text: str) -> bool:
    """Say whether an address is one of the internet's; text that is no address is none."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, IPv4Address):
        return _is_public_ipv4(address)
    if address in NAT64:
        return _is_public_ipv4(IPv4Address(int(address) & LOW_32))
    if address.ipv4_mapped is not None:
        return _is_public_ipv4(address.ipv4_mapped)
    return _is_public_ipv6(address)


def _is_public_ipv4(address: IPv4Address) -> bool:
    return not any(address in network for network in SPECIAL_IPV4)


def _is_public_ipv6(address: IPv6Address) -> bool:
    if address not in GLOBAL_IPV6 or any(address in network for network in SPECIAL_IPV6):
        return False
    if address.sixtofour is not None and not _is_public_ipv4(address.sixtofour):
        return False
    carries = (int(address) >> 32) & LOW_32 in ISATAP
    return not carries or _is_public_ipv4(IPv4Address(int(address) & LOW_32))
