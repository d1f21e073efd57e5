"""The demonstration's registry, read: listings, manifests, blobs, conditions and ranges."""

import json
import os
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path

import httpx
import pytest

from demo.distribution.server import Login
from tests.demo.conftest import connect, running
from tests.demo.pushing import LAYER, OCI_MANIFEST, digest_of, push_blob, push_image


def test_version_check(client: httpx.Client) -> None:
    """The base address answers 200 and names the protocol, with GET and HEAD."""
    for answer in (client.get("/v2/"), client.head("/v2/")):
        assert answer.status_code == 200
        assert answer.headers["Docker-Distribution-Api-Version"] == "registry/2.0"


def walk(client: httpx.Client, path: str, key: str) -> tuple[list[str], int]:
    """Follow a listing to its end; returns all names and the number of pages."""
    names: list[str] = []
    pages = 0
    address: str | None = path
    while address:
        answer = client.get(address)
        assert answer.status_code == 200
        names += answer.json()[key]
        pages += 1
        address = answer.links["next"]["url"] if "next" in answer.links else None
    return names, pages


def test_tags_are_paged_in_order(client: httpx.Client) -> None:
    """Pages of every size give all tags once, in lexical order without case; the last page has no Link."""
    for tag in ("b", "A", "a", "C", "1.10"):
        push_image(client, "shop/web", tag)
    expected = ["1.10", "A", "a", "b", "C"]
    for size, pages in ((1, 5), (2, 3), (5, 1), (9, 1)):
        assert walk(client, f"/v2/shop/web/tags/list?n={size}", "tags") == (expected, pages)
    assert client.get("/v2/shop/web/tags/list").json() == {"name": "shop/web", "tags": expected}
    assert client.get("/v2/shop/web/tags/list?last=b").json()["tags"] == ["C"]
    assert client.get("/v2/shop/web/tags/list?last=absent").json()["tags"] == ["b", "C"]
    assert client.get("/v2/shop/web/tags/list?n=0").json()["tags"] == []


def test_catalog_lists_repositories_with_manifests(client: httpx.Client) -> None:
    """Nested names and their parents are listed; a repository that only began an upload is not."""
    for name in ("shop", "shop/web", "hello"):
        push_image(client, name, "1")
    push_blob(client, "only/blobs", b"x")
    assert walk(client, "/v2/_catalog?n=1", "repositories") == (["hello", "shop", "shop/web"], 3)


@pytest.mark.parametrize("count", ["-1", "x", "", "1e3", "9999999999"])
def test_bad_page_size(client: httpx.Client, count: str) -> None:
    """A page size that is no number is refused with the specification's code."""
    answer = client.get("/v2/_catalog", params={"n": count})
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["code"] == "PAGINATION_NUMBER_INVALID"


def test_manifest_by_tag_and_digest(client: httpx.Client) -> None:
    """GET and HEAD give the same headers; the bytes are those that were pushed."""
    digest = push_image(client, "shop/web", "1")
    for reference in ("1", digest, digest.replace(":", "%3A")):
        got = client.get(f"/v2/shop/web/manifests/{reference}")
        assert digest_of(got.content) == digest
        head = client.head(f"/v2/shop/web/manifests/{reference}")
        assert head.content == b""
        for answer in (got, head):
            assert answer.status_code == 200
            assert answer.headers["Docker-Content-Digest"] == digest
            assert answer.headers["ETag"] == f'"{digest}"'
            assert answer.headers["Content-Type"] == OCI_MANIFEST
            assert answer.headers["Content-Length"] == str(len(got.content))


@pytest.mark.parametrize(
    ("accept", "status"),
    [
        (OCI_MANIFEST, 200),
        ("*/*", 200),
        ("application/*;q=0.5", 200),
        (f"text/html, {OCI_MANIFEST}; q=0.1", 200),
        ("application/vnd.docker.distribution.manifest.v2+json", 404),
        (f"{OCI_MANIFEST};q=0", 404),
    ],
)
def test_manifest_types_accepted(client: httpx.Client, accept: str, status: int) -> None:
    """A tag is served in its own type or not at all."""
    push_image(client, "shop/web", "1")
    assert client.get("/v2/shop/web/manifests/1", headers={"Accept": accept}).status_code == status


@pytest.mark.parametrize("shape", ['"{}"', "{}", 'W/"{}"', '"other", "{}"', "*"])
def test_not_modified(client: httpx.Client, shape: str) -> None:
    """A client that has the content gets 304 without it, and the connection goes on."""
    digest = push_image(client, "shop/web", "1")
    headers = {"If-None-Match": shape.format(digest)}
    for path in ("/v2/shop/web/manifests/1", f"/v2/shop/web/blobs/{digest_of(LAYER)}"):
        shown = {"If-None-Match": shape.format(digest_of(LAYER))} if "blobs" in path else headers
        for answer in (client.get(path, headers=shown), client.head(path, headers=shown)):
            assert (answer.status_code, answer.content) == (304, b"")
            assert answer.headers["Docker-Content-Digest"]
    other = client.get("/v2/shop/web/manifests/1", headers={"If-None-Match": f'"{digest_of(b"other")}"'})
    assert other.status_code == 200


CONTENT = bytes(range(256)) * 20


@pytest.mark.parametrize(
    ("asked", "status", "part"),
    [
        (None, 200, slice(None)),
        ("bytes=0-0", 206, slice(0, 1)),
        ("bytes=10-19", 206, slice(10, 20)),
        ("bytes=5000-", 206, slice(5000, None)),
        ("bytes=-7", 206, slice(-7, None)),
        ("bytes=-999999", 206, slice(None)),
        ("bytes=10-999999", 206, slice(10, None)),
        ("bytes=5120-", 416, None),
        ("bytes=5120-6000", 416, None),
        ("bytes=-0", 416, None),
        ("bytes=20-10", 200, slice(None)),
        ("bytes=0-1,5-6", 200, slice(None)),
        ("bytes=-", 200, slice(None)),
        ("items=0-1", 200, slice(None)),
    ],
)
def test_blob_ranges(client: httpx.Client, asked: str | None, status: int, part: slice | None) -> None:
    """One satisfiable range is served alone; what RFC 9110 lets a server ignore gets the whole."""
    digest = push_blob(client, "shop/web", CONTENT)["digest"]
    answer = client.get(f"/v2/shop/web/blobs/{digest}", headers={"Range": asked} if asked else {})
    assert answer.status_code == status
    if part is None:
        assert answer.headers["Content-Range"] == "bytes */5120"
        return
    assert answer.content == CONTENT[part]
    if status == 206:
        start, end, _ = part.indices(len(CONTENT))
        assert answer.headers["Content-Range"] == f"bytes {start}-{end - 1}/5120"


def test_if_range(client: httpx.Client) -> None:
    """A range holds only for the content the client began with."""
    digest = push_blob(client, "shop/web", CONTENT)["digest"]
    for tag, status in ((digest, 206), (digest_of(b"other"), 200)):
        headers = {"Range": "bytes=0-1", "If-Range": f'"{tag}"'}
        assert client.get(f"/v2/shop/web/blobs/{digest}", headers=headers).status_code == status


def test_blobs_belong_to_repositories(client: httpx.Client) -> None:
    """A blob is served by the repositories it was pushed to, not by others; HEAD gives its size."""
    digest = push_blob(client, "shop/web", CONTENT)["digest"]
    assert client.head(f"/v2/shop/web/blobs/{digest}").headers["Content-Length"] == "5120"
    assert client.head(f"/v2/shop/api/blobs/{digest}").status_code == 404


def test_large_blob_is_streamed(client: httpx.Client) -> None:
    """More than a socket's buffer arrives whole."""
    content = os.urandom(24 << 20)
    digest = push_blob(client, "shop/web", content)["digest"]
    assert digest_of(client.get(f"/v2/shop/web/blobs/{digest}").content) == digest


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v2/absent/tags/list", 404, "NAME_UNKNOWN"),
        ("GET", "/v2/shop/web/manifests/absent", 404, "MANIFEST_UNKNOWN"),
        ("GET", f"/v2/shop/web/manifests/sha256:{'0' * 64}", 404, "MANIFEST_UNKNOWN"),
        ("GET", f"/v2/shop/web/blobs/sha256:{'0' * 64}", 404, "BLOB_UNKNOWN"),
        ("GET", "/v2/shop/web/blobs/sha256:0", 400, "DIGEST_INVALID"),
        ("GET", f"/v2/shop/web/blobs/SHA256:{'0' * 64}", 400, "DIGEST_INVALID"),
        ("GET", "/v2/shop/web/manifests/md5:00", 400, "DIGEST_INVALID"),
        ("GET", f"/v2/shop/web/manifests/{'t' * 129}", 400, "TAG_INVALID"),
        ("GET", "/v2/shop/web/manifests/..", 400, "TAG_INVALID"),
        ("GET", "/v2/shop/web/manifests/a%2F..%2Fb", 404, "UNSUPPORTED"),
        ("GET", "/v2/shop/web/manifests/a%2F..%2Fmanifests%2Fb", 400, "NAME_INVALID"),
        ("GET", "/v2/../tags/list", 400, "NAME_INVALID"),
        ("GET", "/v2/shop/%2e%2e/web/tags/list", 400, "NAME_INVALID"),
        ("GET", "/v2/_tags/tags/list", 400, "NAME_INVALID"),
        ("GET", "/v2/Shop/tags/list", 400, "NAME_INVALID"),
        ("GET", "/v2/a%00b/tags/list", 400, "NAME_INVALID"),
        ("GET", "/v2/a%0Ab/tags/list", 400, "NAME_INVALID"),
        ("GET", "/v2/a%FFb/tags/list", 400, "NAME_INVALID"),
        ("GET", f"/v2/{'a' * 256}/tags/list", 400, "NAME_INVALID"),
        ("GET", f"/v2/{'a-' * 120}!/tags/list", 400, "NAME_INVALID"),
        ("GET", "/", 404, "UNSUPPORTED"),
        ("GET", "/v1/search", 404, "UNSUPPORTED"),
        ("PUT", "/v2/_catalog", 405, "UNSUPPORTED"),
        ("DELETE", f"/v2/shop/web/blobs/sha256:{'0' * 64}", 405, "UNSUPPORTED"),
    ],
)
def test_refusals(client: httpx.Client, method: str, path: str, status: int, code: str) -> None:
    """Unknown and hostile names get the specification's codes; nothing leaves the folder."""
    push_image(client, "shop/web", "1")
    # Not httpx, which takes `..` out of addresses before it sends them.
    with closing(HTTPConnection(client.base_url.host, client.base_url.port or 80, timeout=10)) as connection:
        connection.request(method, path)
        answer = connection.getresponse()
        assert (answer.status, json.load(answer)["errors"][0]["code"]) == (status, code)
        if status == 405:
            assert "GET" in (answer.getheader("Allow") or "")


def test_login(tmp_path: Path) -> None:
    """With a login every address asks for it, and only the right one is let in."""
    with running(tmp_path, Login("demo", "pass:word")) as server, connect(server) as client:
        refused = client.get("/v2/")
        assert refused.status_code == 401
        assert refused.headers["WWW-Authenticate"] == 'Basic realm="registry"'
        for wrong in (("demo", "other"), ("other", "pass:word"), ("", "")):
            assert client.get("/v2/_catalog", auth=wrong).status_code == 401
        for header in (b"Basic", b"Basic !!!", b"Bearer x", b"Basic \xe9"):
            assert client.get("/v2/", headers={b"Authorization": header}).status_code == 401
        client.auth = httpx.BasicAuth("demo", "pass:word")
        assert client.get("/v2/").status_code == 200
        push_image(client, "hello", "1")
