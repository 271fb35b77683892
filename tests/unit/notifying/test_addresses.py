"""Which addresses are public: every special range of IANA's registries, in every form."""

from ipaddress import IPv4Address, IPv4Network, IPv6Network
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.notify.addresses import is_public

IPV4: Final = (
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
    "192.0.0.0/24", "192.0.0.0/29", "192.0.0.8/32", "192.0.0.170/31", "192.0.0.192/32",
    "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24",
    "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4", "255.255.255.255/32",
)  # fmt: skip
IPV6: Final = (
    "::/128", "::1/128", "::/96", "::ffff:0:0:0/96", "64:ff9b:1::/48", "100::/64", "100:0:0:1::/64",
    "2001::/23", "2001::/32", "2001:2::/48", "2001:10::/28", "2001:20::/28", "2001:db8::/32",
    "3fff::/20", "4000::/3", "5f00::/16", "8000::/1", "fc00::/7", "fe80::/10", "fec0::/10",
    "ff00::/8",
)  # fmt: skip
OPEN: Final = ("1.1.1.1", "8.8.8.8", "93.184.216.34", "192.0.1.1", "192.31.196.1", "198.20.0.1")
SPECIAL: Final = tuple(IPv4Network(text) for text in IPV4)
FORMS: Final = {
    "mapped": "::ffff:{}", "translated": "64:ff9b::{}", "6to4": "2002:{high:x}:{low:x}::1",
    "isatap": "2606:4700:0:0:0:5efe:{}",
}  # fmt: skip


def _in_form(form: str, address: str) -> str:
    high, low = divmod(int(IPv4Address(address)), 2**16)
    return form.format(address, high=high, low=low)


@pytest.mark.parametrize("text", IPV4)
def test_no_special_range_of_ipv4_is_public_in_any_form(text: str) -> None:
    network = IPv4Network(text)
    for address in {str(network[0]), str(network[-1]), str(network[network.num_addresses // 2])}:
        assert not is_public(address)
        for form in FORMS.values():
            assert not is_public(_in_form(form, address)), (form, address)


@pytest.mark.parametrize("text", IPV6)
def test_no_special_range_of_ipv6_is_public(text: str) -> None:
    network = IPv6Network(text)
    for number in {0, 1, network.num_addresses // 2, network.num_addresses - 1}:
        if number < network.num_addresses:
            assert not is_public(str(network[number]))


@pytest.mark.parametrize("address", OPEN)
def test_an_address_of_the_internet_is_public_in_every_form_that_reaches_it(address: str) -> None:
    assert is_public(address)
    for form in FORMS.values():
        assert is_public(_in_form(form, address))
    assert not is_public(f"::{address}")
    assert not is_public(_in_form("64:ff9b:1::{}", address))


@pytest.mark.parametrize("address", ["2606:4700::1111", "2a00:1450:4001::200e", "2001:4860::8888"])
def test_an_address_of_ipv6_that_was_given_out_is_public(address: str) -> None:
    assert is_public(address)
    assert is_public(f"{address}%eth0")


@given(number=st.integers(0, 2**32 - 1))
def test_whatever_form_carries_an_address_it_is_as_public_as_that_one(number: int) -> None:
    address = str(IPv4Address(number))
    is_open = not any(IPv4Address(number) in network for network in SPECIAL)

    told = {is_public(address), *(is_public(_in_form(form, address)) for form in FORMS.values())}

    assert told == {is_open}


@pytest.mark.parametrize("text", ["::7f00:1", "64:ff9b:1::7f00:1", "192.0.0.192", "", "localhost"])
def test_what_was_taken_for_public_or_is_no_address_is_not(text: str) -> None:
    assert not is_public(text)
