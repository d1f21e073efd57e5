"""Where we connect to on a registry's word: never to link-local, metadata and the like, whatever a name resolves to."""

import asyncio
import ipaddress
import socket
from collections.abc import Iterable
from typing import Any

import httpcore

from imagewarden.registry.errors import AddressRefused

__all__ = ["GuardedNetwork", "is_forbidden"]

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_METADATA = frozenset(map(ipaddress.ip_address, ("169.254.169.254", "fd00:ec2::254", "100.100.100.200")))
"""Addresses of cloud metadata services."""


def _unwrapped(address: Address) -> Address:
    """Return the IPv4 address inside an IPv6 one that merely carries it."""
    if isinstance(address, ipaddress.IPv6Address):
        return address.ipv4_mapped or address.sixtofour or address
    return address


def is_forbidden(address: Address, *, private_allowed: bool) -> bool:
    """Return whether a registry may not send us to an address.

    Link-local, metadata, multicast and unspecified addresses never; loopback and private ones only where the
    registry itself is at such an address.
    """
    inner = _unwrapped(address)
    if inner in _METADATA or inner.is_link_local or inner.is_multicast or inner.is_unspecified or inner.is_reserved:
        return True
    return not private_allowed and not inner.is_global


class GuardedNetwork(httpcore.AsyncNetworkBackend):
    """Connects to addresses it has looked at: the one checked is the one used, so that a name cannot change between."""

    def __init__(self, trusted: Iterable[tuple[str, int]]) -> None:
        self._trusted = frozenset((host.lower(), port) for host, port in trusted)
        self._inner = httpcore.AnyIOBackend()
        self._private_allowed: bool | None = None

    async def _addresses(self, host: str, port: int) -> list[Address]:
        """Return what a name resolves to."""
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise httpcore.ConnectError(f"{host} does not resolve: {error.strerror}") from None
        return [ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]

    async def _is_private_allowed(self) -> bool:
        """Return whether the configured registry itself is at a private address."""
        if self._private_allowed is None:
            known = [each for host, port in self._trusted for each in await self._addresses(host, port)]
            self._private_allowed = any(not address.is_global for address in known)
        return self._private_allowed

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 # the base class's signature
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to the first address of a host that may be used and answers; raises AddressRefused."""
        addresses = await self._addresses(host, port)
        if (host.lower(), port) not in self._trusted:
            private = await self._is_private_allowed()
            if any(is_forbidden(address, private_allowed=private) for address in addresses):
                raise AddressRefused(
                    f"the registry sends us to {host}, which is a local or reserved address; not followed"
                )
        failure: Exception = httpcore.ConnectError(f"{host} has no address")
        for address in addresses[:8]:
            try:
                return await self._inner.connect_tcp(str(address), port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ARG002, ASYNC109
        socket_options: Iterable[Any] | None = None,  # noqa: ARG002
    ) -> httpcore.AsyncNetworkStream:
        """Refuse: registries are reached over TCP."""
        raise AddressRefused(f"{path} is not an address of a registry")

    async def sleep(self, seconds: float) -> None:
        """Wait between tries of a connection."""
        await asyncio.sleep(seconds)
