"""A registry in memory, behind the adapter's contract: to be changed, broken and counted by tests."""

import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from imagewarden.model.digest import Digest, digest_of
from imagewarden.registry.adapter import Descriptor, RawManifest, TagRecord, TagState, Unchanged
from imagewarden.registry.errors import BlobNotFound, ManifestNotFound, RegistryError, RegistryUnavailable

__all__ = ["MemoryRegistry", "artifact_of", "config_of", "image_of", "index_of"]

OCI = "application/vnd.oci.image"


def encoded(document: dict[str, Any]) -> bytes:
    return json.dumps(document, sort_keys=True).encode()


def config_of(created: str | None = "2024-05-06T07:08:09Z", architecture: str = "amd64") -> bytes:
    """Return an image config."""
    return encoded({"os": "linux", "architecture": architecture} | ({"created": created} if created else {}))


def image_of(mark: str, config: bytes | None = None, layer_size: int = 1000) -> tuple[bytes, bytes]:
    """Return a manifest and its config; `mark` tells images apart."""
    config = config if config is not None else config_of()
    layer = "sha256:" + hashlib.sha256(mark.encode()).hexdigest()
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{OCI}.manifest.v1+json",
        "config": {"mediaType": f"{OCI}.config.v1+json", "digest": digest_of(config), "size": len(config)},
        "layers": [{"mediaType": f"{OCI}.layer.v1.tar+gzip", "digest": layer, "size": layer_size}],
    }
    return encoded(manifest), config


def index_of(*manifests: bytes, platforms: tuple[str, ...] = ("amd64", "arm64", "s390x")) -> bytes:
    """Return an index over manifests or indexes."""
    entries = []
    for content, architecture in zip(manifests, platforms, strict=False):
        entries.append(
            {
                "mediaType": json.loads(content)["mediaType"],
                "digest": digest_of(content),
                "size": len(content),
                "platform": {"os": "linux", "architecture": architecture},
            }
        )
    return encoded({"schemaVersion": 2, "mediaType": f"{OCI}.index.v1+json", "manifests": entries})


def artifact_of(kind: str) -> bytes:
    """Return the manifest of something that is no image."""
    return encoded(
        {
            "schemaVersion": 2,
            "mediaType": f"{OCI}.manifest.v1+json",
            "artifactType": kind,
            "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": f"sha256:{'4' * 64}", "size": 2},
            "layers": [],
        }
    )


@dataclass
class MemoryRegistry:
    """Repositories with tags, manifests and blobs; and what is to go wrong."""

    name: str = "Other"
    version: int = 1
    tag_map: dict[str, dict[str, Digest]] = field(default_factory=dict)
    """Digest by tag by repository."""
    manifests: dict[str, bytes] = field(default_factory=dict)
    """Manifests by digest."""
    blobs: dict[str, bytes] = field(default_factory=dict)
    """Blobs by digest."""
    listing_fails_after: int | None = None
    """Repositories that `repositories` gives before it fails."""
    tags_fail: dict[str, RegistryError] = field(default_factory=dict)
    """What the listing of a repository's tags fails with."""
    hidden_tags: set[str] = field(default_factory=set)
    """Repositories whose listing of tags is empty, though complete."""
    asked: list[str] = field(default_factory=list)
    """Requests so far, such as `HEAD team/app:1.0` and `GET team/app@sha256:...`."""
    before: Callable[[str], Awaitable[None]] | None = None
    """Awaited before each of these is answered: it may wait, change the registry, or raise."""

    def add(self, repository: str, tag: str, manifest: bytes, *blobs: bytes) -> Digest:
        """Push an image."""
        digest = digest_of(manifest)
        self.manifests[digest] = manifest
        self.tag_map.setdefault(repository, {})[tag] = digest
        self.blobs.update({digest_of(blob): blob for blob in blobs})
        return digest

    async def check(self) -> str:
        return "memory"

    async def close(self) -> None:
        self.asked.append("close")

    async def repositories(self) -> AsyncIterator[str]:
        for number, repository in enumerate(sorted(self.tag_map)):
            if number == self.listing_fails_after:
                raise RegistryUnavailable("the listing broke off")
            yield repository

    async def _ask(self, request: str) -> None:
        self.asked.append(request)
        if self.before is not None:
            await self.before(request)

    async def tags(self, repository: str) -> AsyncIterator[TagRecord]:
        await self._ask(f"LIST {repository}")
        if repository in self.tags_fail:
            raise self.tags_fail[repository]
        for tag in () if repository in self.hidden_tags else sorted(self.tag_map.get(repository, {})):
            yield TagRecord(tag)

    async def tag_state(self, repository: str, tag: str, known: Digest | None = None) -> TagState | Unchanged | None:
        await self._ask(f"HEAD {repository}:{tag}")
        digest = self.tag_map.get(repository, {}).get(tag)
        if digest is None:
            return None
        return Unchanged() if digest == known else TagState(digest, "")

    async def manifest(self, repository: str, reference: str) -> RawManifest:
        await self._ask(f"GET {repository}@{reference}")
        content = self.manifests.get(reference)
        if content is None:
            raise ManifestNotFound(f"{repository} has no manifest {reference}")
        return RawManifest(content, Digest(reference), "")

    async def blob(self, repository: str, descriptor: Descriptor) -> AsyncIterator[bytes]:
        await self._ask(f"BLOB {repository}@{descriptor.digest}")
        content = self.blobs.get(descriptor.digest)
        if content is None:
            raise BlobNotFound(f"{repository} has no blob {descriptor.digest}")
        yield content
