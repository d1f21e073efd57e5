"""Docker's manifest schema 1: recognised, and its digest verified; deprecated since 2019 and never scanned.

Its digest is over the payload without the signatures that are written into it (Docker's image manifest version 2,
schema 1, "Signed Manifests").
"""

import base64
import binascii
from typing import Any

import msgspec

from imagewarden.model.digest import Digest, digest_of

__all__ = ["SCHEMA1_TYPES", "payload_digest"]

SCHEMA1_TYPES = frozenset(
    (
        "application/vnd.docker.distribution.manifest.v1+prettyjws",
        "application/vnd.docker.distribution.manifest.v1+json",
        "application/json",
    )
)
"""Media types it comes under."""


def _unpadded(text: str) -> bytes:
    """Return base64url without padding, decoded."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def payload_digest(content: bytes, like: Digest | None) -> Digest:
    """Return the digest of a signed manifest's payload; of the whole content where there is no readable signature."""
    try:
        document: dict[str, Any] = msgspec.json.decode(content, type=dict[str, Any])
        protected = msgspec.json.decode(_unpadded(document["signatures"][0]["protected"]), type=dict[str, Any])
        length, tail = protected["formatLength"], _unpadded(protected["formatTail"])
        if not isinstance(length, int) or not 0 <= length <= len(content):
            return digest_of(content, like)
    except (KeyError, IndexError, TypeError, ValueError, binascii.Error, msgspec.DecodeError, RecursionError):
        return digest_of(content, like)
    return digest_of(content[:length] + tail, like)
