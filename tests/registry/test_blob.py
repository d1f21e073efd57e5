"""Blobs that break off, drip, or are other bytes."""

import asyncio
from collections.abc import Callable

import pytest

from imagewarden.model.digest import Digest, InvalidDigest
from imagewarden.registry.adapter import Descriptor
from imagewarden.registry.errors import (
    DigestMismatch,
    MalformedAnswer,
    RegistryError,
    RegistryUnavailable,
)
from imagewarden.registry.options import Limits
from tests.support.facing import BLOB, WHOLE, always, facing
from tests.support.hostile import Asked, Reply, Script, reply

pytestmark = pytest.mark.anyio


def ranged(answer: Callable[[int], Reply]) -> Script:
    """Serve half of the blob and break off; then what `answer` says to a range from there."""

    def script(asked: Asked) -> Reply:
        start = asked.headers.get("range", "bytes=0-").removeprefix("bytes=").rstrip("-")
        return answer(int(start)) if int(start) else reply(200, BLOB[:5000], content_length=str(len(BLOB)))

    return script


@pytest.mark.parametrize(
    "answer",
    [
        lambda start: reply(206, BLOB[start:], content_range=f"bytes {start}-{len(BLOB) - 1}/{len(BLOB)}"),
        lambda _: reply(200, BLOB),
    ],
    ids=["from there on", "from the beginning"],
)
async def test_blob_that_broke_off_is_taken_up_again(answer: Callable[[int], Reply]) -> None:
    async with facing(ranged(answer)) as (server, adapter):
        assert b"".join([chunk async for chunk in adapter.blob("x", WHOLE)]) == BLOB
        assert server.asked[-1].headers["range"] == "bytes=5000-"


BAD_RANGES: dict[str, tuple[Reply, type[RegistryError]]] = {
    "elsewhere": (reply(206, BLOB, content_range=f"bytes 0-9999/{len(BLOB)}"), MalformedAnswer),
    "unsaid": (reply(206, BLOB[5000:]), MalformedAnswer),
    "refused": (reply(416), MalformedAnswer),
    "other bytes": (reply(206, b"x" * 5000, content_range="bytes 5000-9999/10000"), DigestMismatch),
    "too many": (reply(206, BLOB, content_range="bytes 5000-14999/15000"), DigestMismatch),
    "too few": (reply(206, b"x", content_range="bytes 5000-5000/5001"), DigestMismatch),
}


@pytest.mark.parametrize("case", BAD_RANGES)
async def test_blob_taken_up_again_wrongly(case: str) -> None:
    answer, kind = BAD_RANGES[case]
    async with facing(ranged(lambda _: answer)) as (_, adapter):
        with pytest.raises(kind):
            _ = [chunk async for chunk in adapter.blob("x", WHOLE)]


async def test_blob_that_breaks_off_every_time() -> None:
    async with facing(always(reply(200, BLOB[:5000], content_length=str(len(BLOB))))) as (server, adapter):
        with pytest.raises(RegistryError):
            _ = [chunk async for chunk in adapter.blob("x", WHOLE)]
        assert len(server.asked) == 3


async def test_blob_that_drips_is_given_up_but_a_slow_reader_is_not() -> None:
    limits = Limits(attempts=1, answer_seconds=0.4, read_seconds=0.3, blob_bytes_per_second=100_000)
    drip = Reply([b"HTTP/1.1 200 OK\r\n\r\n", *(BLOB[at : at + 100] for at in range(0, 10_000, 100))], pause=0.05)
    async with facing(always(drip), limits=limits) as (server, adapter):
        with pytest.raises(RegistryUnavailable, match="not complete"):
            _ = [chunk async for chunk in adapter.blob("x", WHOLE)]
        server.script = always(reply(200, BLOB))
        received = b""
        async for chunk in adapter.blob("x", WHOLE):
            received += chunk
            await asyncio.sleep(0.6)
        assert received == BLOB


async def test_reader_that_stops_early_gives_the_slot_back() -> None:
    async with facing(always(reply(200, BLOB * 1000)), concurrency=1) as (_, adapter):
        for _ in range(3):
            async with asyncio.timeout(5):
                async for _ in adapter.blob("x", Descriptor("", WHOLE.digest, len(BLOB) * 1000)):
                    break


async def test_digest_of_an_algorithm_unknown_here_is_no_address() -> None:
    async with facing(always(reply(200))) as (server, adapter):
        with pytest.raises(InvalidDigest):
            await anext(adapter.blob("x", Descriptor("", Digest("md5:../../x"), 1)))
        assert server.asked == []
