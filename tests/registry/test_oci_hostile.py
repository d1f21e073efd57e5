"""What a registry says of tags and manifests, and is not so."""

import pytest

from imagewarden.model.digest import digest_of
from imagewarden.registry.adapter import TagState, Unchanged
from imagewarden.registry.errors import (
    AccessDenied,
    DigestMismatch,
    MalformedAnswer,
    RegistryError,
)
from tests.support.facing import always, facing
from tests.support.hostile import Asked, Reply, reply

pytestmark = pytest.mark.anyio


BAD_MANIFESTS: dict[str, tuple[Reply, type[RegistryError]]] = {
    "other bytes": (reply(200, b'{"schemaVersion": 2}'), DigestMismatch),
    "too large": (reply(200, b" " * 70_000), MalformedAnswer),
    "created": (reply(201, b"{}"), MalformedAnswer),
    "not modified": (reply(304), MalformedAnswer),
}


@pytest.mark.parametrize("case", BAD_MANIFESTS)
async def test_manifest_that_is_not_the_digests(case: str) -> None:
    answer, kind = BAD_MANIFESTS[case]
    async with facing(always(answer)) as (_, adapter):
        with pytest.raises(kind):
            await adapter.manifest("x", digest_of(b"wanted"))


async def test_manifest_by_tag_is_verified_against_the_answers_digest() -> None:
    async with facing(always(reply(200, b"{}", docker_content_digest=digest_of(b"{}")))) as (server, adapter):
        assert (await adapter.manifest("x", "v1")).digest == digest_of(b"{}")
        server.script = always(reply(200, b"{ }", docker_content_digest=digest_of(b"{}")))
        with pytest.raises(DigestMismatch):
            await adapter.manifest("x", "v1")


@pytest.mark.parametrize("header", ["", "md5:nonsense"])
async def test_tag_without_a_digest_is_read_and_computed(header: str) -> None:
    async with facing(always(reply(200, b"{}", docker_content_digest=header))) as (server, adapter):
        assert await adapter.tag_state("x", "v1") == TagState(digest_of(b"{}"), "")
        assert [asked.method for asked in server.asked] == ["HEAD", "GET"]


async def test_registry_that_does_not_know_head() -> None:
    def script(asked: Asked) -> Reply:
        return reply(405) if asked.method == "HEAD" else reply(200, b"{}")

    async with facing(script) as (_, adapter):
        assert await adapter.tag_state("x", "v1") == TagState(digest_of(b"{}"), "")
        assert await adapter.tag_state("x", "v1", digest_of(b"{}")) == Unchanged()


async def test_address_that_is_a_web_site() -> None:
    async with facing(always(reply(200, b"<html>", content_type="text/html"))) as (_, adapter):
        with pytest.raises(MalformedAnswer, match="no registry"):
            await adapter.check()


async def test_tag_that_is_gone_between_head_and_get() -> None:
    async with facing(lambda asked: reply(200 if asked.method == "HEAD" else 404)) as (_, adapter):
        assert await adapter.tag_state("x", "v1") is None


async def test_explanation_of_a_failure_may_be_of_any_size_and_shape() -> None:
    for body in (b"x" * 100_000, b'{"errors": [{"code": "A\\nB"}]}', b'{"errors": 5}'):
        async with facing(always(reply(403, body))) as (_, adapter):
            with pytest.raises(AccessDenied, match="no reason"):
                await adapter.manifest("x", "v1")
