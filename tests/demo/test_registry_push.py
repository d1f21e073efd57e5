"""The demonstration's registry, written to: uploads in every shape, manifests, deletion, many clients at once."""

import hashlib
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from demo.distribution import push, uploads
from demo.distribution.server import RegistryServer
from tests.demo.conftest import connect
from tests.demo.pushing import LAYER, OCI_MANIFEST, digest_of, push_blob, push_image, push_manifest

CONTENT = bytes(range(256)) * 16
DIGEST = digest_of(CONTENT)
NAME = "shop/web"


def begin(client: httpx.Client) -> str:
    """Begin an upload; returns its address."""
    answer = client.post(f"/v2/{NAME}/blobs/uploads/")
    assert (answer.status_code, answer.headers["Range"]) == (202, "0-0")
    return str(answer.headers["Location"])


def in_pieces() -> Iterator[bytes]:
    """Give the content in a few pieces, which httpx sends with Transfer-Encoding: chunked."""
    for start in range(0, len(CONTENT), 1000):
        yield CONTENT[start : start + 1000]


def stored(client: httpx.Client) -> bytes:
    """Return the blob as the registry serves it."""
    return client.get(f"/v2/{NAME}/blobs/{DIGEST}").raise_for_status().content


@pytest.mark.parametrize("streamed", [False, True])
def test_upload_with_post_and_put(client: httpx.Client, streamed: bool) -> None:
    """A whole blob in the closing PUT, with a known length or chunked."""
    body = in_pieces() if streamed else CONTENT
    answer = client.put(begin(client), params={"digest": DIGEST}, content=body)
    assert (answer.status_code, answer.headers["Docker-Content-Digest"]) == (201, DIGEST)
    assert client.get(answer.headers["Location"]).content == CONTENT


def test_upload_in_one_request(client: httpx.Client) -> None:
    """A whole blob in the opening POST."""
    assert push_blob(client, NAME, CONTENT)["digest"] == DIGEST
    assert stored(client) == CONTENT


def test_upload_streamed(client: httpx.Client) -> None:
    """One PATCH without Content-Range, as container engines send it."""
    location = begin(client)
    answer = client.patch(location, content=in_pieces())
    assert (answer.status_code, answer.headers["Range"]) == (202, f"0-{len(CONTENT) - 1}")
    assert client.put(answer.headers["Location"], params={"digest": DIGEST}).status_code == 201
    assert stored(client) == CONTENT


def test_upload_in_chunks(client: httpx.Client) -> None:
    """Chunks in order, the last one in the PUT; one out of order is refused and the upload can go on."""
    location = begin(client)
    first, second, third = CONTENT[:100], CONTENT[100:300], CONTENT[300:]
    assert client.patch(location, content=first, headers={"Content-Range": "0-99"}).status_code == 202
    early = client.patch(location, content=third, headers={"Content-Range": f"300-{len(CONTENT) - 1}"})
    assert (early.status_code, early.headers["Range"]) == (416, "0-99")
    assert client.patch(location, content=b"x", headers={"Content-Range": "oops"}).status_code == 416
    status = client.get(location)
    assert (status.status_code, status.headers["Range"]) == (204, "0-99")
    assert client.patch(location, content=second, headers={"Content-Range": "100-299"}).status_code == 202
    headers = {"Content-Range": f"300-{len(CONTENT) - 1}"}
    assert client.put(location, params={"digest": DIGEST}, content=third, headers=headers).status_code == 201
    assert stored(client) == CONTENT
    assert client.get(location).status_code == 404


def test_wrong_digest_is_not_stored(client: httpx.Client) -> None:
    """A blob that is not what its digest says is refused and gone."""
    location = begin(client)
    answer = client.put(location, params={"digest": DIGEST}, content=b"other")
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, "DIGEST_INVALID")
    assert client.head(f"/v2/{NAME}/blobs/{DIGEST}").status_code == 404
    assert client.put(location, params={"digest": DIGEST}, content=CONTENT).status_code == 404


def test_cancelled_upload(client: httpx.Client) -> None:
    """A cancelled upload is unknown; so is one of another repository, and a hostile identifier."""
    location = begin(client)
    assert client.delete(location).status_code == 204
    other = begin(client).replace(NAME, "shop/api")
    for address in (location, other, f"/v2/{NAME}/blobs/uploads/..", f"/v2/{NAME}/blobs/uploads/%2e%2e"):
        answer = client.send(client.build_request("PATCH", address, content=b"x"))
        assert answer.status_code in (404, 405)
    assert client.put(begin(client), content=CONTENT).status_code == 400


def test_mount(client: httpx.Client) -> None:
    """A blob of another repository is taken over without its bytes; an absent one begins an upload."""
    push_blob(client, "shop/api", CONTENT)
    path = f"/v2/{NAME}/blobs/uploads/"
    assert client.post(path, params={"mount": DIGEST, "from": "shop/api"}).status_code == 201
    assert stored(client) == CONTENT
    absent = client.post(path, params={"mount": digest_of(b"absent"), "from": "shop/api"})
    assert (absent.status_code, "Location" in absent.headers) == (202, True)
    assert client.post(path, params={"mount": DIGEST, "from": "../.."}).status_code == 400
    assert client.post(path, params={"mount": "sha256:..", "from": "shop/api"}).status_code == 400


def manifest(**changes: Any) -> dict[str, Any]:
    """Return a manifest without content, with some members changed."""
    return {"schemaVersion": 2, "mediaType": OCI_MANIFEST, **changes}


@pytest.mark.parametrize(
    ("document", "code"),
    [
        (manifest(schemaVersion=1), "MANIFEST_INVALID"),
        (manifest(config={"digest": "sha256:..", "size": 1}), "MANIFEST_INVALID"),
        (manifest(config="text"), "MANIFEST_INVALID"),
        (manifest(layers={}), "MANIFEST_INVALID"),
        (manifest(layers=[{"digest": digest_of(b"absent")}]), "MANIFEST_BLOB_UNKNOWN"),
        (manifest(manifests=[{"digest": digest_of(b"absent")}]), "MANIFEST_BLOB_UNKNOWN"),
        (manifest(manifests=[7]), "MANIFEST_INVALID"),
        (manifest(mediaType="not a type"), "MANIFEST_INVALID"),
    ],
)
def test_bad_manifests(client: httpx.Client, document: dict[str, Any], code: str) -> None:
    """A manifest that makes no sense, or names what is not there, is refused and not listed."""
    answer = push_manifest(client, NAME, "1", document)
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, code)
    assert client.get(f"/v2/{NAME}/tags/list").status_code == 404


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff", b"[" * 100_000, b'{"a":' * 100_000])
def test_manifest_that_is_no_json(client: httpx.Client, content: bytes) -> None:
    """Bytes that are no JSON object, deeply nested ones included, are refused."""
    answer = client.put(f"/v2/{NAME}/manifests/1", content=content, headers={"Content-Type": OCI_MANIFEST})
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, "MANIFEST_INVALID")


def test_manifest_type_must_be_the_announced_one(client: httpx.Client) -> None:
    """Content-Type and `mediaType` agree, or the manifest is refused; a subject may be missing."""
    headers = {"Content-Type": "application/vnd.oci.image.index.v1+json"}
    assert client.put(f"/v2/{NAME}/manifests/1", content=json.dumps(manifest()), headers=headers).status_code == 400
    assert push_manifest(client, NAME, "1", manifest(subject={"digest": digest_of(b"absent")})).status_code == 201


def test_manifest_by_digest(client: httpx.Client) -> None:
    """A push by digest is verified, in sha256 and sha512, and makes no tag."""
    content = json.dumps(manifest()).encode()
    sha512 = "sha512:" + hashlib.sha512(content).hexdigest()
    headers = {"Content-Type": f"{OCI_MANIFEST}; charset=utf-8"}
    for digest in (digest_of(content), sha512):
        path = f"/v2/{NAME}/manifests/{digest}"
        assert client.put(path, content=content, headers=headers).headers["Docker-Content-Digest"] == digest
        assert client.get(path).content == content
        assert client.put(path, content=content + b" ", headers=headers).status_code == 400
    assert client.get(f"/v2/{NAME}/tags/list").json()["tags"] == []


def test_moved_tag(client: httpx.Client) -> None:
    """A tag points to what was pushed last; what it pointed to before stays by digest."""
    old = push_image(client, NAME, "latest", b"{}")
    new = push_image(client, NAME, "latest", b'{"a":1}')
    assert client.head(f"/v2/{NAME}/manifests/latest").headers["Docker-Content-Digest"] == new
    assert client.head(f"/v2/{NAME}/manifests/{old}").status_code == 200


def test_delete(client: httpx.Client) -> None:
    """By digest every tag on it goes; by tag that one alone."""
    first = push_image(client, NAME, "1")
    push_image(client, NAME, "1.0")
    push_image(client, NAME, "2", b'{"a":1}')
    assert client.delete(f"/v2/{NAME}/manifests/{first}").status_code == 202
    assert client.get(f"/v2/{NAME}/tags/list").json()["tags"] == ["2"]
    assert client.delete(f"/v2/{NAME}/manifests/{first}").status_code == 404
    assert client.delete(f"/v2/{NAME}/manifests/2").status_code == 202
    assert client.get(f"/v2/{NAME}/tags/list").json()["tags"] == []


def test_size_limits(client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is too large is refused with 413, and the same connection answers the next request."""
    monkeypatch.setattr(push, "MAX_MANIFEST", 1000)
    monkeypatch.setattr(uploads, "MAX_BLOB", 1000)
    for body in (CONTENT, in_pieces()):
        answer = client.put(f"/v2/{NAME}/manifests/1", content=body, headers={"Content-Type": OCI_MANIFEST})
        assert (answer.status_code, answer.headers.get("Connection")) == (413, None)
        assert client.patch(begin(client), content=CONTENT).status_code == 413


def test_unwanted_body_is_not_read_without_end(client: httpx.Client) -> None:
    """An endless body nobody asked for ends the connection, after the answer."""
    answer = client.request("DELETE", f"/v2/{NAME}/manifests/absent", content=b"x" * (6 << 20))
    assert (answer.status_code, answer.headers["Connection"]) == (404, "close")


def test_many_clients_at_once(registry: RegistryServer) -> None:
    """Eight clients that push and read the same and different content all get whole answers."""

    def work(number: int) -> list[str]:
        with connect(registry) as client:
            for round_number in range(8):
                push_image(client, NAME, f"{number}-{round_number}", b"%d" % round_number)
                assert client.get(f"/v2/{NAME}/blobs/{digest_of(LAYER)}").content == LAYER
            return [f"{number}-{round_number}" for round_number in range(8)]

    with ThreadPoolExecutor(8) as pool:
        expected = sorted(tag for tags in pool.map(work, range(8)) for tag in tags)
    with connect(registry) as client:
        assert client.get(f"/v2/{NAME}/tags/list").json()["tags"] == expected


def test_one_upload_and_two_writers(client: httpx.Client, registry: RegistryServer) -> None:
    """While one request writes to an upload, another is refused, and the first is unharmed."""
    location = begin(client)

    def slow() -> Iterator[bytes]:
        yield CONTENT[:100]
        with connect(registry) as other:
            deadline = time.monotonic() + 20
            while other.get(location).status_code != 409 and time.monotonic() < deadline:
                time.sleep(0.01)  # until our own request has reached the upload
            assert other.patch(location, content=b"intruder").status_code == 409
        yield CONTENT[100:]

    assert client.put(location, params={"digest": DIGEST}, content=slow()).status_code == 201
    assert stored(client) == CONTENT
