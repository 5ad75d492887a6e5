"""The addresses of hosts that a client chooses: public ones alone, never those of this machine or its networks."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from proxy.errors import NotAmazon

if TYPE_CHECKING:
    from proxy.net.names import AddressInfo, Names

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
"""The prefix of IPv4 addresses behind a translator (RFC 6052, 2.1)."""

_GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")
"""What the internet of IPv6 has so far (RFC 4291, 2.4). Others may lead into a network of one's own: site-local ones,
those of a translator's own prefix (RFC 8215), and those that only hold an IPv4 address."""


class PublicNames:
    """Looks names up as `Names` does, and gives public addresses alone: those that were checked are dialled."""

    def __init__(self, names: Names) -> None:
        self._names = names

    def __repr__(self) -> str:
        return f"<PublicNames of {self._names!r}>"

    async def find(self, host: str, port: int) -> list[AddressInfo]:
        """Where to connect to, best first. Raises `NotAmazon` where the host has no public address, and
        `NameLookupFailed`."""
        found = [each for each in await self._names.find(host, port) if is_public(each[4][0])]
        if not found:
            raise NotAmazon(f"{host} has no public address, and the proxy opens tunnels to no others.", close=True)
        return found


def is_public(text: str) -> bool:
    """Whether an address is one of the internet's (RFC 6890), and so is the IPv4 address in it, if it has one."""
    address = ipaddress.ip_address(text)
    if isinstance(address, ipaddress.IPv6Address):
        within = address.ipv4_mapped or address.sixtofour
        if within is None and address in _NAT64:
            within = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if within is not None:
            return within.is_global and not within.is_multicast
        if address not in _GLOBAL_UNICAST:
            return False
    return address.is_global and not address.is_multicast
