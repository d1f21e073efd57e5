"""Which repositories and tags are wanted."""

import random

import pytest

from imagewarden.model.tagorder import tag_order_key
from imagewarden.registry.selection import NewestTags, Selection, is_attachment

HEX = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("selection", "wanted", "unwanted"),
    [
        (Selection(), "a a/b/c", ""),
        (Selection(include=("team/*",)), "team/a team/a/b", "team other/a"),
        (Selection(exclude=("*/cache", "tmp-*")), "a/b", "a/cache tmp-1"),
        (Selection(include=("a/*", "b/?"), exclude=("a/x*",)), "a/y b/c", "a/x a/xy b/cd"),
        (Selection(include=("[ab]/*",)), "a/x b/x", "c/x"),
        (Selection(repositories=("one", "two/x"), exclude=("two/*",)), "one", "two/x three"),
        (Selection(include=("Team/*",)), "", "team/a"),
    ],
)
def test_repositories(selection: Selection, wanted: str, unwanted: str) -> None:
    assert [name for name in wanted.split() if not selection.wants_repository(name)] == []
    assert [name for name in unwanted.split() if selection.wants_repository(name)] == []


def test_tags() -> None:
    selection = Selection(include_tags=("v*", "latest"), exclude_tags=("*-rc*",))
    assert [tag for tag in ("v1", "v1-rc1", "latest", "main") if selection.wants_tag(tag)] == ["v1", "latest"]
    assert not Selection(include_tags=("*",)).wants_tag(f"sha256-{HEX}.sig")


@pytest.mark.parametrize("suffix", ["", ".sig", ".att", ".sbom", ".cosign.bundle"])
@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_attachments(algorithm: str, suffix: str) -> None:
    assert is_attachment(f"{algorithm}-{HEX}{suffix}")


@pytest.mark.parametrize(
    "tag", [f"sha256-{HEX[:-1]}", f"sha256-{HEX}x", f"x-sha256-{HEX}", "sha256", f"sha256-{HEX.upper()}"]
)
def test_tags_that_look_like_attachments(tag: str) -> None:
    assert not is_attachment(tag)


@pytest.mark.parametrize("keep", [0, 1, 3, 50, 1000])
def test_newest_tags_are_the_highest_whatever_the_order_they_come_in(keep: int) -> None:
    tags = [f"v1.{minor}.{patch}" for minor in range(10) for patch in range(20)] + ["latest", "main", "deadbee1"]
    random.Random(1).shuffle(tags)
    newest = NewestTags(keep)
    for tag in tags:
        newest.add(tag)
    assert newest.tags() == sorted(tags, key=tag_order_key, reverse=True)[:keep]
    assert newest.tags()[:2] == ["latest", "v1.9.19"][:keep]


def test_pattern_made_to_be_slow_is_not() -> None:
    assert not Selection(include=("*a" * 100 + "b",)).wants_repository("a" * 255)
