"""Content digests as the OCI image specification writes them (image-spec, descriptor.md, "Digests")."""

import hashlib
import re
from typing import NewType

from imagewarden.model.errors import ImagewardenError

__all__ = ["Digest", "InvalidDigest", "digest_of", "hex_part", "parse_digest"]

Digest = NewType("Digest", str)
"""`algorithm:hex`, lower case, sha256 (64 hex digits) or sha512 (128): at most 135 characters."""

_SHAPE = re.compile(r"(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})")
_HASHES = {"sha256": hashlib.sha256, "sha512": hashlib.sha512}


class InvalidDigest(ImagewardenError):
    """A text that is not a digest of a known algorithm."""


def parse_digest(text: object) -> Digest:
    """Return `text` as a digest; raises InvalidDigest for any other shape, type or algorithm."""
    if isinstance(text, str) and _SHAPE.fullmatch(text):
        return Digest(text)
    raise InvalidDigest(f"not a sha256 or sha512 digest: {str(text)[:80]!r}")


def digest_of(content: bytes, like: Digest | None = None) -> Digest:
    """Return the digest of `content`, by the algorithm of `like` (sha256 without it)."""
    algorithm = like.partition(":")[0] if like else "sha256"
    return Digest(f"{algorithm}:{_HASHES[algorithm](content).hexdigest()}")


def hex_part(digest: Digest) -> str:
    """Return the hex digits of a digest, without its algorithm."""
    return digest.partition(":")[2]
