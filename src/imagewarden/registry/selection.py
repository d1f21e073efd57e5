"""Which repositories and tags of a registry are wanted."""

import heapq
import re
from fnmatch import fnmatchcase

import msgspec

from imagewarden.model.tagorder import TagKey, tag_order_key

__all__ = ["NewestTags", "Selection", "is_attachment"]

_ATTACHMENT = re.compile(r"sha(?:256|512)-[0-9a-f]{64}(?:[0-9a-f]{56})?(?:\.[a-z0-9._-]*)?")


def is_attachment(tag: str) -> bool:
    """Return whether a tag is how signatures and the like are attached to an image, and never an image.

    `sha256-<hex>` (distribution-spec, "Referrers Tag Schema", which cuts the hex at 64), or cosign's with `.sig`,
    `.att` or `.sbom` after it.
    """
    return _ATTACHMENT.fullmatch(tag) is not None


class Selection(msgspec.Struct, frozen=True):
    """Patterns are shell-like (`*` crosses slashes, `?`, `[...]`), case-sensitive, over the whole name."""

    repositories: tuple[str, ...] = ()
    """Exactly these repositories, in place of the registry's own listing."""
    include: tuple[str, ...] = ()
    """Repositories that match one of these; empty = all."""
    exclude: tuple[str, ...] = ()
    """But none that match one of these."""
    include_tags: tuple[str, ...] = ()
    """Tags that match one of these; empty = all."""
    exclude_tags: tuple[str, ...] = ()
    """But none that match one of these."""
    newest: int | None = None
    """Of each repository only so many tags, the newest by the version in their names; None = all."""

    def wants_repository(self, name: str) -> bool:
        """Return whether a repository is wanted."""
        if self.repositories and name not in self.repositories:
            return False
        return _passes(name, self.include, self.exclude)

    def wants_tag(self, tag: str) -> bool:
        """Return whether a tag is wanted, `newest` aside."""
        return not is_attachment(tag) and _passes(tag, self.include_tags, self.exclude_tags)


class NewestTags:
    """Keeps the newest of a stream of tags: memory grows with how many are kept, not with the stream."""

    def __init__(self, keep: int) -> None:
        """`keep` is 0 or more."""
        self._keep = keep
        self._heap: list[TagKey] = []

    def add(self, tag: str) -> None:
        """Consider a tag."""
        key = tag_order_key(tag)
        if len(self._heap) < self._keep:
            heapq.heappush(self._heap, key)
        elif self._keep:
            heapq.heappushpop(self._heap, key)

    def tags(self) -> list[str]:
        """Return what was kept, newest first: `latest`, then from the highest version down."""
        return [key[-1] for key in sorted(self._heap, reverse=True)]


def _passes(name: str, include: tuple[str, ...], exclude: tuple[str, ...]) -> bool:
    """Return whether a name is included and not excluded."""
    if include and not any(fnmatchcase(name, pattern) for pattern in include):
        return False
    return not any(fnmatchcase(name, pattern) for pattern in exclude)
