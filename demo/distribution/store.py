"""A registry's content in a folder, by digest.

    blobs/<algorithm>/<two digits>/<digits>             every content, once
    repositories/<name>/_blobs/<algorithm>/<digits>     empty: this repository may serve that blob
    repositories/<name>/_manifests/<algorithm>/<digits> the manifest's media type
    repositories/<name>/_tags/<tag>                     the digest it points to
    repositories/<name>/_uploads/<id>                   an upload that has not ended
    new/<id>                                            a small file before its rename

A part of a repository's name never begins with `_`, so the folders cannot meet. Files appear by rename, whole.
"""

import os
import shutil
import threading
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from demo.distribution.names import is_digest

__all__ = ["Store", "StoredManifest"]


@dataclass(frozen=True)
class StoredManifest:
    """A manifest as a repository holds it."""

    digest: str
    """Its digest."""
    media_type: str
    """The media type it was pushed with."""
    path: Path
    """The file with its bytes."""


class Store:
    """The folder. Safe for many threads of one process; names and digests must have been checked."""

    def __init__(self, root: Path) -> None:
        """Use `root`, made when missing; what an earlier process left half-written is dropped."""
        self.root = root.resolve()
        self._changing_tags = threading.Lock()
        (self.root / "repositories").mkdir(parents=True, exist_ok=True)
        for unfinished in (self.root / "new", *(self.root / "repositories").rglob("_uploads")):
            shutil.rmtree(unfinished, ignore_errors=True)

    def repository(self, name: str) -> Path:
        """Return a repository's folder, which need not exist."""
        return self.root / "repositories" / name

    def repositories(self) -> list[str]:
        """Return the names of all repositories that ever held a manifest, in no order."""
        top = self.root / "repositories"
        found = []
        for folder, children, _ in os.walk(top):
            if "_manifests" in children:
                found.append(Path(folder).relative_to(top).as_posix())
            children[:] = [child for child in children if not child.startswith("_")]
        return found

    def blob(self, name: str, digest: str) -> Path | None:
        """Return the file of a blob that the repository may serve, or None."""
        return self._content(digest) if self._entry(name, "_blobs", digest).exists() else None

    def add_blob(self, name: str, digest: str, file: Path) -> None:
        """Move `file`, whose digest has been verified, into the store and let the repository serve it."""
        target = self._content(digest)
        target.parent.mkdir(parents=True, exist_ok=True)
        file.replace(target)
        self.link_blob(name, digest)

    def link_blob(self, name: str, digest: str) -> None:
        """Let the repository serve a blob that the store holds."""
        entry = self._entry(name, "_blobs", digest)
        entry.parent.mkdir(parents=True, exist_ok=True)
        entry.touch()

    def tags(self, name: str) -> list[str] | None:
        """Return a repository's tags in no order; None if it never held a manifest."""
        if not (self.repository(name) / "_manifests").is_dir():
            return None
        folder = self.repository(name) / "_tags"
        return [entry.name for entry in folder.iterdir()] if folder.is_dir() else []

    def manifest(self, name: str, reference: str) -> StoredManifest | None:
        """Return a manifest by tag or digest, or None."""
        try:
            digest = reference if is_digest(reference) else self._tag(name, reference).read_text()
            media_type = self._entry(name, "_manifests", digest).read_text()
        except FileNotFoundError:
            return None
        return StoredManifest(digest, media_type, self._content(digest))

    def add_manifest(self, name: str, reference: str, digest: str, media_type: str, content: bytes) -> None:
        """Store a verified manifest, and point `reference` to it when that is a tag."""
        self._write(self._content(digest), content)
        with self._changing_tags:
            self._write(self._entry(name, "_manifests", digest), media_type.encode())
            if not is_digest(reference):
                self._write(self._tag(name, reference), digest.encode())

    def remove_manifest(self, name: str, digest: str) -> None:
        """Take a manifest out of a repository, with every tag that points to it."""
        with self._changing_tags:
            for tag in self.tags(name) or []:
                if self._tag(name, tag).read_text() == digest:
                    self._tag(name, tag).unlink()
            self._entry(name, "_manifests", digest).unlink(missing_ok=True)

    def remove_tag(self, name: str, tag: str) -> None:
        """Remove one tag; its manifest stays."""
        with self._changing_tags:
            self._tag(name, tag).unlink(missing_ok=True)

    def _content(self, digest: str) -> Path:
        algorithm, _, digits = digest.partition(":")
        return self.root / "blobs" / algorithm / digits[:2] / digits

    def _entry(self, name: str, kind: str, digest: str) -> Path:
        algorithm, _, digits = digest.partition(":")
        return self.repository(name) / kind / algorithm / digits

    def _tag(self, name: str, tag: str) -> Path:
        return self.repository(name) / "_tags" / tag

    def _write(self, path: Path, content: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        (self.root / "new").mkdir(exist_ok=True)
        new = self.root / "new" / uuid4().hex
        new.write_bytes(content)
        new.replace(path)
