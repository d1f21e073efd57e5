"""Registries that are slow, failing, or lead elsewhere."""

import asyncio
import itertools
import time

import pytest

from imagewarden.registry.errors import (
    AddressRefused,
    RateLimited,
    RedirectRefused,
    RegistryError,
    RegistryUnavailable,
)
from tests.support.facing import BLOB, WHOLE, always, facing, tags
from tests.support.hostile import Asked, Reply, Script, hostile, json_reply, reply

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    "script",
    [
        always(Reply(itertools.chain([b"HTTP/1.1 200 OK\r\n\r\n"], itertools.repeat(b" ")), pause=0.1)),
        always(Reply(itertools.chain([b"HTTP/1.1 200 OK\r\n"], itertools.repeat(b"a: b\r\n")), pause=0.1)),
        always(Reply(itertools.repeat(b"HTTP/1.1 100 Continue\r\n\r\n"), pause=0.1)),
    ],
    ids=["body", "headers", "interim answers"],
)
async def test_slow_drip_ends_at_the_deadline_and_is_not_tried_again(script: Script) -> None:
    async with facing(script) as (server, adapter):
        started = time.monotonic()
        with pytest.raises(RegistryUnavailable, match=r"not complete after 1\.5 s"):
            await tags(adapter)
        assert 1.4 < time.monotonic() - started < 4
        assert len(server.asked) == 1


async def test_silence_is_tried_again_and_then_told() -> None:
    silent = Reply(itertools.chain([b""], itertools.repeat(b"")), pause=5)
    async with facing(always(silent)) as (server, adapter):
        with pytest.raises(RegistryUnavailable, match="no answer in time"):
            await tags(adapter)
        assert len(server.asked) == 3


@pytest.mark.parametrize("status", [500, 502, 503, 504])
async def test_passing_failure_is_tried_again(status: int) -> None:
    answers = itertools.chain([reply(status), reply(status)], itertools.repeat(json_reply({"tags": ["a"]})))
    async with facing(lambda _: next(answers)) as (server, adapter):
        assert await tags(adapter) == ["a"]
        assert len(server.asked) == 3


@pytest.mark.parametrize(
    ("status", "kind"), [(429, RateLimited), (503, RegistryUnavailable), (501, RegistryUnavailable)]
)
async def test_lasting_failure_is_told_after_bounded_tries(status: int, kind: type[RegistryError]) -> None:
    async with facing(always(json_reply({"errors": [{"code": "TOOMANYREQUESTS"}]}, status))) as (server, adapter):
        with pytest.raises(kind, match="TOOMANYREQUESTS"):
            await tags(adapter)
        assert len(server.asked) == (1 if status == 501 else 3)


async def test_retry_after_holds_back_every_request_and_is_capped() -> None:
    answers = itertools.chain([reply(429, retry_after="86400")], itertools.repeat(json_reply({"tags": []})))
    async with facing(lambda _: next(answers)) as (server, adapter):
        started = time.monotonic()
        first = asyncio.create_task(tags(adapter))
        await asyncio.sleep(0.2)
        assert len(server.asked) == 1
        await tags(adapter)  # a request that was never refused waits as well
        assert 0.9 < time.monotonic() - started < 3
        await first


REDIRECTS: dict[str, tuple[str, type[RegistryError]]] = {
    "metadata service": ("http://169.254.169.254/latest/meta-data/", AddressRefused),
    "metadata service in IPv6": ("http://[::ffff:169.254.169.254]/", AddressRefused),
    "metadata service by number": ("http://2852039166/", AddressRefused),
    "unspecified address": ("http://0.0.0.0/", AddressRefused),
    "multicast": ("http://224.0.0.1/", AddressRefused),
    "a file": ("file:///etc/passwd", RedirectRefused),
    "no host": ("http:///x", RedirectRefused),
    "nonsense": ("http://[::1", RedirectRefused),
}


@pytest.mark.parametrize("case", REDIRECTS)
async def test_redirect_to_where_no_registry_may_send_us(case: str) -> None:
    place, kind = REDIRECTS[case]
    async with facing(always(reply(307, location=place))) as (_, adapter):
        with pytest.raises(kind):
            await anext(adapter.blob("x", WHOLE))


async def test_redirects_without_end() -> None:
    async with facing(lambda asked: reply(302, location=asked.target + "x")) as (server, adapter):
        with pytest.raises(RedirectRefused, match="more than 5"):
            await tags(adapter)
        assert len(server.asked) == 6


async def test_credentials_stay_on_the_registrys_own_origin() -> None:
    def storage(_: Asked) -> Reply:
        return reply(200, BLOB)

    async with hostile(storage) as elsewhere:

        def registry(asked: Asked) -> Reply:
            if "authorization" not in asked.headers:
                return reply(401, www_authenticate='Basic realm="x"')
            return reply(307, location=f"{elsewhere.url}/signed?secret=1")

        async with facing(registry, username="user", password="pass-word") as (server, adapter):
            assert b"".join([chunk async for chunk in adapter.blob("x", WHOLE)]) == BLOB
            assert "authorization" in server.asked[1].headers
            assert "authorization" not in elsewhere.asked[0].headers
            elsewhere.script = always(reply(401, www_authenticate='Basic realm="x"'))
            with pytest.raises(RedirectRefused) as caught:
                _ = [chunk async for chunk in adapter.blob("x", WHOLE)]
            assert "secret" not in str(caught.value)
            assert not any("authorization" in asked.headers for asked in elsewhere.asked)
