"""The shortest way to put content into a registry, for tests."""

import gzip
import hashlib
import json
from typing import Any

import httpx

__all__ = ["LAYER", "OCI_MANIFEST", "digest_of", "push_blob", "push_image", "push_manifest"]

LAYER = gzip.compress(b"", mtime=0)
"""A layer: nothing, compressed."""
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"


def digest_of(content: bytes) -> str:
    """Return the sha256 digest of `content`."""
    return "sha256:" + hashlib.sha256(content).hexdigest()


def push_blob(client: httpx.Client, repository: str, content: bytes, media_type: str = "") -> dict[str, Any]:
    """Push a blob with one request; returns its descriptor."""
    digest = digest_of(content)
    answer = client.post(f"/v2/{repository}/blobs/uploads/", params={"digest": digest}, content=content)
    assert answer.status_code == 201, answer.text
    return {"mediaType": media_type or "application/octet-stream", "digest": digest, "size": len(content)}


def push_manifest(client: httpx.Client, repository: str, reference: str, document: dict[str, Any]) -> httpx.Response:
    """Push a manifest under its own `mediaType`; returns the answer, whatever it is."""
    headers = {"Content-Type": document["mediaType"]}
    return client.put(f"/v2/{repository}/manifests/{reference}", content=json.dumps(document), headers=headers)


def push_image(client: httpx.Client, repository: str, tag: str, config: bytes = b"{}") -> str:
    """Push an image of one layer; returns its digest."""
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": push_blob(client, repository, config, "application/vnd.oci.image.config.v1+json"),
        "layers": [push_blob(client, repository, LAYER, "application/vnd.oci.image.layer.v1.tar+gzip")],
    }
    answer = push_manifest(client, repository, tag, document)
    assert answer.status_code == 201, answer.text
    return str(answer.headers["Docker-Content-Digest"])
