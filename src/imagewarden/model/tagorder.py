"""Order of tags by the version they seem to name."""

import re

__all__ = ["TagKey", "tag_order_key"]

_COMMIT = re.compile(r"(?=[0-9a-f]*[a-f])[0-9a-f]{7,64}")
_PARTS = re.compile(r"[0-9]+|[A-Za-z]+")
_PRE_RELEASE = {
    "dev": 0, "nightly": 0, "snapshot": 0, "alpha": 1, "a": 1, "beta": 2, "b": 2, "milestone": 3, "m": 3,
    "preview": 3, "pre": 3, "rc": 4, "cr": 4,
}  # fmt: skip
_END, _SUFFIX, _NUMBER = 5, 6, 7

TagKey = tuple[bool, int, tuple[tuple[int, int, str], ...], str]
"""Compares like the tags do."""


def tag_order_key(tag: str) -> TagKey:
    """Return a key by which tags sort from lowest to highest; total, and never raises.

    `latest` is the highest; then tags that begin with a number (a leading `v` aside), part by part: a pre-release
    (`-rc1`, `b2`) is below its release, any other suffix (`-alpine`) above it. Below all of them, other words; lowest,
    what looks like a commit.
    """
    text = tag.lower()
    if text == "latest":
        return (True, 0, (), tag)
    if _COMMIT.fullmatch(text):
        return (False, 0, (), tag)
    body = text[1:] if text[:1] == "v" and text[1:2].isdigit() else text
    parts = []
    for part in _PARTS.findall(body):
        if part.isdigit():
            parts.append((_NUMBER, int(part[:100]), ""))
        else:
            parts.append((_PRE_RELEASE.get(part, _SUFFIX), 0, part))
    parts.append((_END, 0, ""))
    return (False, 2 if body[:1].isdigit() else 1, tuple(parts), tag)
