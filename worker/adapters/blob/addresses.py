"""Which addresses https may reach: public ones, and the networks that the settings name.

Invariant: an IPv4 address inside an IPv6 address is checked as that IPv4 address.
"""

import ipaddress
import socket
from collections.abc import Sequence
from typing import Final

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
# Of the registries of special addresses, what `is_global` of some version of Python lets pass; and the address at which
# Azure answers for the machine itself, which looks like a public one.
_SPECIAL: Final = tuple(
    ipaddress.ip_network(network)
    for network in (
        "192.0.0.0/24",
        "192.88.99.0/24",
        "64:ff9b:1::/48",
        "2001::/23",
        "3fff::/20",
        "5f00::/16",
        "168.63.129.16/32",
    )
)


class PrivateAddressError(Exception):
    """A host has an address that is not public. Not an OSError, or aiohttp would try the host's next address."""


class AddressRules:
    """Says which addresses may be reached."""

    def __init__(self, private_networks: Sequence[Network] = ()) -> None:
        self._private_networks = private_networks

    def check(self, host: str) -> None:
        """Raise PrivateAddressError for an address that may not be reached; a name passes, its addresses are next."""
        try:
            address = ipaddress.ip_address(host.partition("%")[0])
        except ValueError:
            return
        self._check_address(address)

    def _check_address(self, address: Address) -> None:
        target = _target(address)
        named = any(target in network for network in self._private_networks if network.version == target.version)
        if not named and not _is_public(target):
            raise PrivateAddressError


class PublicResolver(AbstractResolver):
    """Resolves a name, and refuses it if any of its addresses may not be reached.

    The addresses checked here are those connected to: nothing resolves the name a second time.
    """

    def __init__(self, rules: AddressRules) -> None:
        self._address_rules = rules
        self._resolver = ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the addresses. Raises OSError, PrivateAddressError."""
        results = await self._resolver.resolve(host, port, family)
        for result in results:
            self._address_rules.check(result["host"])
        return results

    async def close(self) -> None:
        """Close."""
        await self._resolver.close()


def _target(address: Address) -> Address:
    """Return the IPv4 address that an IPv6 address embeds, or the address itself."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    embedded = address.ipv4_mapped or address.sixtofour
    if embedded is None and address in _NAT64:
        embedded = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return embedded or address


def _is_public(address: Address) -> bool:
    special = address.is_multicast or address.is_reserved or address.is_unspecified
    if isinstance(address, ipaddress.IPv6Address):
        special = special or address.is_site_local
    return address.is_global and not special and not any(address in network for network in _SPECIAL)
