"""Certificates, proxies, and what is remembered between requests."""

import asyncio
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from imagewarden.registry.connection import proxy_of
from imagewarden.registry.errors import AddressRefused, InvalidOption, RedirectRefused, RegistryUnavailable
from imagewarden.registry.oci import OciAdapter
from imagewarden.registry.options import TransportOptions
from imagewarden.registry.transport import RegistryTransport
from tests.support.certificates import Certificate, loopback_certificate
from tests.support.facing import SMALL, always, facing, tags
from tests.support.hostile import Asked, Reply, hostile, json_reply, reply

pytestmark = pytest.mark.anyio
TAGS = json_reply({"tags": ["v1"]})


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """Give a certificate of loopback that nobody trusts by itself."""
    return loopback_certificate(tmp_path_factory.mktemp("tls"))


def adapter_for(url: str, **options: object) -> OciAdapter:
    given = {"url": url, "limits": SMALL, "proxy": "", **options}
    return OciAdapter(RegistryTransport(TransportOptions(**given)))  # type: ignore[arg-type] # a test's mix


async def test_certificate_is_verified(certificate: Certificate) -> None:
    async with hostile(always(TAGS), certificate.context) as server:
        for options in ({"ca_file": str(certificate.file)}, {"insecure": True}):
            adapter = adapter_for(server.url, **options)
            assert await tags(adapter) == ["v1"]
            await adapter.close()
        for url, options in ((server.url, {}), (server.url.replace("127.0.0.1", "127.0.0.2"), {"ca_file": "y"})):
            trusted = {"ca_file": str(certificate.file)} if options else {}
            adapter = adapter_for(url, **trusted)
            with pytest.raises(RegistryUnavailable):
                await tags(adapter)
            await adapter.close()


async def test_unknown_certificate_is_named_as_the_cause(certificate: Certificate) -> None:
    async with hostile(always(TAGS), certificate.context) as server:
        adapter = adapter_for(server.url)
        with pytest.raises(RegistryUnavailable, match="--ca-file"):
            await tags(adapter)
        await adapter.close()
        assert server.asked == []


async def test_https_never_becomes_http(certificate: Certificate) -> None:
    async with hostile(always(TAGS)) as plain:
        downgraded = reply(307, location=plain.url)
        challenged = reply(401, www_authenticate=f'Bearer realm="{plain.url}/token"')
        for answer in (downgraded, challenged):
            async with hostile(always(answer), certificate.context) as server:
                adapter = adapter_for(server.url, ca_file=str(certificate.file), username="u", password="p")
                with pytest.raises(RedirectRefused):
                    await tags(adapter)
                await adapter.close()
        assert plain.asked == []


def test_certificate_file_that_cannot_be_used(tmp_path: Path) -> None:
    broken = tmp_path / "ca.pem"
    broken.write_text("not a certificate")
    for path in (broken, tmp_path / "absent.pem"):
        with pytest.raises(InvalidOption, match=path.name):
            adapter_for("https://registry.example.test", ca_file=str(path))


async def test_proxy_is_asked_for_names_it_alone_knows() -> None:
    async with hostile(always(TAGS)) as proxy:
        address = proxy.url.replace("http://", "http://user:pass@")
        adapter = adapter_for("http://registry.example.test", proxy=address)
        assert await tags(adapter) == ["v1"]
        await adapter.close()
        assert proxy.asked[0].target.startswith("http://registry.example.test/v2/")
        assert "proxy-authorization" in proxy.asked[0].headers


@pytest.mark.parametrize("place", ["http://169.254.169.254/", "http://127.0.0.1:1/", "http://10.0.0.1/"])
async def test_proxy_is_not_asked_for_addresses_a_registry_must_not_name(place: str) -> None:
    async with hostile(always(reply(307, location=place))) as proxy:
        adapter = adapter_for("http://registry.example.test", proxy=proxy.url)
        with pytest.raises(AddressRefused):
            await tags(adapter)
        await adapter.close()
        assert len(proxy.asked) == 1


def test_proxy_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://proxy.example.test:3128")
    monkeypatch.setenv("no_proxy", "direct.example.test")
    options = TransportOptions(url="http://registry.example.test")
    found = proxy_of(options)
    assert found is not None
    assert found.url.host == "proxy.example.test"
    assert proxy_of(TransportOptions(url="http://direct.example.test:5000")) is None
    assert proxy_of(TransportOptions(url="https://registry.example.test")) is None
    assert proxy_of(TransportOptions(url="http://registry.example.test", proxy="")) is None


@pytest.mark.parametrize("proxy", ["socks5://x.example.test", "nonsense", "http://", "http://[::1"])
def test_proxy_that_is_none(proxy: str) -> None:
    with pytest.raises(InvalidOption, match="proxy"):
        adapter_for("https://registry.example.test", proxy=proxy)


async def test_connections_are_kept_and_cookies_are_not() -> None:
    async with facing(always(json_reply({"tags": []}, keep=True, set_cookie="session=1; Path=/"))) as (server, adapter):
        for _ in range(4):
            await tags(adapter)
        assert server.connections == 1
        assert not any("cookie" in asked.headers for asked in server.asked)


async def test_requests_at_once_are_bounded() -> None:
    busy = most = 0

    async def handle(request: httpx.Request) -> httpx.Response:
        nonlocal busy, most
        busy += 1
        most = max(most, busy)
        await asyncio.sleep(0.01)
        busy -= 1
        return httpx.Response(200, stream=httpx.ByteStream(b"{}"), request=request)

    options = TransportOptions(url="http://registry.example.test", concurrency=3)
    adapter = OciAdapter(RegistryTransport(options, httpx.MockTransport(handle)))
    await asyncio.gather(*(tags(adapter) for _ in range(20)))
    assert most == 3


async def test_connection_refused_and_name_unknown_are_told_with_the_place() -> None:
    def refusing(_: Asked) -> Reply:
        return TAGS

    async with hostile(refusing) as server:
        url = server.url
    for gone in (url, "http://registry.invalid"):
        adapter = adapter_for(gone)
        with pytest.raises(RegistryUnavailable, match=urlsplit(gone).netloc):
            await tags(adapter)
        await adapter.close()
