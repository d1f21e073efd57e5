"""Manifests and indexes, parsed from hostile bytes (image-spec 1.1: manifest.md, image-index.md; Docker v2)."""

import re
from typing import Any, TypeVar

import msgspec

from imagewarden.artifact.document import MalformedManifest, load_object, require_spelling
from imagewarden.model.digest import InvalidDigest, parse_digest
from imagewarden.model.media_type import (
    DOCKER_CONFIG,
    DOCKER_MANIFEST,
    INDEX_TYPES,
    MANIFEST_TYPES,
    OCI_ARTIFACT,
    OCI_CONFIG,
    SCHEMA1_TYPES,
    bare_media_type,
)
from imagewarden.model.platform import Platform
from imagewarden.registry.adapter import Descriptor

__all__ = [
    "ArtifactManifest",
    "Child",
    "ImageIndex",
    "ImageManifest",
    "MalformedManifest",
    "Manifest",
    "Schema1Manifest",
    "is_foreign",
    "parse_manifest",
    "platform_of",
]

MAX_CHILDREN = 1000
"""Entries of an index."""
MAX_LAYERS = 10_000
"""Layers of a manifest."""
MAX_SIZE = 2**63 - 1
"""Bytes: of one blob, and of all of a manifest's."""
_CONFIG_TYPES = frozenset({OCI_CONFIG, DOCKER_CONFIG})
_DEFAULTED_TYPES = frozenset({"", "application/octet-stream"})
"""Config types that Docker manifests of 2016 hold for images (moby#22378)."""
_LAYER_PREFIXES = ("application/vnd.oci.image.layer.", "application/vnd.docker.image.rootfs.")
_FOREIGN_PREFIXES = (
    "application/vnd.oci.image.layer.nondistributable.",
    "application/vnd.docker.image.rootfs.foreign.",
)
_ATTESTATION = "vnd.docker.reference.type"
_PLATFORM_TEXT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


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

    @property
    def size(self) -> int:
        """Bytes of config and layers as a registry stores them: each blob once; at most 2**63 - 1."""
        return sum(self.blobs.values())


class Child(msgspec.Struct, frozen=True):
    """One entry of an index."""

    descriptor: Descriptor
    """The manifest or index it points to."""
    platform: Platform
    """As the index names it; empty where it does not."""
    artifact_type: str
    """What it is when it is no image; empty for an image."""
    is_attestation: bool
    """Whether it describes how another entry was built: platform unknown, or marked so by BuildKit."""

    @property
    def is_index(self) -> bool:
        """Whether it is an index itself."""
        return self.descriptor.media_type in INDEX_TYPES

    @property
    def is_attachment(self) -> bool:
        """Whether it is no image, but an attestation or artifact."""
        return self.is_attestation or bool(self.artifact_type)


class ImageIndex(msgspec.Struct, frozen=True):
    """An image of several platforms."""

    media_type: str
    """Media type of the index."""
    children: tuple[Child, ...]
    """Its entries, in order, an entry given twice once; at most 1,000."""


class ArtifactManifest(msgspec.Struct, frozen=True):
    """A manifest of something that is no container image: a chart, a signature, a bill of materials."""

    media_type: str
    """Media type of the manifest."""
    artifact_type: str
    """What it is: its artifactType, else its config's media type, else its first layer's; never empty."""


class Schema1Manifest(msgspec.Struct, frozen=True):
    """Docker's first manifest format: recognised, not scannable."""

    media_type: str
    """Media type of the manifest."""


T = TypeVar("T")
Manifest = ImageManifest | ImageIndex | ArtifactManifest | Schema1Manifest


class _Platform(msgspec.Struct):
    os: Any = None
    architecture: Any = None
    variant: Any = None


class _Entry(msgspec.Struct, rename="camel"):
    """A descriptor as written."""

    media_type: str | None = None
    digest: str = ""
    size: int = -1
    platform: dict[str, Any] | None = None
    annotations: dict[str, Any] | None = None
    artifact_type: str | None = None


class _Document(msgspec.Struct, rename="camel"):
    """A manifest or index as written; what is null is as good as absent."""

    schema_version: int = 0
    media_type: str | None = None
    artifact_type: str | None = None
    config: dict[str, Any] | None = None
    layers: list[dict[str, Any]] | None = None
    manifests: list[dict[str, Any]] | None = None
    blobs: list[dict[str, Any]] | None = None
    fs_layers: list[Any] | None = None


_DOCUMENT_NAMES = tuple(field.encode_name for field in msgspec.structs.fields(_Document))
_ENTRY_NAMES = tuple(field.encode_name for field in msgspec.structs.fields(_Entry))
_PLATFORM_NAMES = ("os", "architecture", "variant")


def parse_manifest(raw: bytes, media_type: str) -> Manifest:
    """Return what the bytes of a manifest are.

    `media_type` is the Content-Type they came with; the document's own mediaType wins over it. A document that could
    be read both as an index and as a manifest, or whose type is not what it holds, is refused (image-spec, "Document
    Type Confusion", CVE-2021-41190). Raises MalformedManifest.
    """
    found = load_object(raw)
    require_spelling(found, _DOCUMENT_NAMES)
    document = _converted(found, _Document)
    claimed = bare_media_type(document.media_type)
    if document.media_type and not claimed:
        raise MalformedManifest(f"mediaType {document.media_type[:80]!r} is no media type")
    kind = claimed or bare_media_type(media_type)
    if document.schema_version == 1:
        return _schema1(document, kind)
    if document.schema_version != 2:
        raise MalformedManifest(f"schemaVersion is {document.schema_version}; 1 and 2 are known")
    is_index = document.manifests is not None
    is_manifest = document.layers is not None or document.config is not None
    if is_index + is_manifest + (document.fs_layers is not None) > 1:
        raise MalformedManifest("the document is both an index and a manifest")
    if (is_index and kind in MANIFEST_TYPES) or (not is_index and kind in INDEX_TYPES) or kind in SCHEMA1_TYPES:
        raise MalformedManifest(f"the document's media type {kind} is not what it holds")
    if is_index:
        return _index(document, kind)
    if kind == OCI_ARTIFACT or (document.blobs is not None and not is_manifest):
        return ArtifactManifest(kind, _artifact_type(document.artifact_type) or "unknown")
    return _image(document, kind)


def is_foreign(layer: Descriptor) -> bool:
    """Return whether a layer must not be pushed to registries, and so may have to be fetched from elsewhere."""
    return layer.media_type.startswith(_FOREIGN_PREFIXES)


def platform_of(found: dict[str, Any]) -> Platform:
    """Return the platform that `os`, `architecture` and `variant` name; what is no such word counts as not named."""

    def word(name: str) -> str:
        value = found.get(name)
        return value if isinstance(value, str) and _PLATFORM_TEXT.fullmatch(value) else ""

    return Platform(word("os"), word("architecture"), word("variant"))


def _converted(found: dict[str, Any], kind: type[T]) -> T:
    try:
        return msgspec.convert(found, kind)
    except msgspec.ValidationError as error:
        raise MalformedManifest(f"not the JSON of a manifest: {str(error)[:200]}") from None


def _schema1(document: _Document, kind: str) -> Schema1Manifest:
    others = (document.layers, document.manifests, document.config)
    if any(other is not None for other in others) or kind in INDEX_TYPES | MANIFEST_TYPES:
        raise MalformedManifest("the document is of schema version 1 and of another at once")
    return Schema1Manifest(kind)


def _entry(found: dict[str, Any], what: str) -> tuple[_Entry, Descriptor]:
    """Return a descriptor as written, and checked."""
    require_spelling(found, _ENTRY_NAMES)
    entry = _converted(found, _Entry)
    try:
        digest = parse_digest(entry.digest)
    except InvalidDigest as error:
        raise MalformedManifest(f"a {what} has no usable digest: {error}") from None
    if not 0 <= entry.size <= MAX_SIZE:
        raise MalformedManifest(f"the {what} {digest} has no usable size")
    return entry, Descriptor(bare_media_type(entry.media_type), digest, entry.size)


def _index(document: _Document, kind: str) -> ImageIndex:
    entries = document.manifests or []
    if len(entries) > MAX_CHILDREN:
        raise MalformedManifest(f"the index has {len(entries)} entries, more than {MAX_CHILDREN}")
    children = dict.fromkeys(_child(entry) for entry in entries)
    return ImageIndex(kind, tuple(children))


def _child(found: dict[str, Any]) -> Child:
    entry, descriptor = _entry(found, "manifest")
    require_spelling(entry.platform or {}, _PLATFORM_NAMES)
    platform = platform_of(entry.platform or {})
    attestation = platform.is_unknown or _ATTESTATION in (entry.annotations or {})
    return Child(descriptor, platform, _artifact_type(entry.artifact_type), attestation)


def _artifact_type(text: str | None) -> str:
    """Return an artifact type; `unknown` for one that is no media type, empty for none."""
    return (bare_media_type(text) or "unknown") if text else ""


def _image(document: _Document, kind: str) -> ImageManifest | ArtifactManifest:
    if document.config is None:
        raise MalformedManifest("the manifest has no config")
    found = document.layers or []
    if len(found) > MAX_LAYERS:
        raise MalformedManifest(f"the manifest has {len(found)} layers, more than {MAX_LAYERS}")
    _, config = _entry(document.config, "config")
    layers = tuple(_entry(layer, "layer")[1] for layer in found)
    artifact = _artifact_type(document.artifact_type) or _contents(kind, config, layers)
    if artifact:
        return ArtifactManifest(kind, artifact)
    image = ImageManifest(kind, config, layers)
    sizes: dict[str, int] = {}
    for blob in (config, *layers):
        if sizes.setdefault(blob.digest, blob.size) != blob.size:
            raise MalformedManifest(f"the manifest gives {blob.digest} two sizes")
    if image.size > MAX_SIZE:
        raise MalformedManifest("the sizes of the blobs add up to more than 2**63 - 1 bytes")
    return image


def _contents(kind: str, config: Descriptor, layers: tuple[Descriptor, ...]) -> str:
    """Return the artifact type of a manifest that holds no image by its config or its layers; empty for an image.

    Signatures and attestations carry an image's config type, but no layer of files (cosign, BuildKit).
    """
    is_docker = kind == DOCKER_MANIFEST
    if config.media_type not in _CONFIG_TYPES and not (is_docker and config.media_type in _DEFAULTED_TYPES):
        return config.media_type or "unknown"
    files = (layer.media_type.startswith(_LAYER_PREFIXES) or layer.media_type in _DEFAULTED_TYPES for layer in layers)
    return "" if not layers or any(files) else layers[0].media_type
