"""Endpoints that write: uploads, manifests, deletion (distribution-spec, "Push" and "Content Management")."""

import json
import re
from collections.abc import Iterator
from typing import Any

from demo.distribution.messages import Refusal, Request, Response
from demo.distribution.names import check_digest, check_repository, hasher_of, is_digest, is_media_type
from demo.distribution.pull import check_reference, find_manifest
from demo.distribution.store import Store
from demo.distribution.uploads import Uploads

__all__ = ["begin_upload", "cancel_upload", "continue_upload", "delete_manifest", "finish_upload", "put_manifest"]
__all__ += ["upload_status"]

MAX_MANIFEST = 4 << 20
"""Bytes of a manifest at most: what the specification wants registries to take."""


def begin_upload(store: Store, uploads: Uploads, request: Request, name: str) -> Response:
    """Begin an upload; with `mount` take over another repository's blob; with `digest` take the whole blob at once."""
    mount, origin = request.query.get("mount"), request.query.get("from")
    if mount is not None and origin is not None and store.blob(check_repository(origin), check_digest(mount)):
        store.link_blob(name, mount)
        return _created(name, "blobs", mount)
    digest = request.query.get("digest")
    if digest is not None:
        check_digest(digest)
    identifier = uploads.begin(name)
    if digest is None:
        return _progress(name, identifier, 0, 202)
    uploads.finish(name, identifier, digest, request.body.pieces(), None)
    return _created(name, "blobs", digest)


def continue_upload(uploads: Uploads, request: Request, name: str, identifier: str) -> Response:
    """Add the body to an upload."""
    size = uploads.append(name, identifier, request.body.pieces(), _start(request))
    return _progress(name, identifier, size, 202)


def finish_upload(uploads: Uploads, request: Request, name: str, identifier: str) -> Response:
    """Add the body, if any, to an upload and store it under `digest`."""
    digest = check_digest(request.query.get("digest"))
    uploads.finish(name, identifier, digest, request.body.pieces(), _start(request))
    return _created(name, "blobs", digest)


def upload_status(uploads: Uploads, name: str, identifier: str) -> Response:
    """Say how much of an upload has arrived."""
    return _progress(name, identifier, uploads.size(name, identifier), 204)


def cancel_upload(uploads: Uploads, name: str, identifier: str) -> Response:
    """Drop an upload."""
    uploads.cancel(name, identifier)
    return Response(204)


def put_manifest(store: Store, request: Request, name: str, reference: str) -> Response:
    """Store a manifest under a tag or its digest, once everything it names is there."""
    check_reference(reference)
    content = b"".join(_at_most(request.body.pieces(), MAX_MANIFEST))
    media_type = request.headers.get("Content-Type", "").partition(";")[0].strip()
    document = _parse(content, media_type)
    hasher = hasher_of(reference if is_digest(reference) else "sha256:")
    hasher.update(content)
    digest = f"{hasher.name}:{hasher.hexdigest()}"
    if is_digest(reference) and digest != reference:
        raise Refusal(400, "DIGEST_INVALID", f"the manifest's digest is {digest}")
    _check_references(store, name, document)
    store.add_manifest(name, reference, digest, media_type, content)
    return _created(name, "manifests", digest)


def delete_manifest(store: Store, name: str, reference: str) -> Response:
    """Delete a manifest with its tags by digest, or one tag by name."""
    found = find_manifest(store, name, reference)
    if is_digest(reference):
        store.remove_manifest(name, found.digest)
    else:
        store.remove_tag(name, reference)
    return Response(202)


def _parse(content: bytes, media_type: str) -> dict[str, Any]:
    """Return the manifest as JSON; refuses what is not a manifest of schema 2 of the type announced."""
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict) or document.get("schemaVersion") != 2:
        raise Refusal(400, "MANIFEST_INVALID", "a manifest must be a JSON object with `schemaVersion` 2")
    if not is_media_type(media_type) or document.get("mediaType", media_type) != media_type:
        raise Refusal(400, "MANIFEST_INVALID", "Content-Type must be the manifest's media type")
    return document


def _check_references(store: Store, name: str, document: dict[str, Any]) -> None:
    """Refuse a manifest that names blobs or manifests the repository lacks; a `subject` may be missing."""
    config = document.get("config")
    blobs = [*([config] if config is not None else []), *_descriptors(document, "layers")]
    for blob in blobs:
        if not isinstance(blob, dict) or not is_digest(blob.get("digest")):
            raise Refusal(400, "MANIFEST_INVALID", "a descriptor has no digest")
        if not blob.get("urls") and store.blob(name, blob["digest"]) is None:
            raise Refusal(400, "MANIFEST_BLOB_UNKNOWN", f"push {blob['digest']} first")
    for child in _descriptors(document, "manifests"):
        if not isinstance(child, dict) or not is_digest(child.get("digest")):
            raise Refusal(400, "MANIFEST_INVALID", "a descriptor has no digest")
        if store.manifest(name, child["digest"]) is None:
            raise Refusal(400, "MANIFEST_BLOB_UNKNOWN", f"push {child['digest']} first")


def _descriptors(document: dict[str, Any], key: str) -> list[Any]:
    found = document.get(key, [])
    if not isinstance(found, list):
        raise Refusal(400, "MANIFEST_INVALID", f"`{key}` must be a list")
    return found


def _at_most(pieces: Iterator[bytes], limit: int) -> Iterator[bytes]:
    for piece in pieces:
        limit -= len(piece)
        if limit < 0:
            raise Refusal(413, "SIZE_INVALID", "the manifest is too large")
        yield piece


def _start(request: Request) -> int | None:
    """Return the first byte that Content-Range announces (`0-99`), None without one."""
    text = request.headers.get("Content-Range")
    if text is None:
        return None
    found = re.fullmatch(r"(?:bytes )?([0-9]{1,18})-[0-9]{1,18}(?:/.*)?", text.strip())
    if found is None:
        raise Refusal(416, "BLOB_UPLOAD_INVALID", "Content-Range must be `start-end`")
    return int(found[1])


def _progress(name: str, identifier: str, size: int, status: int) -> Response:
    headers = {
        "Location": f"/v2/{name}/blobs/uploads/{identifier}",
        "Docker-Upload-UUID": identifier,
        "Range": f"0-{max(size - 1, 0)}",
    }
    return Response(status, headers)


def _created(name: str, kind: str, digest: str) -> Response:
    return Response(201, {"Location": f"/v2/{name}/{kind}/{digest}", "Docker-Content-Digest": digest})
