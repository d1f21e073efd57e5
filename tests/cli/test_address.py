"""Addresses that serve refuses, in one sentence each."""

import socket

import pytest

from imagewarden.cli.address import Address, claim
from imagewarden.cli.errors import CommandError


def test_a_free_port_is_found() -> None:
    address = claim("127.0.0.1", 0)
    assert address.ip == "127.0.0.1"
    assert address.port > 0


def test_a_taken_port_is_refused_even_when_it_is_shared() -> None:
    """Two servers on one port would each get half of the requests."""
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(CommandError, match=r"in use.*--port"):
            claim("127.0.0.1", other.getsockname()[1])


@pytest.mark.parametrize("host", ["no-such-host.invalid", "300.1.1.1", "a" * 300, "..", "\udcff"])
def test_a_host_that_is_none(host: str) -> None:
    with pytest.raises(CommandError, match="cannot be resolved"):
        claim(host, 0)


def test_an_address_of_another_machine() -> None:
    with pytest.raises(CommandError, match="not an address of this machine"):
        claim("192.0.2.1", 0)


@pytest.mark.parametrize(
    ("ip", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:80"),
        ("0.0.0.0", "http://127.0.0.1:80"),  # noqa: S104 # what it becomes is tested
        ("::", "http://[::1]:80"),
        ("::1", "http://[::1]:80"),
    ],
)
def test_urls(ip: str, url: str) -> None:
    assert Address(ip, 80).url == url
