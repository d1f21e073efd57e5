"""The OCI adapter against Debian's real registry."""

import contextlib
import json
from collections.abc import AsyncIterator

import pytest

from imagewarden.model.digest import Digest, digest_of
from imagewarden.model.media_type import DOCKER_CONFIG, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST
from imagewarden.model.registry_kind import RegistryType
from imagewarden.registry import paging
from imagewarden.registry.adapter import Descriptor, RegistryAdapter, RepositoryLister, TagState, Unchanged
from imagewarden.registry.connect import open_adapter
from imagewarden.registry.errors import (
    AccessDenied,
    AuthenticationFailed,
    BlobNotFound,
    DigestMismatch,
    InvalidOption,
    ManifestNotFound,
    RegistryUnavailable,
)
from imagewarden.registry.oci import OciAdapter
from imagewarden.registry.options import Limits, TransportOptions
from tests.support.registry import Auth, RealRegistry, real_registry

pytestmark = pytest.mark.anyio
QUICK = Limits(attempts=2, backoff_seconds=0.01)
UNKNOWN = Digest("sha256:" + "0" * 64)


@contextlib.asynccontextmanager
async def adapter_of(registry: RealRegistry, **options: object) -> AsyncIterator[OciAdapter]:
    """Give an adapter with the registry's own credentials."""
    chosen = {"url": registry.url, **registry.credentials, "limits": QUICK, **options}
    adapter = open_adapter(RegistryType.OTHER, TransportOptions(**chosen))  # type: ignore[arg-type] # a test's mix
    assert isinstance(adapter, OciAdapter)
    try:
        yield adapter
    finally:
        await adapter.close()


async def test_reads_everything_in_every_authentication_mode(any_registry: RealRegistry) -> None:
    pushed = any_registry.push_image("team/shop/api", "v1", seed="one")
    any_registry.push_image("nginx", "latest", seed="two")
    async with adapter_of(any_registry) as adapter:
        assert isinstance(adapter, RepositoryLister)
        assert str(any_registry.port) in await adapter.check()
        assert {name async for name in adapter.repositories()} == {"team/shop/api", "nginx"}
        assert [record.tag async for record in adapter.tags("team/shop/api")] == ["v1"]
        state = await adapter.tag_state("team/shop/api", "v1")
        assert state == TagState(pushed["digest"], OCI_MANIFEST)
        assert await adapter.tag_state("team/shop/api", "v1", state.digest) == Unchanged()
        manifest = await adapter.manifest("team/shop/api", state.digest)
        assert manifest.digest == state.digest == digest_of(manifest.content)
        layer = json.loads(manifest.content)["layers"][0]
        blob = Descriptor(layer["mediaType"], layer["digest"], layer["size"])
        assert b"".join([chunk async for chunk in adapter.blob("team/shop/api", blob)]) == b"layer of one"


@pytest.mark.parametrize("auth", ["basic", "token"])
async def test_wrong_and_missing_credentials_are_no_absence(auth: Auth) -> None:
    missing = {"basic": AuthenticationFailed, "token": AccessDenied}[auth]  # the token service serves anyone
    with real_registry(auth) as registry:
        async with adapter_of(registry, password="wr0ng") as adapter:
            with pytest.raises(AuthenticationFailed) as caught:
                await adapter.tag_state("private/x", "v1")
            assert "wr0ng" not in str(caught.value)
        async with adapter_of(registry, username=None, password=None) as adapter:
            with pytest.raises(missing, match="credentials"):
                await adapter.tag_state("private/x", "v1")
            with pytest.raises(missing, match="credentials"):
                _ = [record async for record in adapter.tags("private/x")]


async def test_tag_that_moves_and_is_deleted(open_registry: RealRegistry) -> None:
    first = open_registry.push_image("moving", "v1", seed="a")["digest"]
    async with adapter_of(open_registry) as adapter:
        assert await adapter.tag_state("moving", "v1", first) == Unchanged()
        second = open_registry.push_image("moving", "v1", seed="b")["digest"]
        assert await adapter.tag_state("moving", "v1", first) == TagState(second, OCI_MANIFEST)
        open_registry.delete("moving", second)
        assert await adapter.tag_state("moving", "v1", first) is None
        assert [record async for record in adapter.tags("moving")] == []  # its tags are null now
        with pytest.raises(ManifestNotFound):
            await adapter.manifest("moving", second)


async def test_absent_repository_and_content(open_registry: RealRegistry) -> None:
    async with adapter_of(open_registry) as adapter:
        assert [record async for record in adapter.tags("never/was")] == []
        assert await adapter.tag_state("never/was", "v1") is None
        with pytest.raises(ManifestNotFound, match="never/was"):
            await adapter.manifest("never/was", "v1")
        with pytest.raises(BlobNotFound):
            await anext(adapter.blob("never/was", Descriptor("", UNKNOWN, 1)))


async def test_indexes_and_docker_manifests_come_as_they_are(open_registry: RealRegistry) -> None:
    child = open_registry.push_image("kinds", seed="child")
    index = open_registry.push_index("kinds", "multi", [child])
    docker = {"schemaVersion": 2, "mediaType": DOCKER_MANIFEST, "layers": []}
    docker["config"] = open_registry.push_blob("kinds", b"{}", DOCKER_CONFIG)
    open_registry.push_manifest("kinds", "docker", docker)
    async with adapter_of(open_registry) as adapter:
        assert await adapter.tag_state("kinds", "multi") == TagState(index["digest"], OCI_INDEX)
        assert (await adapter.manifest("kinds", "multi")).media_type == OCI_INDEX
        assert (await adapter.manifest("kinds", "docker")).media_type == DOCKER_MANIFEST


async def test_listing_of_many_pages_by_fewer_names_than_asked_for_first(
    open_registry: RealRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paging, "PAGE_SIZES", ("1001", "3"))  # the registry gives at most 1000
    names = {f"many/{number:03}" for number in range(10)}
    for name in names:
        open_registry.push_image(name, "v1")
    async with adapter_of(open_registry) as adapter:
        listed = [name async for name in adapter.repositories() if name.startswith("many/")]
    assert sorted(listed) == sorted(names)


async def test_blob_that_is_not_what_its_descriptor_says(open_registry: RealRegistry) -> None:
    pushed = open_registry.push_blob("blobs", b"twelve bytes")
    async with adapter_of(open_registry) as adapter:
        for size in (3, 11, 13):
            with pytest.raises(DigestMismatch):
                _ = [chunk async for chunk in adapter.blob("blobs", Descriptor("", pushed["digest"], size))]


async def test_registry_that_dies_and_comes_back() -> None:
    with real_registry() as registry:
        pushed = registry.push_image("stays", "v1")
        async with adapter_of(registry) as adapter:
            assert await adapter.tag_state("stays", "v1", pushed["digest"]) == Unchanged()
            registry.kill()
            with pytest.raises(RegistryUnavailable, match=f"127.0.0.1:{registry.port}"):
                await adapter.tag_state("stays", "v1")
            registry.restart()
            assert await adapter.tag_state("stays", "v1", pushed["digest"]) == Unchanged()


async def test_token_is_asked_for_once_a_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    with real_registry("token") as registry:
        registry.push_image("tokens", "v1")
        async with adapter_of(registry) as adapter:
            fetched = []
            tokens = adapter._transport._authorizer._tokens
            fetch = tokens._fetch

            async def counted(key: object) -> tuple[str, float]:
                fetched.append(key)
                return await fetch(key)  # type: ignore[arg-type] # passed through

            monkeypatch.setattr(tokens, "_fetch", counted)
            for _ in range(5):
                await adapter.tag_state("tokens", "v1")
            assert len(fetched) == 1


async def test_kinds_of_registry_that_are_not_spoken_to() -> None:
    with pytest.raises(InvalidOption, match="Harbor"):
        open_adapter(RegistryType.HARBOR, TransportOptions(url="https://harbor.example.test"))


def test_adapter_keeps_the_contract() -> None:
    adapter: RegistryAdapter = open_adapter(RegistryType.OTHER, TransportOptions(url="https://registry.example.test"))
    assert (adapter.name, adapter.version) == ("Other", 1)
