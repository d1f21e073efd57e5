"""The demonstration's images: well-formed, repeatable, made of package databases and nothing private."""

import gzip
import io
import json
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.content import OCI, Blob, Manifest, layer, sha256
from demo.images import Published, build
from demo.machine import Machine, for_architecture, read_machine
from imagewarden.artifact.manifest import ArtifactManifest, ImageIndex, ImageManifest, parse_manifest
from imagewarden.model.digest import digest_of
from tests.support.shared import ROOT

LAYERS = (OCI.layer, "application/vnd.docker.image.rootfs.diff.tar.gzip")


@pytest.fixture(scope="module")
def machine() -> Machine:
    """Give the machine the tests run on."""
    return read_machine()


@pytest.fixture(scope="module")
def published(machine: Machine) -> list[Published]:
    """Give everything the demonstration builds."""
    return build(machine)


def every_manifest(published: list[Published]) -> Iterator[Manifest]:
    """Yield every manifest, children of indexes included."""
    for each in published:
        yield each.manifest
        yield from each.manifest.children


def test_shape_of_the_registry(published: list[Published]) -> None:
    """There is something of everything a list has to cope with, and no tag twice."""
    tags = [(each.repository, tag) for each in published for tag in each.tags]
    assert len(tags) == len(set(tags))
    repositories = {each.repository for each in published}
    assert {"hello", "shop/web", "shop/jobs/mailer", "legacy/tools"} <= repositories
    assert 8 <= len(repositories) <= 12
    assert any(len(each.tags) >= 4 for each in published)
    kinds = [parse_manifest(each.manifest.content, each.manifest.media_type) for each in published]
    assert {type(kind) for kind in kinds} == {ImageIndex, ImageManifest, ArtifactManifest}
    assert any(each.manifest.media_type.startswith("application/vnd.docker") for each in published)


def test_digests_and_sizes(published: list[Published]) -> None:
    """Every descriptor tells the truth about the content it points to."""
    for manifest in every_manifest(published):
        document = json.loads(manifest.content)
        named = [document["config"], *document["layers"]] if manifest.blobs else document["manifests"]
        content: list[Blob] = [*manifest.blobs, *manifest.children]
        assert len(named) == len(content)
        for descriptor, blob in zip(named, content, strict=True):
            assert descriptor["digest"] == digest_of(blob.content)
            assert descriptor["size"] == len(blob.content)
            assert descriptor["mediaType"] == blob.media_type


def test_layers_match_their_configs(published: list[Published]) -> None:
    """Each layer is a readable tar whose digest is its diff_id; history has one line for each."""
    seen = 0
    for manifest in every_manifest(published):
        layers = [blob for blob in manifest.blobs[1:] if blob.media_type in LAYERS]
        if not layers:
            continue
        config = json.loads(manifest.blobs[0].content)
        assert config["rootfs"]["diff_ids"] == [digest_of(gzip.decompress(blob.content)) for blob in layers]
        assert len([line for line in config["history"] if not line.get("empty_layer")]) == len(layers)
        assert config["os"] == "linux"
        for blob in layers:
            with tarfile.open(fileobj=io.BytesIO(blob.content)) as archive:
                names = archive.getnames()
            assert names
            assert len(names) == len(set(names))
            seen += 1
    assert seen > 20


def test_real_packages(published: list[Published], machine: Machine) -> None:
    """The base image holds this machine's release file and package database as they are."""
    base = next(each for each in published if each.repository.startswith("base/"))
    with tarfile.open(fileobj=io.BytesIO(base.manifest.blobs[1].content)) as archive:
        release = archive.extractfile("etc/os-release")
        assert release is not None
        assert release.read() == Path("/etc/os-release").read_bytes()
        if Path("/var/lib/dpkg/status").exists():
            status = archive.extractfile("var/lib/dpkg/status")
            assert status is not None
            assert status.read().split() == Path("/var/lib/dpkg/status").read_bytes().split()
    assert 0 < len(machine.essential) <= len(machine.complete)
    assert any(path.endswith("/METADATA") and b"\nName: httpx\n" in text for path, text in machine.python.items())


def test_nothing_private(machine: Machine) -> None:
    """Only package databases are taken, without a path of this repository or of the user's home."""
    databases = ("etc/os-release", "var/lib/dpkg/", "lib/apk/", "usr/lib/apk/", "var/lib/rpm/", "usr/lib/sysimage/rpm/")
    assert all(path.startswith(databases) for path in machine.complete)
    assert {path.rpartition("/")[2] for path in machine.python} <= {"METADATA", "RECORD", "INSTALLER", "WHEEL"}
    assert {path.rpartition("/")[2] for path in machine.node} <= {"package.json"}
    private = [str(ROOT).encode(), *([os.fsencode(Path.home())] if len(str(Path.home())) > 5 else [])]
    for text in machine.python.values():
        assert not any(path in text for path in private)


def test_two_architectures(published: list[Published]) -> None:
    """The index names two platforms and the attestation of a build; their package databases differ by architecture."""
    web = next(each.manifest for each in published if len(each.manifest.children) == 3)
    index = parse_manifest(web.content, web.media_type)
    assert isinstance(index, ImageIndex)
    assert [(child.platform.architecture, child.is_attachment) for child in index.children] == [
        ("amd64", False),
        ("arm64", False),
        ("unknown", True),
    ]
    assert web.children[0].digest != web.children[1].digest


@pytest.mark.parametrize(
    ("path", "before", "after"),
    [
        ("var/lib/dpkg/status", b"Package: a\nArchitecture: amd64\nVersion: 1\n", b"\nArchitecture: arm64\n"),
        ("lib/apk/db/installed", b"P:a\nA:x86_64\nV:1\n", b"\nA:aarch64\n"),
    ],
)
def test_other_architecture(path: str, before: bytes, after: bytes) -> None:
    """A package database is rewritten there and back; packages of all architectures stay."""
    files = {path: before, "var/lib/dpkg/info/a:amd64.list": b"/a\n", "etc/os-release": b"\nArchitecture: amd64\n"}
    other = for_architecture(files, "amd64", "arm64")
    assert after in other[path]
    assert "var/lib/dpkg/info/a:arm64.list" in other
    assert other["etc/os-release"] == files["etc/os-release"]
    assert for_architecture(other, "arm64", "amd64") == files


def test_repeatable_and_small(published: list[Published], machine: Machine) -> None:
    """The same machine gives the same digests; everything together stays far below 60 MB."""
    assert [each.manifest.digest for each in build(machine)] == [each.manifest.digest for each in published]
    blobs = {blob.digest: len(blob.content) for each in every_manifest(published) for blob in each.blobs}
    assert sum(blobs.values()) < 60_000_000


def test_other_machines(tmp_path: Path) -> None:
    """A machine with apk, one without any database and one with unreadable files give images all the same."""
    bare = read_machine(tmp_path)
    assert (bare.distribution, bare.version) == ("linux", "rolling")
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/os-release").write_text('NAME="Alpine Linux"\nID=alpine\nVERSION_ID=3.22.1\n')
    (tmp_path / "lib/apk/db").mkdir(parents=True)
    (tmp_path / "lib/apk/db/installed").write_text("C:Q1\nP:musl\nV:1.2.5-r0\nA:x86_64\n\n")
    (tmp_path / "var/lib/dpkg/status.d").mkdir(parents=True)
    (tmp_path / "var/lib/dpkg/status.d/base").write_text("Package: base-files\nVersion: 1\n")
    (tmp_path / "var/lib/dpkg/status").mkdir()
    alpine = read_machine(tmp_path)
    assert (alpine.distribution, alpine.version, alpine.node) == ("alpine", "3.22.1", {})
    assert set(alpine.complete) == {"etc/os-release", "lib/apk/db/installed", "var/lib/dpkg/status.d/base"}
    names = {each.repository for each in build(alpine)}
    assert "base/alpine" in names
    assert "platform/node" not in names


def test_layer_order_does_not_matter() -> None:
    """A layer's digest depends on its files and their time, not on the order they were found in."""
    from datetime import UTC, datetime

    moment = datetime(2025, 1, 1, tzinfo=UTC)
    files = {"b/c": b"1", "a": b"2"}
    first, second = layer(files, "", moment), layer(dict(reversed(files.items())), "", moment)
    assert first == second
    assert sha256(gzip.decompress(first.content)) == first.diff_id
