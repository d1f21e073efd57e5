"""Manifests and indexes: what they are, and what is refused."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagewarden.artifact.manifest import (
    MAX_CHILDREN,
    MAX_LAYERS,
    MAX_SIZE,
    ArtifactManifest,
    ImageIndex,
    ImageManifest,
    MalformedManifest,
    Manifest,
    Schema1Manifest,
    is_foreign,
    parse_manifest,
)
from imagewarden.model.media_type import (
    DOCKER_CONFIG,
    DOCKER_INDEX,
    DOCKER_MANIFEST,
    OCI_ARTIFACT,
    OCI_CONFIG,
    OCI_INDEX,
    OCI_MANIFEST,
    SCHEMA1,
    SCHEMA1_SIGNED,
)
from imagewarden.model.platform import Platform

Json = dict[str, Any]
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
HELM = "application/vnd.cncf.helm.config.v1+json"
EMPTY = "application/vnd.oci.empty.v1+json"
SIGSTORE = "application/vnd.dev.cosign.simplesigning.v1+json"


def entry(number: int = 1, kind: str = LAYER, size: int = 10, **more: Any) -> Json:
    return {"mediaType": kind, "digest": f"sha256:{number:064x}", "size": size, **more}


def image(**more: Any) -> Json:
    return {"schemaVersion": 2, "config": entry(0, OCI_CONFIG), "layers": [entry(1), entry(2, size=20)], **more}


def index(*children: Json, **more: Any) -> Json:
    return {"schemaVersion": 2, "manifests": list(children), **more}


def parse(document: Json, kind: str = "") -> Manifest:
    return parse_manifest(json.dumps(document).encode(), kind)


@pytest.mark.parametrize("kind", [OCI_MANIFEST, DOCKER_MANIFEST])
def test_image(kind: str) -> None:
    found = parse(image(mediaType=kind, annotations={"Any": "x", "any": "y"}, unknown=[1.5, None]), "text/plain")
    assert isinstance(found, ImageManifest)
    assert (found.media_type, found.size, len(found.layers)) == (kind, 40, 2)
    assert found.layers[1].digest.endswith("2")


def test_size_counts_each_blob_once() -> None:
    found = parse(image(layers=[entry(1), entry(1), entry(2)]))
    assert isinstance(found, ImageManifest)
    assert (found.size, len(found.layers)) == (30, 3)


def test_type_of_the_header_serves_where_the_document_names_none() -> None:
    assert parse(image(), f"{OCI_MANIFEST}; charset=utf-8").media_type == OCI_MANIFEST
    assert parse(index(), DOCKER_INDEX).media_type == DOCKER_INDEX
    assert parse(image(mediaType=None), OCI_MANIFEST).media_type == OCI_MANIFEST


def test_index_and_what_its_children_are() -> None:
    found = parse(
        index(
            entry(1, OCI_MANIFEST, platform={"os": "linux", "architecture": "arm", "variant": "v7", "os.version": "1"}),
            entry(2, OCI_INDEX),
            entry(3, OCI_MANIFEST, platform={"os": "unknown", "architecture": "unknown"}),
            entry(4, OCI_MANIFEST, annotations={"vnd.docker.reference.type": "attestation-manifest"}),
            entry(5, OCI_MANIFEST, artifactType="application/vnd.example+json"),
            entry(6, OCI_MANIFEST, platform={"os": "lin\0ux", "architecture": 5}),
            entry(1, OCI_MANIFEST, platform={"os": "linux", "architecture": "arm", "variant": "v7"}),
            mediaType=OCI_INDEX,
        )
    )
    assert isinstance(found, ImageIndex)
    children = found.children
    assert len(children) == 6  # the last is the first again
    assert children[0].platform == Platform("linux", "arm", "v7")
    assert [child.is_index for child in children] == [False, True, False, False, False, False]
    assert [child.is_attestation for child in children] == [False, False, True, True, False, False]
    assert [child.is_attachment for child in children] == [False, False, True, True, True, False]
    assert children[4].artifact_type == "application/vnd.example+json"
    assert children[5].platform == Platform()


ARTIFACTS: dict[str, tuple[Json, str]] = {
    "by its type": (image(artifactType="application/vnd.sbom+json"), "application/vnd.sbom+json"),
    "by its config": (image(config=entry(0, HELM)), HELM),
    "by an empty config": (image(config=entry(0, EMPTY)), EMPTY),
    "a signature": (image(layers=[entry(1, SIGSTORE)]), SIGSTORE),
    "an attestation": (image(layers=[entry(1, "application/vnd.in-toto+json")]), "application/vnd.in-toto+json"),
    "an untyped config": (image(config=entry(0, "")), "unknown"),
    "type that is none": (image(artifactType="\0"), "unknown"),
    "withdrawn manifest": ({"schemaVersion": 2, "mediaType": OCI_ARTIFACT, "artifactType": "a/b", "blobs": []}, "a/b"),
}  # fmt: skip


@pytest.mark.parametrize("case", ARTIFACTS)
def test_artifact(case: str) -> None:
    document, kind = ARTIFACTS[case]
    found = parse(document, OCI_MANIFEST)
    assert isinstance(found, ArtifactManifest)
    assert found.artifact_type == kind


@pytest.mark.parametrize("config", [DOCKER_CONFIG, "application/octet-stream", ""])
def test_docker_image_with_a_config_type_of_its_time(config: str) -> None:
    document = image(config=entry(0, config), layers=[entry(1, "application/vnd.docker.image.rootfs.diff.tar.gzip")])
    assert isinstance(parse(document, DOCKER_MANIFEST), ImageManifest)


def test_image_without_layers_or_with_layers_that_come_from_elsewhere() -> None:
    assert isinstance(parse(image(layers=[])), ImageManifest)
    assert isinstance(parse(image(layers=None)), ImageManifest)
    windows = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
    found = parse(image(layers=[entry(1, windows, urls=["https://x.example.test"]), entry(2)]))
    assert isinstance(found, ImageManifest)
    assert [is_foreign(layer) for layer in found.layers] == [True, False]


@pytest.mark.parametrize("kind", [SCHEMA1, SCHEMA1_SIGNED, "application/json", ""])
def test_schema_1(kind: str) -> None:
    document = {"schemaVersion": 1, "name": "x", "fsLayers": [], "history": [], "signatures": []}
    assert parse(document, kind) == Schema1Manifest(kind)


REFUSED: dict[str, tuple[Json | bytes, str]] = {
    "both kinds": (image(manifests=[]), "both"),
    "an index with a config": (index(config=entry(0)), "both"),
    "both, one of them empty": (index(layers=[]), "both"),
    "schema 1 in schema 2": (image(fsLayers=[]), "both"),
    "schema 2 in schema 1": ({**image(), "schemaVersion": 1}, "at once"),
    "schema 1 by another name": ({"schemaVersion": 1, "mediaType": OCI_INDEX}, "at once"),
    "schema 2 by the name of 1": (image(mediaType=SCHEMA1), "not what it holds"),
    "an image by the name of an index": (image(mediaType=OCI_INDEX), "not what it holds"),
    "an index by the name of an image": (index(mediaType=DOCKER_MANIFEST), "not what it holds"),
    "a type that is none": (image(mediaType="x"), "no media type"),
    "no version": ({"config": entry(0), "layers": []}, "schemaVersion is 0"),
    "a version to come": ({**image(), "schemaVersion": 3}, "schemaVersion is 3"),
    "a version in words": ({**image(), "schemaVersion": "2"}, "schemaVersion"),
    "a fraction": ({**image(), "schemaVersion": 2.0}, "schemaVersion"),
    "no config": ({"schemaVersion": 2, "layers": []}, "no config"),
    "nothing": ({"schemaVersion": 2}, "no config"),
    "layers of another shape": (image(layers={}), "layers"),
    "a layer of another shape": (image(layers=[1]), "layers"),
    "no digest": (image(layers=[{"size": 1}]), "digest"),
    "a digest that is a path": (image(layers=[{"size": 1, "digest": "sha256:../../x"}]), "digest"),
    "a digest of another algorithm": (image(layers=[{"size": 1, "digest": "md5:" + "0" * 32}]), "digest"),
    "no size": (image(layers=[{"digest": entry()["digest"]}]), "size"),
    "a negative size": (image(layers=[entry(size=-1)]), "size"),
    "a size beyond 64 bits": (image(layers=[entry(size=MAX_SIZE + 1)]), "size"),
    "a size of thousands of digits": (json.dumps(image()).replace("20", "1" * 5000).encode(), "not JSON"),
    "a fraction of a byte": (image(layers=[entry(size=1.0)]), "size"),  # type: ignore[arg-type] # wrong
    "a truth for a size": (image(layers=[entry(size=True)]), "size"),
    "sizes that add up too far": (image(layers=[entry(1, size=MAX_SIZE), entry(2)]), "add up"),
    "a blob of two sizes": (image(layers=[entry(1), entry(1, size=11)]), "two sizes"),
    "more layers than any image has": (image(layers=[entry()] * (MAX_LAYERS + 1)), "more than"),
    "more children than any index has": (index(*[entry()] * (MAX_CHILDREN + 1)), "more than"),
    "a member twice": (b'{"schemaVersion": 2, "schemaVersion": 2}', "twice"),
    "a member twice, deep down": (b'{"schemaVersion": 2, "x": [{"a": {"b": 1, "b": 2}}]}', "twice"),
    "a member by another case": (image(Layers=[]), "'Layers'"),
    "a member by a letter that folds": ({**image(), "manife\u017fts": []}, "'manifests'"),
    "a descriptor's member by another case": (image(layers=[entry(SIZE=5)]), "'SIZE'"),
    "a platform's member by another case": (index(entry(platform={"OS": "linux"})), "'OS'"),
    "nested beyond reason": (b'{"schemaVersion": 2, "x": ' + b"[" * 100_000, "nested|not JSON"),
    "not a number": (b'{"schemaVersion": NaN}', "NaN"),
    "not an object": (b"[]", "not a JSON object"),
    "not JSON": (b"<html>", "not JSON"),
    "not UTF-8": (b'{"schemaVersion": 2, "x": "\xff"}', "not JSON"),
    "nothing at all": (b"", "not JSON"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str) -> None:
    document, why = REFUSED[case]
    raw = document if isinstance(document, bytes) else json.dumps(document).encode()
    with pytest.raises(MalformedManifest, match=why):
        parse_manifest(raw, "")


@pytest.mark.parametrize("kind", [OCI_INDEX, DOCKER_INDEX])
def test_image_that_is_served_as_an_index_is_refused(kind: str) -> None:
    with pytest.raises(MalformedManifest, match="not what it holds"):
        parse(image(), kind)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)
_names = st.sampled_from(["schemaVersion", "mediaType", "config", "layers", "manifests", "artifactType", "blobs"])
_entries = st.fixed_dictionaries(
    {"digest": st.just(entry()["digest"]) | _json, "size": st.integers(-1, 2**64) | _json},
    optional={
        "mediaType": st.sampled_from([OCI_CONFIG, LAYER, OCI_INDEX]) | _json,
        "platform": _json,
        "annotations": _json,
    },
)
_values = _json | st.sampled_from([1, 2, OCI_INDEX, OCI_MANIFEST]) | _entries | st.lists(_entries, max_size=3)


@given(st.dictionaries(_names, _values), st.sampled_from(["", OCI_INDEX, OCI_MANIFEST, SCHEMA1]) | st.text(max_size=8))
def test_any_document_is_parsed_or_refused(document: Json, kind: str) -> None:
    try:
        found = parse_manifest(json.dumps(document).encode(), kind)
    except MalformedManifest:
        return
    if isinstance(found, ImageManifest):
        assert 0 <= found.size <= MAX_SIZE
    assert parse_manifest(json.dumps(document, indent=2).encode(), kind) == found


@given(st.binary(max_size=200))
def test_any_bytes_are_parsed_or_refused(raw: bytes) -> None:
    with pytest.raises(MalformedManifest):
        parse_manifest(raw, "")
