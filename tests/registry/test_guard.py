"""Which addresses a registry may name."""

import asyncio
import socket
from typing import Any

import httpx
import pytest

from imagewarden.registry.errors import AddressRefused, RegistryError
from imagewarden.registry.guard import AddressGuard, Reach, host_of, origin, reach_of
from tests.support.facing import always, facing
from tests.support.hostile import hostile, reply

pytestmark = pytest.mark.anyio

ADDRESSES = {
    Reach.PUBLIC: "8.8.8.8 1.1.1.1 2001:4860:4860::8888 ::ffff:8.8.8.8",
    Reach.PRIVATE: "10.0.0.1 172.16.0.1 172.31.255.255 192.168.1.1 100.64.0.1 fc00::1 fd12:3456::1 "
    "::ffff:10.0.0.1 2002:a00:1:: 64:ff9b::a00:1 240.0.0.1 192.0.2.1",
    Reach.LOOPBACK: "127.0.0.1 127.255.255.254 ::1 ::ffff:127.0.0.1 ::7f00:1 2002:7f00:1:: 64:ff9b::7f00:1",
    Reach.FORBIDDEN: "169.254.169.254 169.254.0.1 fe80::1 fe80::1%eth0 0.0.0.0 0.1.2.3 :: 224.0.0.1 ff02::1 "
    "100.100.100.200 168.63.129.16 192.0.0.192 fd00:ec2::254 fd20:ce::254 ::ffff:169.254.169.254 "
    "::a9fe:a9fe 2002:a9fe:a9fe:: 64:ff9b::a9fe:a9fe",
}


@pytest.mark.parametrize(("expected", "address"), [(k, one) for k, text in ADDRESSES.items() for one in text.split()])
def test_how_far_an_address_reaches(expected: Reach, address: str) -> None:
    assert reach_of(address) is expected


class Names:
    """A resolver with names of its own; counts how often it is asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **names: str) -> None:
        self.names = {f"{name.replace('_', '-')}.example.test": text.split() for name, text in names.items()}
        self.asked: list[str] = []
        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", self.getaddrinfo)

    async def getaddrinfo(self, host: str, port: int, **_: Any) -> list[Any]:
        """Resolve as the event loop does."""
        self.asked.append(host)
        if host not in self.names:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in self.names[host]]


@pytest.mark.parametrize(
    ("own", "other", "allowed"),
    [
        ("8.8.8.8", "1.1.1.1", "1.1.1.1"),
        ("8.8.8.8", "10.0.0.1 1.1.1.1", "1.1.1.1"),
        ("8.8.8.8", "10.0.0.1", ""),
        ("8.8.8.8", "127.0.0.1", ""),
        ("8.8.8.8", "169.254.169.254", ""),
        ("8.8.8.8 127.0.0.1", "127.0.0.1", ""),
        ("10.0.0.1", "192.168.0.1 1.1.1.1", "192.168.0.1 1.1.1.1"),
        ("10.0.0.1", "127.0.0.1", ""),
        ("10.0.0.1", "169.254.169.254", ""),
        ("127.0.0.1", "10.0.0.1 127.0.0.1 1.1.1.1", "10.0.0.1 127.0.0.1 1.1.1.1"),
        ("127.0.0.1", "169.254.169.254", ""),
    ],
)
async def test_a_registry_names_nothing_more_private_than_itself(
    own: str, other: str, allowed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Names(monkeypatch, own=own, other=other)
    guard = AddressGuard("own.example.test")
    if allowed:
        assert await guard.addresses("other.example.test", 443) == allowed.split()
    else:
        with pytest.raises(AddressRefused, match=r"other\.example\.test"):
            await guard.addresses("other.example.test", 443)


async def test_configured_hosts_may_be_private_but_never_link_local(monkeypatch: pytest.MonkeyPatch) -> None:
    Names(monkeypatch, own="127.0.0.1", tokens="10.0.0.1", bad="169.254.169.254")
    guard = AddressGuard("own.example.test", ["tokens.example.test", "bad.example.test"])
    assert await guard.addresses("own.example.test", 80) == ["127.0.0.1"]
    assert await guard.addresses("tokens.example.test", 80) == ["10.0.0.1"]
    with pytest.raises(AddressRefused):
        await guard.addresses("bad.example.test", 80)


async def test_registry_that_only_a_proxy_can_resolve_counts_as_public(monkeypatch: pytest.MonkeyPatch) -> None:
    Names(monkeypatch, other="10.0.0.1")
    with pytest.raises(AddressRefused):
        await AddressGuard("own.example.test").addresses("other.example.test", 80)
    with pytest.raises(OSError, match="not known"):
        await AddressGuard("own.example.test").addresses("own.example.test", 80)


async def test_connection_goes_to_the_address_that_was_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that means another address the second time is asked only once."""
    async with hostile(always(reply(200, b"{}"))) as elsewhere:
        target = f"http://rebinding.example.test:{elsewhere.port}/x"
        async with facing(always(reply(307, location=target))) as (_, adapter):
            names = Names(monkeypatch, rebinding="127.0.0.1")
            names.names["127.0.0.1"] = ["127.0.0.1"]
            manifest = await adapter.manifest("x", "v1")
            assert manifest.content == b"{}"
            assert names.asked.count("rebinding.example.test") == 1
            assert elsewhere.asked[0].headers["host"] == f"rebinding.example.test:{elsewhere.port}"


@pytest.mark.parametrize("place", ["http://" + "a" * 70 + ".example.test/", "http://1.1.1.1:99999/", "http://../"])
async def test_place_that_cannot_be_looked_up_is_a_typed_failure(place: str) -> None:
    async with facing(always(reply(307, location=place))) as (_, adapter):
        with pytest.raises(RegistryError):
            await adapter.manifest("x", "v1")


def test_hosts_are_compared_as_they_are_looked_up() -> None:
    assert host_of(httpx.URL("https://B\u00fccher.example.test")) == "xn--bcher-kva.example.test"
    assert host_of(httpx.URL("https://[::1]:5000")) == "::1"
    assert origin(httpx.URL("https://A.example.test")) == origin(httpx.URL("https://a.example.test:443/x"))
    assert origin(httpx.URL("http://a.example.test")) != origin(httpx.URL("https://a.example.test"))
