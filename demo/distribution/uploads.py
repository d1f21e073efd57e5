"""Blobs on their way in: uploads that clients begin, continue and finish (distribution-spec, "Pushing Blobs")."""

import re
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from demo.distribution.framing import PIECE
from demo.distribution.messages import Refusal
from demo.distribution.names import hasher_of
from demo.distribution.store import Store

__all__ = ["MAX_BLOB", "Uploads"]

MAX_BLOB = 8 << 30
"""Bytes of a blob at most."""
_IDENTIFIER = re.compile(r"[0-9a-f]{32}")


class Uploads:
    """The uploads of all repositories. Safe for many threads of one process: one request at a time an upload."""

    def __init__(self, store: Store) -> None:
        """Keep what arrives in the repositories' folders of `store`."""
        self._store = store
        self._lock = threading.Lock()
        self._busy: set[Path] = set()

    def begin(self, name: str) -> str:
        """Begin an upload to a repository; returns its identifier, 32 hex digits."""
        identifier = uuid4().hex
        folder = self._store.repository(name) / "_uploads"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / identifier).touch()
        return identifier

    def size(self, name: str, identifier: str) -> int:
        """Return the bytes received so far; refuses an unknown upload with 404."""
        with self._claim(name, identifier) as file:
            return file.stat().st_size

    def append(self, name: str, identifier: str, pieces: Iterable[bytes], start: int | None = None) -> int:
        """Add to an upload and return its new size; refuses with 416 a `start` other than its size."""
        with self._claim(name, identifier) as file:
            return _append(file, pieces, start)

    def finish(self, name: str, identifier: str, digest: str, pieces: Iterable[bytes], start: int | None) -> None:
        """Add the last bytes, verify the digest and store the blob; a wrong digest ends the upload with 400."""
        with self._claim(name, identifier) as file:
            _append(file, pieces, start)
            if _digest_matches(file, digest):
                self._store.add_blob(name, digest, file)
            else:
                file.unlink()
                raise Refusal(400, "DIGEST_INVALID", f"the content's digest is not {digest}")

    def cancel(self, name: str, identifier: str) -> None:
        """Drop an upload; refuses an unknown one with 404."""
        with self._claim(name, identifier) as file:
            file.unlink()

    @contextmanager
    def _claim(self, name: str, identifier: str) -> Iterator[Path]:
        """Give the upload's file to this request alone."""
        file = self._store.repository(name) / "_uploads" / identifier
        with self._lock:
            if not _IDENTIFIER.fullmatch(identifier) or not file.is_file():
                raise Refusal(404, "BLOB_UPLOAD_UNKNOWN", "there is no such upload: begin it anew")
            if file in self._busy:
                raise Refusal(409, "BLOB_UPLOAD_INVALID", "another request is writing to this upload")
            self._busy.add(file)
        try:
            yield file
        finally:
            with self._lock:
                self._busy.discard(file)


def _append(file: Path, pieces: Iterable[bytes], start: int | None) -> int:
    size = file.stat().st_size
    if start is not None and start != size:
        raise Refusal(416, "BLOB_UPLOAD_INVALID", f"the next byte is {size}", {"Range": f"0-{max(size - 1, 0)}"})
    with file.open("ab") as target:
        for piece in pieces:
            size += len(piece)
            if size > MAX_BLOB:
                raise Refusal(413, "SIZE_INVALID", f"a blob has at most {MAX_BLOB} bytes")
            target.write(piece)
    return size


def _digest_matches(file: Path, digest: str) -> bool:
    hasher = hasher_of(digest)
    with file.open("rb") as source:
        while piece := source.read(PIECE):
            hasher.update(piece)
    return bool(digest.partition(":")[2] == hasher.hexdigest())
