"""Names of repositories and tags (distribution-spec, "Pulling manifests")."""

import re
from typing import NamedTuple

from imagewarden.model.errors import ImagewardenError

__all__ = ["MAX_REPOSITORY", "InvalidName", "RepositoryName", "parse_repository", "parse_tag"]

MAX_REPOSITORY = 255
"""Characters of a whole repository name; what registries and clients accept."""

_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")


class InvalidName(ImagewardenError):
    """A repository name or tag outside the distribution specification's grammar."""


class RepositoryName(NamedTuple):
    """A repository split as the image list shows it: `a/b/c` is namespace `a`, image name `b/c`."""

    namespace: str
    """First path part; empty for a repository of one part."""
    image_name: str
    """The rest of the path."""

    @property
    def path(self) -> str:
        """The repository's whole name, as the registry knows it."""
        return f"{self.namespace}/{self.image_name}" if self.namespace else self.image_name


def parse_repository(text: object) -> RepositoryName:
    """Split a repository name; raises InvalidName when the grammar or the length does not fit."""
    if not isinstance(text, str) or len(text) > MAX_REPOSITORY or not _REPOSITORY.fullmatch(text):
        raise InvalidName(f"not a repository name: {str(text)[:80]!r}")
    namespace, slash, rest = text.partition("/")
    return RepositoryName(namespace, rest) if slash else RepositoryName("", namespace)


def parse_tag(text: object) -> str:
    """Return `text` as a tag; raises InvalidName when the grammar does not fit."""
    if not isinstance(text, str) or not _TAG.fullmatch(text):
        raise InvalidName(f"not a tag: {str(text)[:80]!r}")
    return text
