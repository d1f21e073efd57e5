"""Where the client may go on a registry's word: which addresses, which hosts, which schemes.

A registry names other places: a token service, a blob's location, the next page. Each name is resolved here, the
addresses are judged, and the connection is made to a judged address, so that a name cannot change its meaning between
the check and the use. Link-local, metadata, unspecified and multicast addresses are refused for every host.
Loopback and private addresses are refused unless the registry itself is on such a one, or the host was configured.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Iterable
from enum import IntEnum

import httpx

from imagewarden.registry.errors import AddressRefused

__all__ = ["AddressGuard", "Reach", "host_of", "origin", "reach_of"]

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

_METADATA = frozenset(
    ipaddress.ip_address(text)
    for text in ("100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254", "fd20:ce::254")
)
"""Metadata services of cloud machines outside the link-local range."""
_SHARED = ipaddress.ip_network("100.64.0.0/10")
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


class Reach(IntEnum):
    """How far an address reaches; the higher, the more it is the machine's own business."""

    PUBLIC = 0
    PRIVATE = 1
    LOOPBACK = 2
    FORBIDDEN = 3


def origin(url: httpx.URL) -> tuple[str, str, int]:
    """Return scheme, host and port of a URL (RFC 6454)."""
    return url.scheme, url.host, url.port or (443 if url.scheme == "https" else 80)


def host_of(url: httpx.URL) -> str:
    """Return the host as it is looked up: in ASCII, lower case, an IPv6 address without brackets."""
    return url.raw_host.decode("ascii").lower()


def reach_of(address: str) -> Reach:
    """Return how far an IP address reaches; an IPv4 address inside an IPv6 one counts as itself.

    Raises ValueError for what is no address.
    """
    found = _unwrapped(ipaddress.ip_address(address))
    if found in _METADATA or found.is_link_local or found.is_unspecified or found.is_multicast:
        return Reach.FORBIDDEN
    if found.is_loopback:
        return Reach.LOOPBACK
    if found.version == 4 and int(found) >> 24 == 0:  # "this network", delivered to the machine itself
        return Reach.FORBIDDEN
    if found.is_global and found not in _SHARED:
        return Reach.PUBLIC
    return Reach.PRIVATE


def _unwrapped(address: IpAddress) -> IpAddress:
    """Return the IPv4 address that an IPv6 address carries (mapped, 6to4, NAT64), else the address."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64 or (int(address) >> 32 == 0 and int(address) > 1):
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address


class AddressGuard:
    """Resolves names and judges their addresses, for one registry."""

    def __init__(self, own_host: str, configured_hosts: Iterable[str] = ()) -> None:
        self._own = own_host
        self._configured = frozenset({own_host, *configured_hosts})

    async def addresses(self, host: str, port: int) -> list[str]:
        """Return the addresses of `host` that may be connected to, in the resolver's order.

        Raises OSError when the name does not resolve, and AddressRefused when no address of it is allowed.
        """
        found = await _resolve(host, port)
        highest = Reach.LOOPBACK if host in self._configured else await self._own_reach(port)
        allowed = [address for address in found if reach_of(address) <= highest]
        if not allowed:
            raise AddressRefused(
                f"the registry leads to {host}, which is at {found[0]}, a {reach_of(found[0]).name.lower()} address; "
                f"if that place is meant, configure the registry by an address of the same network"
            )
        return allowed

    async def _own_reach(self, port: int) -> Reach:
        """Return how private the registry's own addresses are; a name that only a proxy knows counts as public."""
        try:
            found = await _resolve(self._own, port)
        except OSError:
            return Reach.PUBLIC
        return min(Reach.LOOPBACK, *(reach_of(address) for address in found))


async def _resolve(host: str, port: int) -> list[str]:
    """Return the addresses of a name; raises OSError, also for what could be no name and no port."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except ValueError as error:
        raise OSError(f"not a host name: {error}") from error
    if port > 65535:
        raise OSError(f"not a port: {port}")
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))
