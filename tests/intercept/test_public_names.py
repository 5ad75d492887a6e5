"""Tunnels that pass lead to public addresses alone, however they are spelled and whatever a name server says."""

from __future__ import annotations

import socket
from typing import Any, cast

import pytest

from proxy.errors import NotAmazon
from proxy.intercept.public_names import PublicNames, is_public
from proxy.net.names import AddressInfo, Names


class Known:
    """Names that have these addresses."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses

    async def find(self, host: str, port: int) -> list[AddressInfo]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", cast(Any, (each, port))) for each in self.addresses]


@pytest.mark.parametrize("address", ["52.216.0.1", "8.8.8.8", "2600:1fa0::1", "64:ff9b::808:808", "::ffff:8.8.8.8"])
def test_addresses_of_the_internet_are_public(address: str) -> None:
    """IPv4, IPv6, and IPv4 within IPv6."""
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.8.0.1", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254"),
        *("100.64.0.1", "192.0.0.1", "198.18.0.1", "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255"),
        *("::", "::1", "fe80::1", "fe80::1%1", "fc00::1", "fd12::1", "ff02::1", "ff0e::1", "2001:db8::1"),
        *("fec0::1", "::10.0.0.1", "::ffff:0:10.0.0.1", "64:ff9b:1::a00:1", "5f00::1"),
        *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a00:1", "2002:7f00:1::", "2002:a00:1::1"),
        *("::127.0.0.1", "::ffff:0:127.0.0.1", "64:ff9b:1::7f00:1", "fec0::1", "5f00::1"),
    ],
)
def test_other_addresses_are_not(address: str) -> None:
    """Addresses of this machine, of private, shared and translated networks, of groups and of documentation."""
    assert not is_public(address)


async def test_private_addresses_are_left_out() -> None:
    """A name with addresses of both kinds leads to the public ones."""
    names = PublicNames(cast(Names, Known("10.0.0.1", "52.216.0.1", "127.0.0.1")))
    assert [each[4] for each in await names.find("bucket.s3.amazonaws.com", 443)] == [("52.216.0.1", 443)]


@pytest.mark.parametrize("addresses", [(), ("127.0.0.1",), ("10.0.0.1", "::1")])
async def test_a_name_without_a_public_address_is_refused(addresses: tuple[str, ...]) -> None:
    """The refusal names the host."""
    with pytest.raises(NotAmazon, match=r"bucket\.example has no public address"):
        await PublicNames(cast(Names, Known(*addresses))).find("bucket.example", 443)
