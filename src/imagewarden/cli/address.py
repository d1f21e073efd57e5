"""The address that `serve` listens on, checked before anything is started."""

import errno
import socket
from typing import NamedTuple

from imagewarden.cli.errors import CommandError

__all__ = ["Address", "claim"]


class Address(NamedTuple):
    """Where a server listens."""

    ip: str
    """IPv4 or IPv6 address."""
    port: int
    """Port, 1 to 65535."""

    @property
    def url(self) -> str:
        """Address for a client on this machine."""
        local = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.ip, self.ip)  # noqa: S104 # to be replaced
        return f"http://{f'[{local}]' if ':' in local else local}:{self.port}"


def _resolve(host: str, port: int) -> tuple[socket.AddressFamily, str]:
    """Return the first address of a host; raises CommandError."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (socket.gaierror, UnicodeError):
        raise CommandError(
            f"the host {host!r} cannot be resolved; give --host an address of this machine, such as 127.0.0.1"
        ) from None
    # A name such as localhost has both kinds of address, and clients that know one kind know this one.
    family, _, _, _, where = next((each for each in found if each[0] == socket.AF_INET), found[0])
    return family, str(where[0])


def _refused(error: OSError, host: str, port: int) -> CommandError:
    """Return why an address cannot be listened on."""
    if error.errno == errno.EADDRINUSE:
        return CommandError(f"port {port} on {host} is in use; stop what uses it or choose another with --port")
    if error.errno in (errno.EACCES, errno.EPERM):
        return CommandError(f"port {port} needs privileges that this user lacks; choose one above 1023 with --port")
    if error.errno == errno.EADDRNOTAVAIL:
        return CommandError(f"{host} is not an address of this machine; give --host one that is, such as 127.0.0.1")
    return CommandError(f"{host} port {port} cannot be listened on: {error.strerror}; choose others")


def claim(host: str, port: int) -> Address:
    """Return the address for a host and a port (0: a free one), free at this moment; raises CommandError.

    The API processes share the port by SO_REUSEPORT, which alone would let two servers answer on one port unnoticed;
    this plain bind does not.
    """
    family, ip = _resolve(host, port)
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((ip, port))
        except OSError as error:
            raise _refused(error, host, port) from None
        return Address(ip, int(probe.getsockname()[1]))
