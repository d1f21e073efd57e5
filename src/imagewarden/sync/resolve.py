"""What a tag points to, read down to configs and children, as the image list needs it."""

import msgspec

from imagewarden.artifact.config import ImageConfig, parse_config
from imagewarden.artifact.manifest import (
    ArtifactManifest,
    Child,
    ImageIndex,
    ImageManifest,
    MalformedManifest,
    Schema1Manifest,
    parse_manifest,
)
from imagewarden.inventory.writer import PlatformFacts
from imagewarden.model.digest import Digest, hex_part
from imagewarden.model.platform import Platform
from imagewarden.registry.adapter import Descriptor, RegistryAdapter
from imagewarden.registry.errors import BlobNotFound, ManifestNotFound

__all__ = ["NoImage", "Resolved", "resolve"]

_MOST_CONFIG_BYTES = 16 * 1024 * 1024
_DEEPEST = 4
_MOST_CHILDREN = 1000
_NOBODY = ImageConfig(Platform(), None)


class NoImage(msgspec.Struct, frozen=True):
    """A manifest that holds no image."""

    reason: str
    """What it is instead."""


class Resolved(msgspec.Struct, frozen=True):
    """An image, the same for every tag that points to it."""

    digest: Digest
    """Digest of the manifest or index."""
    config_digest: str
    """Hex; an index's own; empty for schema 1."""
    media_type: str
    """Media type of the manifest or index."""
    size: int
    """Bytes of all blobs, each once."""
    platform: Platform
    """What it runs on; empty for an index."""
    scannable: bool
    """Whether a scan may be started."""
    is_index: bool
    """Whether it holds several architectures."""
    created_at: int | None
    """When it was built, by its config (an index: its newest child's); ms."""
    children: tuple[PlatformFacts, ...]
    """The runnable children of an index."""
    problems: tuple[str, ...]
    """What of it the registry does not hold."""


async def _config(adapter: RegistryAdapter, repository: str, descriptor: Descriptor) -> ImageConfig:
    """Return a config's contents; raises MalformedManifest for one that is too large or unreadable."""
    if descriptor.size > _MOST_CONFIG_BYTES:
        raise MalformedManifest(f"the config {descriptor.digest} is larger than {_MOST_CONFIG_BYTES} bytes")
    content = b"".join([chunk async for chunk in adapter.blob(repository, descriptor)])
    return parse_config(content)


class _Family:
    """The children of one index, gathered through nested indexes."""

    def __init__(self, adapter: RegistryAdapter, repository: str) -> None:
        self._adapter = adapter
        self._repository = repository
        self._seen: set[Digest] = set()
        self.children: list[PlatformFacts] = []
        self.blobs: dict[str, int] = {}
        self.created: list[int] = []
        self.problems: list[str] = []

    async def gather(self, index: ImageIndex, depth: int = 1) -> None:
        """Read every runnable child once; raises MalformedManifest for nests too deep or children too many."""
        if depth > _DEEPEST:
            raise MalformedManifest(f"indexes nested more than {_DEEPEST} deep")
        for child in index.children:
            if child.is_attachment or child.descriptor.digest in self._seen:
                continue
            self._seen.add(child.descriptor.digest)
            if len(self._seen) > _MOST_CHILDREN:
                raise MalformedManifest(f"an index of more than {_MOST_CHILDREN} entries, nested ones included")
            await self._read(child, depth)

    async def _read(self, child: Child, depth: int) -> None:
        """Read one child; a missing one is listed all the same, and told."""
        digest = child.descriptor.digest
        try:
            raw = await self._adapter.manifest(self._repository, digest)
        except ManifestNotFound:
            self.problems.append(f"the child {digest} ({str(child.platform) or 'no platform named'}) is missing")
            if not child.is_index:
                self.children.append(PlatformFacts(digest, "", child.platform, 0))
            return
        manifest = parse_manifest(raw.content, child.descriptor.media_type or raw.media_type)
        if isinstance(manifest, ImageIndex):
            await self.gather(manifest, depth + 1)
        elif isinstance(manifest, ImageManifest):
            await self._add(child, manifest)

    async def _add(self, child: Child, manifest: ImageManifest) -> None:
        """Add an image's own facts."""
        config = _NOBODY
        try:
            config = await _config(self._adapter, self._repository, manifest.config)
        except BlobNotFound:
            self.problems.append(f"the config {manifest.config.digest} of {child.descriptor.digest} is missing")
        self.children.append(
            PlatformFacts(
                child.descriptor.digest,
                hex_part(manifest.config.digest),
                child.platform if child.platform != Platform() else config.platform,
                sum(manifest.blobs.values()),
            )
        )
        self.blobs |= manifest.blobs
        if config.created_at is not None:
            self.created.append(config.created_at)


async def _index(adapter: RegistryAdapter, repository: str, digest: Digest, index: ImageIndex) -> Resolved | NoImage:
    """Return what an index holds."""
    family = _Family(adapter, repository)
    await family.gather(index)
    if not family.children:
        return NoImage("an index without an image")
    return Resolved(
        digest=digest,
        config_digest=hex_part(digest),
        media_type=index.media_type,
        size=min(sum(family.blobs.values()), 2**63 - 1),
        platform=Platform(),
        scannable=True,
        is_index=True,
        created_at=max(family.created, default=None),
        children=tuple(family.children),
        problems=tuple(family.problems),
    )


async def _image(adapter: RegistryAdapter, repository: str, digest: Digest, manifest: ImageManifest) -> Resolved:
    """Return what a manifest of one platform holds."""
    config, problems = _NOBODY, ()
    try:
        config = await _config(adapter, repository, manifest.config)
    except BlobNotFound:
        problems = (f"the config {manifest.config.digest} is missing",)  # type: ignore[assignment] # one of any length
    return Resolved(
        digest=digest,
        config_digest=hex_part(manifest.config.digest),
        media_type=manifest.media_type,
        size=sum(manifest.blobs.values()),
        platform=config.platform,
        scannable=True,
        is_index=False,
        created_at=config.created_at,
        children=(),
        problems=problems,
    )


async def resolve(adapter: RegistryAdapter, repository: str, digest: Digest) -> Resolved | NoImage:
    """Return what a digest of a repository is.

    Raises ManifestNotFound when it is gone, MalformedManifest for content outside the specification, and RegistryError
    kinds. A child or config that the registry does not hold is told in `problems`.
    """
    raw = await adapter.manifest(repository, digest)
    manifest = parse_manifest(raw.content, raw.media_type)
    match manifest:
        case ImageIndex():
            return await _index(adapter, repository, digest, manifest)
        case ImageManifest():
            return await _image(adapter, repository, digest, manifest)
        case ArtifactManifest(artifact_type=kind):
            return NoImage(f"an artifact of type {kind}")
        case Schema1Manifest(media_type=kind):
            return Resolved(
                digest=digest, config_digest="", media_type=kind, size=0, platform=Platform(), scannable=False,
                is_index=False, created_at=None, children=(), problems=(),
            )  # fmt: skip
