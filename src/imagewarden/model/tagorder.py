"""Order of tags by the version they seem to name."""

import re

__all__ = ["TagKey", "tag_order_key"]

Number = tuple[int, str]
"""A number of any length: how many digits, and the digits, leading zeros apart."""

TagKey = tuple[int, tuple[Number, ...], int, tuple[tuple[int, Number, str], ...], str]
"""Rank, version, stage, suffix and the tag itself; compares like the tags do."""

_COMMIT = re.compile(r"(?:(?:sha|git|commit)-?|g)?(?=[0-9a-f]*[0-9])(?=[0-9a-f]*[a-f])[0-9a-f]{7,64}")
_VERSION = re.compile(r"(?:v(?:er(?:sion)?)?|release)?[-_.]?([0-9]+(?:[._][0-9]+)*)(.*)", re.DOTALL)
_DATE = re.compile(r"v?((?:19|20)[0-9]{2})([-._]?)(0[1-9]|1[0-2])\2(0[1-9]|[12][0-9]|3[01])(?![0-9])(.*)", re.DOTALL)
_PARTS = re.compile(r"[0-9]+|[a-z]+")
_PRE_RELEASES = {
    "dev": 0, "nightly": 0, "snapshot": 0, "canary": 0, "edge": 0, "alpha": 1, "a": 1, "beta": 2, "b": 2,
    "milestone": 3, "m": 3, "ea": 3, "pre": 4, "preview": 4, "rc": 5, "cr": 5,
}  # fmt: skip
_REVISIONS = frozenset({"r", "rev", "p", "patch", "post", "build", "sp", "ga", "final"})
_ZERO = (0, "")
# Ranks of a tag: what looks like a commit, another word, a version or date, `latest`.
_COMMITS, _WORDS, _VERSIONS, _LATEST = range(4)
# Stages of a version: a pre-release or variant (in this order, by their suffixes), itself, a later revision of it.
_VARIANT, _RELEASE, _REVISION = range(3)


def tag_order_key(tag: str) -> TagKey:
    """Return a key by which tags sort from lowest to highest: total, one a tag, and for any text.

    `latest` is highest. Then versions, number by number, a leading `v` aside, dates as year, month and day; of equal
    numbers a pre-release (`-rc1`, `b2`) is lowest, then variants (`-alpine`), the version itself, its revisions
    (`-2`, `-r3`, `.post1`). Then other words; lowest is what looks like a commit.
    """
    text = tag.lower()
    if text == "latest":
        return (_LATEST, (), _RELEASE, (), tag)
    if _COMMIT.fullmatch(text):
        return (_COMMITS, (), _RELEASE, _suffix(text), tag)
    numbers, rest = _version(text)
    if not numbers:
        return (_WORDS, (), _RELEASE, _suffix(text), tag)
    suffix = _suffix(rest)
    return (_VERSIONS, numbers, _stage(suffix), suffix, tag)


def _version(text: str) -> tuple[tuple[Number, ...], str]:
    """Return a version's numbers and what follows them; no numbers for what is none."""
    if date := _DATE.match(text):
        return (_number(date[1]), _number(date[3]), _number(date[4])), date[5]
    if version := _VERSION.match(text):
        numbers = [_number(part) for part in re.split("[._]", version[1])]
        while numbers[1:] and numbers[-1] == _ZERO:  # 2.0 is 2, so that 2.0.0rc1 comes before both
            numbers.pop()
        return tuple(numbers), version[2]
    return (), text


def _number(digits: str) -> Number:
    stripped = digits.lstrip("0")
    return len(stripped), stripped


def _suffix(text: str) -> tuple[tuple[int, Number, str], ...]:
    """Return the words and numbers of a suffix; pre-releases by how far they are, below other words, below numbers."""
    parts = []
    for part in _PARTS.findall(text):
        if part[0].isdigit():
            parts.append((7, _number(part), ""))
        else:
            parts.append((_PRE_RELEASES.get(part, 6), _ZERO, part))
    return tuple(parts)


def _stage(suffix: tuple[tuple[int, Number, str], ...]) -> int:
    if not suffix:
        return _RELEASE
    kind, _, word = suffix[0]
    return _REVISION if kind == 7 or word in _REVISIONS else _VARIANT
