"""Whose address counts: what proxies that we trust say, and nothing that a client made up."""

from typing import Final

import pytest
from msgspec import Struct

from analytics.contracts.errors import BadSetting
from gateway.http.addresses import UNKNOWN, Addresses

PROXY: Final = "10.0.0.1"
CLIENT: Final = "198.51.100.7"
NEAR: Final = "203.0.113.9"
PADDING: Final = ", ".join(["1.1.1.1"] * 5_000)


class Case(Struct, frozen=True, kw_only=True):
    """What is said on the way, and who that is."""

    peer: str = PROXY
    said: tuple[str, ...] = ()
    hops: int = 1
    counts_as: str = CLIENT


CASES: Final = {
    "nobody says anything": Case(counts_as=PROXY),
    "the proxy says": Case(said=(CLIENT,)),
    "a client that is no proxy says": Case(peer=NEAR, said=(CLIENT,), counts_as=NEAR),
    "a client that is no proxy names a proxy": Case(peer=NEAR, said=(PROXY,), counts_as=NEAR),
    "the client made one up": Case(said=(f"1.1.1.1, {CLIENT}",)),
    "the client made up this machine": Case(said=(f"127.0.0.1, {CLIENT}",)),
    "the client made up a proxy": Case(said=(f"10.0.0.9, {CLIENT}",), hops=9),
    "the client made up a proxy and whom it names": Case(
        said=(f"1.1.1.1, 10.0.0.9, {CLIENT}",), hops=9
    ),
    "the client sent a header of its own": Case(said=("1.1.1.1", CLIENT)),
    "the client sent very many": Case(said=(f"{PADDING}, {CLIENT}",), hops=9),
    "two proxies, one believed": Case(said=(f"{CLIENT}, 10.0.0.2",), counts_as="10.0.0.2"),
    "two proxies, two believed": Case(said=(f"{CLIENT}, 10.0.0.2",), hops=2),
    "two proxies, and one made up beyond": Case(said=(f"1.1.1.1, {CLIENT}, 10.0.0.2",), hops=2),
    "more proxies than are believed": Case(
        said=(f"{CLIENT}, 10.0.0.3, 10.0.0.2",), hops=2, counts_as="10.0.0.3"
    ),
    "no address": Case(said=("unknown",), counts_as=PROXY),
    "nothing": Case(said=("",), counts_as=PROXY),
    "an address, then nothing": Case(said=(f"{CLIENT},",), counts_as=PROXY),
    "no address between proxies": Case(
        said=(f"{CLIENT}, secret, 10.0.0.2",), hops=3, counts_as="10.0.0.2"
    ),
    "octal": Case(said=("010.0.0.1",), counts_as=PROXY),
    "not ASCII": Case(said=("１.1.1.1",), counts_as=PROXY),
    "with a port": Case(said=(f"{CLIENT}:4711",)),
    "with spaces": Case(said=(f"  {CLIENT}\t",)),
    "IPv4 within IPv6": Case(said=(f"::ffff:{CLIENT}",)),
    "a proxy as IPv4 within IPv6": Case(peer="::ffff:10.0.0.1", said=(CLIENT,)),
    "IPv6": Case(said=("2001:db8:1:2:3::4",), counts_as="2001:db8:1:2::/64"),
    "IPv6 with a port": Case(said=("[2001:db8:1:2:3::4]:80",), counts_as="2001:db8:1:2::/64"),
    "another machine of that household": Case(
        said=("2001:db8:1:2:ffff::1",), counts_as="2001:db8:1:2::/64"
    ),
    "a zone": Case(said=("fe80::1%eth0",), counts_as="fe80::/64"),
}


def _scope(case: Case) -> dict[str, object]:
    headers = [(b"x-forwarded-for", text.encode()) for text in case.said]
    return {"client": (case.peer, 40_000), "headers": [(b"host", b"x"), *headers]}


@pytest.mark.requirement("proxies-named")
@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_only_trusted_hops_are_believed_counted_from_the_right(case: Case) -> None:
    addresses = Addresses(["10.0.0.0/8"], hops_max=case.hops)

    assert addresses.client_of(_scope(case)) == case.counts_as


@pytest.mark.requirement("proxies-named")
def test_without_trusted_proxies_nobody_is_believed() -> None:
    case = Case(peer="127.0.0.1", said=(CLIENT,))

    assert Addresses([], hops_max=1).client_of(_scope(case)) == "127.0.0.1"


@pytest.mark.parametrize("peer", [None, ("", 0), ("a socket's path", 0)])
def test_who_comes_without_an_address_is_counted_as_one(peer: object) -> None:
    scope = {"client": peer, "headers": [(b"x-forwarded-for", CLIENT.encode())]}

    assert Addresses(["0.0.0.0/0"], hops_max=1).client_of(scope) == UNKNOWN


@pytest.mark.parametrize("text", ["", "proxy", "10.0.0.1/8", "10.0.0.0/33"])
def test_a_network_that_is_none_stops_the_start(text: str) -> None:
    with pytest.raises(BadSetting, match="is no network"):
        Addresses([text], hops_max=1)
