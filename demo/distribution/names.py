"""What repositories, tags and digests may be called (distribution-spec, "Pulling manifests"; image-spec, "Digests")."""

import hashlib
import re
from collections.abc import Callable
from typing import Any

from demo.distribution.messages import Refusal

__all__ = ["check_digest", "check_repository", "check_tag", "hasher_of", "is_digest", "is_media_type"]

_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")
_MEDIA_TYPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}")
_HASHES: dict[str, Callable[[], Any]] = {"sha256": hashlib.sha256, "sha512": hashlib.sha512}


def check_repository(name: str) -> str:
    """Return a repository's name, at most 255 characters; refuses any other with NAME_INVALID."""
    if len(name) <= 255 and _REPOSITORY.fullmatch(name):
        return name
    raise Refusal(400, "NAME_INVALID", "the repository's name is not valid")


def check_tag(tag: str) -> str:
    """Return a tag, at most 128 characters; refuses any other with TAG_INVALID."""
    if _TAG.fullmatch(tag):
        return tag
    raise Refusal(400, "TAG_INVALID", "the tag is not valid")


def is_digest(text: object) -> bool:
    """Say whether `text` is a sha256 or sha512 digest in lower case."""
    return isinstance(text, str) and _DIGEST.fullmatch(text) is not None


def check_digest(text: str | None) -> str:
    """Return a digest; refuses any other text with DIGEST_INVALID."""
    if text is not None and is_digest(text):
        return text
    raise Refusal(400, "DIGEST_INVALID", "the digest must be sha256 or sha512 in lower-case hexadecimal")


def is_media_type(text: str) -> bool:
    """Say whether `text` is `type/subtype` without parameters (RFC 6838, section 4.2)."""
    return _MEDIA_TYPE.fullmatch(text) is not None


def hasher_of(digest: str) -> Any:
    """Return a new hash object of the algorithm of a checked digest."""
    return _HASHES[digest.partition(":")[0]]()
