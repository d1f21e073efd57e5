"""Manifests and indexes, parsed from hostile bytes (image-spec 1.1; Docker v2 schema 2)."""

from typing import Any

import msgspec

from imagewarden.model.digest import InvalidDigest, parse_digest
from imagewarden.model.errors import ImagewardenError
from imagewarden.model.platform import Platform
from imagewarden.registry.adapter import Descriptor

__all__ = [
    "ArtifactManifest",
    "Child",
    "ImageIndex",
    "ImageManifest",
    "MalformedManifest",
    "Schema1Manifest",
    "parse_manifest",
]

INDEX_TYPES = frozenset(
    ("application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json")
)
MANIFEST_TYPES = frozenset(
    ("application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json")
)
CONFIG_TYPES = frozenset(("application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"))
_ATTESTATION = "vnd.docker.reference.type"
_MOST_CHILDREN = 1000
_MOST_LAYERS = 10_000
_MAX_SIZE = 2**63 - 1


class MalformedManifest(ImagewardenError):
    """A manifest or config outside the specification; the message says what is wrong with it."""

    code = "malformed_manifest"


class ImageManifest(msgspec.Struct, frozen=True):
    """An image of one platform."""

    media_type: str
    """Media type of the manifest."""
    config: Descriptor
    """The image's config."""
    layers: tuple[Descriptor, ...]
    """Its layers, base first; at most 10,000."""

    @property
    def blobs(self) -> dict[str, int]:
        """Size of each distinct blob by digest, config included."""
        return {each.digest: each.size for each in (self.config, *self.layers)}


class Child(msgspec.Struct, frozen=True):
    """One entry of an index."""

    descriptor: Descriptor
    """The manifest or index it points to."""
    platform: Platform
    """As the index names it; empty where it does not."""
    is_index: bool
    """Whether it is an index itself."""
    is_attachment: bool
    """Whether it describes another entry (build attestation, artifact) and is no image."""


class ImageIndex(msgspec.Struct, frozen=True):
    """An image of several platforms."""

    media_type: str
    """Media type of the index."""
    children: tuple[Child, ...]
    """Its entries, in order; at most 1,000."""


class ArtifactManifest(msgspec.Struct, frozen=True):
    """A manifest of something that is no container image: a chart, a signature, an SBOM."""

    media_type: str
    """Media type of the manifest."""
    artifact_type: str
    """What it is, by artifactType or by its config's media type."""


class Schema1Manifest(msgspec.Struct, frozen=True):
    """Docker's first manifest format: recognised, not scannable."""

    media_type: str
    """Media type of the manifest."""


Manifest = ImageManifest | ImageIndex | ArtifactManifest | Schema1Manifest


class _RawDescriptor(msgspec.Struct, rename="camel"):
    media_type: str = ""
    digest: str = ""
    size: int = -1
    platform: dict[str, Any] | None = None
    annotations: dict[str, Any] | None = None
    artifact_type: str | None = None


class _Raw(msgspec.Struct, rename="camel"):
    schema_version: int = 0
    media_type: str = ""
    artifact_type: str | None = None
    config: _RawDescriptor | None = None
    layers: list[_RawDescriptor] | None = None
    manifests: list[_RawDescriptor] | None = None


class _Version(msgspec.Struct, rename="camel"):
    schema_version: int = 0


def _descriptor(raw: _RawDescriptor, what: str) -> Descriptor:
    """Return a descriptor; raises MalformedManifest."""
    try:
        digest = parse_digest(raw.digest)
    except InvalidDigest:
        raise MalformedManifest(f"the {what} has no usable digest") from None
    if not 0 <= raw.size <= _MAX_SIZE:
        raise MalformedManifest(f"the {what} {digest} has no usable size")
    return Descriptor(raw.media_type[:255], digest, raw.size)


def _platform(raw: dict[str, Any] | None) -> Platform:
    """Return the platform of an index's entry; what is not text counts as not named."""
    return platform_of(raw or {})


def platform_of(raw: dict[str, Any]) -> Platform:
    """Return the platform that `os`, `architecture` and `variant` of a JSON object name."""

    def text(name: str) -> str:
        value = raw.get(name)
        return value[:64].replace("\0", "") if isinstance(value, str) else ""

    return Platform(text("os"), text("architecture"), text("variant"))


def _child(raw: _RawDescriptor) -> Child:
    """Return an entry of an index."""
    platform = _platform(raw.platform)
    attached = platform.is_unknown or _ATTESTATION in (raw.annotations or {}) or bool(raw.artifact_type)
    return Child(_descriptor(raw, "entry"), platform, raw.media_type in INDEX_TYPES, attached)


def _index(raw: _Raw, media_type: str) -> ImageIndex:
    """Return an index."""
    if len(raw.manifests or ()) > _MOST_CHILDREN:
        raise MalformedManifest(f"an index of more than {_MOST_CHILDREN} entries")
    return ImageIndex(media_type, tuple(_child(each) for each in raw.manifests or ()))


def _image(raw: _Raw, media_type: str) -> ImageManifest | ArtifactManifest:
    """Return the manifest of an image, or of an artifact."""
    if raw.config is None:
        raise MalformedManifest("a manifest without a config")
    if raw.artifact_type or raw.config.media_type not in CONFIG_TYPES:
        return ArtifactManifest(media_type, (raw.artifact_type or raw.config.media_type or "unknown")[:255])
    layers = raw.layers or []
    if len(layers) > _MOST_LAYERS:
        raise MalformedManifest(f"a manifest of more than {_MOST_LAYERS} layers")
    image = ImageManifest(
        media_type, _descriptor(raw.config, "config"), tuple(_descriptor(layer, "layer") for layer in layers)
    )
    if sum(image.blobs.values()) > _MAX_SIZE:
        raise MalformedManifest("the sizes of the blobs add up to more than 2**63 - 1 bytes")
    return image


def parse_manifest(content: bytes, media_type: str) -> Manifest:
    """Return what the bytes of a manifest are.

    `media_type` is the Content-Type they came with; the document's own mediaType wins. A document that could be read
    both as an index and as a manifest is refused (image-spec, "Document Type Confusion"). Raises MalformedManifest.
    """
    try:
        version = msgspec.json.decode(content, type=_Version).schema_version
        if version == 1:
            return Schema1Manifest(media_type)
        raw = msgspec.json.decode(content, type=_Raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedManifest(f"not the JSON of a manifest: {str(error)[:200]}") from None
    if version != 2:
        raise MalformedManifest(f"a manifest of schema version {version}; 1 and 2 are known")
    if raw.manifests is not None and (raw.layers is not None or raw.config is not None):
        raise MalformedManifest("a document that is both an index and a manifest")
    kind = raw.media_type or media_type
    is_index = raw.manifests is not None
    if (is_index and kind in MANIFEST_TYPES) or (not is_index and kind in INDEX_TYPES):
        raise MalformedManifest("a document whose media type is not what it holds")
    return _index(raw, kind) if is_index else _image(raw, kind)
