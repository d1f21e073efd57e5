"""The contract of a registry adapter, and the values that cross it.

An adapter says what a registry holds; it never decides what to keep. Every method raises RegistryError (or a kind
of it, see errors.py) when the registry cannot answer truthfully: an incomplete listing always raises, it never ends
early in silence, because rows are removed on the strength of a listing that ended normally.
"""

from collections.abc import AsyncIterator
from typing import Protocol, runtime_checkable

import msgspec

from imagewarden.model.digest import Digest

__all__ = [
    "Descriptor",
    "Problem",
    "ProblemSource",
    "RawManifest",
    "RegistryAdapter",
    "RepositoryLister",
    "TagRecord",
    "TagState",
    "Unchanged",
]


class Descriptor(msgspec.Struct, frozen=True):
    """What a manifest says of a piece of content (image-spec, descriptor.md)."""

    media_type: str
    """Media type as claimed; may be empty."""
    digest: Digest
    """Digest the content must have."""
    size: int
    """Bytes the content must have, 0 or more."""


class TagRecord(msgspec.Struct, frozen=True):
    """One tag as a listing gives it."""

    tag: str
    """The tag's name."""
    digest: Digest | None = None
    """Digest of its manifest or index, where the listing says it (plain OCI listings do not)."""
    pushed_at: int | None = None
    """When the tag was pushed, ms since 1970 UTC, where the registry knows."""


class TagState(msgspec.Struct, frozen=True):
    """What a tag points to now."""

    digest: Digest
    """Digest of the manifest or index."""
    media_type: str
    """Its media type as the registry claims it; may be empty."""


class Unchanged(msgspec.Struct, frozen=True):
    """The tag still points to the digest the caller already knows."""


class RawManifest(msgspec.Struct, frozen=True):
    """The bytes of a manifest or index, verified against `digest`."""

    content: bytes
    """Exactly what the registry served, at most the transport's manifest limit."""
    digest: Digest
    """Digest of `content` (of the signed payload for Docker schema 1)."""
    media_type: str
    """Media type by the Content-Type header; the content's own word is for the parser to check."""


class Problem(msgspec.Struct, frozen=True):
    """An entry of a listing that was left out, the rest of the listing being sound."""

    where: str
    """Repository, or `_catalog`."""
    code: str
    """Stable name of the cause, such as `invalid_name`."""
    reason: str
    """One sentence."""


class RegistryAdapter(Protocol):
    """Read access to one registry. Safe for concurrent use within one event loop."""

    name: str
    """Kind of registry it speaks to, as `registry_type` names it."""
    version: int
    """Raised when what it reports changes, so that a sync reads everything anew."""

    async def check(self) -> str:
        """Prove that address and credentials work, with the fewest requests; returns one line on what answered."""

    def tags(self, repository: str) -> AsyncIterator[TagRecord]:
        """Yield every tag of a repository once, in no order; an absent or emptied repository yields none.

        Raises RegistryError if any page of the listing did not end normally.
        """

    async def tag_state(self, repository: str, tag: str, known: Digest | None = None) -> TagState | Unchanged | None:
        """Ask what a tag points to, cheaply; None when the tag is gone, Unchanged when it is still `known`."""

    async def manifest(self, repository: str, reference: str) -> RawManifest:
        """Fetch a manifest or index by digest or tag; raises ManifestNotFound when it is gone, DigestMismatch when
        the bytes are not the digest's."""

    def blob(self, repository: str, descriptor: Descriptor) -> AsyncIterator[bytes]:
        """Stream a blob; digest and size are verified while reading, and DigestMismatch is raised before the end of
        the stream if they do not hold."""

    async def close(self) -> None:
        """Release connections."""


@runtime_checkable
class RepositoryLister(Protocol):
    """The ability to say which repositories a registry holds (plain OCI: `_catalog`, or a configured list)."""

    def repositories(self) -> AsyncIterator[str]:
        """Yield every repository's whole name once; raises RegistryError if the listing did not end normally."""


@runtime_checkable
class ProblemSource(Protocol):
    """The ability to say which entries of listings were left out."""

    def take_problems(self) -> tuple[Problem, ...]:
        """Return the problems since the last call, and forget them; a bounded number of the newest is kept."""
