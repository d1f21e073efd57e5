"""Endpoints that read: catalogue, tags, manifests, blobs (distribution-spec, "Pull" and "Content Discovery")."""

from pathlib import Path

from demo.distribution.conditions import accepts, byte_range, not_modified
from demo.distribution.messages import FileSlice, Refusal, Request, Response, json_response
from demo.distribution.names import check_digest, check_tag, is_digest
from demo.distribution.paging import page_of
from demo.distribution.store import Store, StoredManifest

__all__ = ["check_reference", "find_manifest", "get_blob", "get_catalog", "get_manifest", "get_tags"]


def get_catalog(store: Store, request: Request) -> Response:
    """List the repositories, a page at a time."""
    names, headers = page_of(store.repositories(), request.query, "/v2/_catalog")
    return json_response({"repositories": names}, headers=headers)


def get_tags(store: Store, request: Request, name: str) -> Response:
    """List a repository's tags, a page at a time; 404 if it never held a manifest."""
    tags = store.tags(name)
    if tags is None:
        raise Refusal(404, "NAME_UNKNOWN", f"there is no repository {name}")
    page, headers = page_of(tags, request.query, f"/v2/{name}/tags/list")
    return json_response({"name": name, "tags": page}, headers=headers)


def check_reference(reference: str) -> str:
    """Return a tag or digest; refuses anything else. What holds a colon can only be a digest."""
    return check_digest(reference) if ":" in reference else check_tag(reference)


def find_manifest(store: Store, name: str, reference: str) -> StoredManifest:
    """Return a manifest by tag or digest; refuses an unknown one with 404."""
    found = store.manifest(name, check_reference(reference))
    if found is None:
        raise Refusal(404, "MANIFEST_UNKNOWN", f"there is no manifest {reference} in {name}")
    return found


def get_manifest(store: Store, request: Request, name: str, reference: str) -> Response:
    """Serve a manifest as it was pushed, 304 if the client has it, 404 if the client accepts other types only.

    Manifests are never converted: the bytes are what the digest names.
    """
    found = find_manifest(store, name, reference)
    if not is_digest(reference) and not accepts(request.headers, found.media_type):
        raise Refusal(404, "MANIFEST_UNKNOWN", f"{reference} is {found.media_type}, which Accept does not name")
    return _content(request, found.path, found.digest, found.media_type)


def get_blob(store: Store, request: Request, name: str, digest: str) -> Response:
    """Serve a blob or one range of it; 304 if the client has it."""
    path = store.blob(name, check_digest(digest))
    if path is None:
        raise Refusal(404, "BLOB_UNKNOWN", f"there is no blob {digest} in {name}")
    return _content(request, path, digest, "application/octet-stream")


def _content(request: Request, path: Path, digest: str, media_type: str) -> Response:
    headers = {
        "Content-Type": media_type,
        "Docker-Content-Digest": digest,
        "ETag": f'"{digest}"',
        "Accept-Ranges": "bytes",
    }
    if not_modified(request.headers, digest):
        return Response(304, headers)
    size = path.stat().st_size
    part = byte_range(request.headers, digest, size) if request.method == "GET" else None
    if part is None:
        return Response(200, headers, FileSlice(path, 0, size))
    start, length = part
    headers["Content-Range"] = f"bytes {start}-{start + length - 1}/{size}"
    return Response(206, headers, FileSlice(path, start, length))
