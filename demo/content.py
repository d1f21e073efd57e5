"""OCI content in memory: layers, images, indexes, and what hangs on them.

Sources: image-spec (manifest.md, config.md, image-index.md, layer.md), Docker's image manifest version 2 schema 2.
Everything is a function of its input: the same files and times give the same digests.
"""

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any

__all__ = ["DOCKER", "OCI", "Blob", "Dialect", "Layer", "Manifest", "image", "index", "layer", "sha256", "to_json"]

Files = Mapping[str, bytes]
"""Content by path inside the image, without a leading slash."""


@dataclass(frozen=True)
class Dialect:
    """The media types an image is written in."""

    manifest: str
    """Of its manifest."""
    config: str
    """Of its config."""
    layer: str
    """Of its layers, gzip-compressed."""


OCI = Dialect(
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.oci.image.layer.v1.tar+gzip",
)
DOCKER = Dialect(
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.container.image.v1+json",
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
)
INDEX = "application/vnd.oci.image.index.v1+json"


def sha256(content: bytes) -> str:
    """Return the digest of `content`."""
    return "sha256:" + hashlib.sha256(content).hexdigest()


def to_json(document: object) -> bytes:
    """Return a document as compact JSON in the order it was written."""
    return json.dumps(document, separators=(",", ":")).encode()


@dataclass(frozen=True)
class Blob:
    """Content that manifests point to."""

    media_type: str
    """Its media type."""
    content: bytes
    """Its bytes."""
    annotations: Mapping[str, str] = field(default_factory=dict)
    """What its descriptor says besides."""

    @property
    def digest(self) -> str:
        """Its digest."""
        return sha256(self.content)

    def descriptor(self) -> dict[str, Any]:
        """Return what a manifest says of it."""
        found: dict[str, Any] = {"mediaType": self.media_type, "digest": self.digest, "size": len(self.content)}
        return {**found, "annotations": dict(self.annotations)} if self.annotations else found


@dataclass(frozen=True)
class Manifest(Blob):
    """A manifest or index, with everything it points to."""

    blobs: tuple[Blob, ...] = ()
    """Its config and layers."""
    children: tuple["Manifest", ...] = ()
    """An index's manifests."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """What an index says of it besides: platform, artifactType."""

    def descriptor(self) -> dict[str, Any]:
        """Return what an index says of it."""
        return {**super().descriptor(), **self.extra}


@dataclass(frozen=True)
class Layer:
    """One layer, and the command that seems to have made it."""

    content: bytes
    """The compressed tar."""
    diff_id: str
    """Digest of the tar before compression."""
    created_by: str
    """What the image's history says of it."""


def layer(files: Files, created_by: str, changed: datetime) -> Layer:
    """Pack files, with their folders, into a layer; all belong to root and were changed at one time."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive:
        folders = {str(parent) for path in files for parent in PurePosixPath(path).parents} - {"."}
        for path in sorted(folders | set(files)):
            entry = tarfile.TarInfo(path)
            entry.mtime = int(changed.timestamp())
            if path in files:
                entry.size, entry.mode = len(files[path]), 0o644
            else:
                entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(entry, io.BytesIO(files.get(path, b"")))
    tar = stream.getvalue()
    return Layer(gzip.compress(tar, 6, mtime=0), sha256(tar), created_by)


def image(
    layers: Sequence[Layer],
    settings: Mapping[str, Any],
    created: datetime,
    architecture: str,
    dialect: Dialect = OCI,
) -> Manifest:
    """Put an image of one platform together; `settings` is the `config` member of its config."""
    moment = created.isoformat().replace("+00:00", "Z")
    history: list[dict[str, Any]] = [{"created": moment, "created_by": each.created_by} for each in layers]
    history += [
        {"created": moment, "created_by": f"{name.upper()} {json.dumps(value)}", "empty_layer": True}
        for name, value in settings.items()
    ]
    config = {
        "created": moment,
        "architecture": architecture,
        "os": "linux",
        "config": dict(settings),
        "rootfs": {"type": "layers", "diff_ids": [each.diff_id for each in layers]},
        "history": history,
    }
    blobs = (Blob(dialect.config, to_json(config)), *(Blob(dialect.layer, each.content) for each in layers))
    platform = {"platform": {"architecture": architecture, "os": "linux"}}
    return manifest(blobs, dialect.manifest, extra=platform)


def manifest(
    blobs: Sequence[Blob],
    media_type: str = OCI.manifest,
    *,
    members: Mapping[str, Any] | None = None,
    extra: Mapping[str, Any] | None = None,
    annotations: Mapping[str, str] | None = None,
) -> Manifest:
    """Write a manifest over a config (the first blob) and layers, with further members of its own."""
    document = {
        "schemaVersion": 2,
        "mediaType": media_type,
        **(members or {}),
        "config": blobs[0].descriptor(),
        "layers": [blob.descriptor() for blob in blobs[1:]],
    }
    return Manifest(media_type, to_json(document), annotations or {}, tuple(blobs), (), extra or {})


def index(children: Iterable[Manifest]) -> Manifest:
    """Write an index over manifests."""
    found = tuple(children)
    document = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [child.descriptor() for child in found]}
    return Manifest(INDEX, to_json(document), {}, (), found)
