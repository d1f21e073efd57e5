"""Images as another tool pushes them, in OCI's and in Docker's manifests."""

import json
import subprocess
from collections.abc import Iterator

import pytest

from imagewarden.artifact.config import parse_config
from imagewarden.artifact.manifest import ImageIndex, ImageManifest, parse_manifest
from imagewarden.model.media_type import DOCKER_MANIFEST, OCI_MANIFEST
from imagewarden.model.registry_kind import RegistryType
from imagewarden.registry.adapter import RegistryAdapter
from imagewarden.registry.connect import open_adapter
from imagewarden.registry.options import TransportOptions
from tests.support.registry import RealRegistry, image_layouts, real_registry

pytestmark = pytest.mark.anyio
NAMES = ("multi-arch", "whiteouts", "apk")


@pytest.fixture(scope="module")
def registry() -> Iterator[RealRegistry]:
    """Give a registry with real images."""
    layouts = image_layouts(*NAMES)
    with real_registry(images=layouts, only=NAMES) as found:
        source, target = f"oci:{layouts}/apk:latest", f"docker://127.0.0.1:{found.port}/test/apk:docker"
        command = ["skopeo", "copy", "-q", "--format", "v2s2", "--dest-tls-verify=false", source, target]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        yield found


async def image_of(adapter: RegistryAdapter, repository: str, reference: str) -> ImageManifest:
    raw = await adapter.manifest(repository, reference)
    found = parse_manifest(raw.content, raw.media_type)
    assert isinstance(found, ImageManifest)
    return found


async def test_every_byte_of_the_images_is_read(registry: RealRegistry) -> None:
    adapter = open_adapter(RegistryType.OTHER, TransportOptions(url=registry.url))
    raw = await adapter.manifest("test/multi-arch", "latest")
    index = parse_manifest(raw.content, raw.media_type)
    assert isinstance(index, ImageIndex)
    images = [child for child in index.children if not child.is_attachment]
    assert {str(child.platform) for child in images} == {"linux/amd64", "linux/arm64"}
    for child in images:
        image = await image_of(adapter, "test/multi-arch", child.descriptor.digest)
        config = b"".join([chunk async for chunk in adapter.blob("test/multi-arch", image.config)])
        assert parse_config(config).platform == child.platform
        assert len(json.loads(config)["rootfs"]["diff_ids"]) == len(image.layers)
        sizes = [sum([len(chunk) async for chunk in adapter.blob("test/multi-arch", layer)]) for layer in image.layers]
        assert sizes == [layer.size for layer in image.layers]
    await adapter.close()


async def test_docker_and_oci_manifests_of_one_image(registry: RealRegistry) -> None:
    adapter = open_adapter(RegistryType.OTHER, TransportOptions(url=registry.url))
    oci = await image_of(adapter, "test/apk", "latest")
    docker = await image_of(adapter, "test/apk", "docker")
    assert (oci.media_type, docker.media_type) == (OCI_MANIFEST, DOCKER_MANIFEST)
    assert [layer.digest for layer in oci.layers] == [layer.digest for layer in docker.layers]
    assert {record.tag async for record in adapter.tags("test/apk")} == {"latest", "docker"}
    await adapter.close()
