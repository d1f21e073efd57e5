"""Adapter for the OCI distribution specification 1.1, and for Docker's registry before it."""

import hashlib
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, TypeVar

import httpx
import msgspec

from imagewarden.model.digest import Digest, InvalidDigest, digest_of, parse_digest
from imagewarden.model.reference import InvalidName, parse_repository, parse_tag
from imagewarden.registry.adapter import Descriptor, RawManifest, TagRecord, TagState, Unchanged
from imagewarden.registry.errors import (
    DigestMismatch,
    MalformedAnswer,
    ManifestNotFound,
    RegistryUnavailable,
)
from imagewarden.registry.paging import next_page
from imagewarden.registry.schema1 import SCHEMA1_TYPES, payload_digest
from imagewarden.registry.transport import Answer, Transport

__all__ = ["ACCEPT", "OciAdapter"]

_TYPES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.v1+prettyjws;q=0.5",
    "application/vnd.docker.distribution.manifest.v1+json;q=0.4",
    "*/*;q=0.1",
)
ACCEPT = ", ".join(_TYPES)
"""Every kind of manifest: without one of them some registries answer 404, which looks like a deletion."""

Page = TypeVar("Page")
_CATALOG_SCOPE = "registry:catalog:*"
_PAGE = 1000
_SMALL_PAGE = 100
_STEP = 1024 * 1024


class _Catalog(msgspec.Struct):
    """A page of `_catalog`."""

    repositories: list[Any] | None = None


class _Tags(msgspec.Struct):
    """A page of `tags/list`."""

    tags: list[Any] | None = None


class _Errors(msgspec.Struct):
    """The body of an error (distribution-spec, "Error Codes")."""

    errors: list[Any]


def _pull(repository: str) -> str:
    """Return the scope of reading a repository."""
    return f"repository:{repository}:pull"


def _base_type(answer: Answer) -> str:
    """Return the media type an answer claims, without parameters."""
    return str(answer.headers.get("content-type", "")).partition(";")[0].strip().lower()[:255]


class OciAdapter:
    """Reads one registry through the distribution API."""

    name = "Other"
    version = 1

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._limits = transport.options.limits
        self.problems: list[str] = []
        """Names that the registry listed and that no specification allows; each once, at most 100."""

    async def close(self) -> None:
        """Close all connections."""
        await self._transport.close()

    async def check(self) -> str:
        """Ask for `/v2/` (distribution-spec, "Determining Support"); returns what answered."""
        answer = await self._get("/v2/", scope="", limit=1024 * 1024)
        if answer.status != 200:
            raise MalformedAnswer(
                f"{self._transport.origin} answers {answer.status} to /v2/; is it a container registry's address?"
            )
        version = answer.headers.get("docker-distribution-api-version", "")[:64]
        return f"a registry of the distribution API answers ({version or 'no version named'})"

    # ------------------------------------------------------------------------------------------------ listings

    async def repositories(self) -> AsyncIterator[str]:
        """Yield the names in `_catalog`, each once; raises RegistryError kinds if it does not end normally."""
        last = ""
        seen: set[int] = set()
        async for page in self._pages(f"/v2/_catalog?n={_PAGE}", _CATALOG_SCOPE, _Catalog):
            for name in self._usable(page.repositories or (), lambda text: parse_repository(text).path):
                # Names come in order from nearly all registries; a hash is kept for those that repeat themselves.
                mark = hash(name)
                if name != last and mark not in seen:
                    seen.add(mark)
                    last = name
                    yield name

    async def tags(self, repository: str) -> AsyncIterator[TagRecord]:
        """Yield the tags of a repository, each once; none for one that is gone or emptied."""
        seen: set[int] = set()
        async for page in self._pages(f"/v2/{repository}/tags/list?n={_PAGE}", _pull(repository), _Tags):
            for tag in self._usable(page.tags or (), parse_tag):
                if hash(tag) not in seen:
                    seen.add(hash(tag))
                    yield TagRecord(tag)

    async def _pages(self, path: str, scope: str, kind: type[Page]) -> AsyncIterator[Page]:
        """Yield the pages of a listing; nothing for a listing that does not exist."""
        url: httpx.URL | None = self._transport.origin.join(path)
        visited: set[bytes] = set()
        while url is not None:
            answer = await self._get(url, scope=scope, limit=self._limits.page_bytes)
            if answer.status == 400 and not visited and url.params.get("n") == str(_PAGE):
                url = url.copy_set_param("n", _SMALL_PAGE)  # PAGINATION_NUMBER_INVALID: the registry's own maximum
                continue
            if answer.status == 404 and scope != _CATALOG_SCOPE and _names_an_error(answer):
                return
            if answer.status != 200:
                raise MalformedAnswer(
                    f"{url.path} answers {answer.status}; give the repositories by name (--repository)"
                )
            yield _decoded(answer, kind)
            visited.add(hashlib.sha256(url.raw_path).digest())
            url = next_page(answer, self._transport.origin)
            if url is not None and hashlib.sha256(url.raw_path).digest() in visited:
                raise MalformedAnswer(f"{url.path} names a next page that has been read already")
            if len(visited) > self._limits.pages:
                raise MalformedAnswer(f"{path} has more than {self._limits.pages} pages")

    def _usable(self, names: Any, parse: Callable[[object], str]) -> list[str]:
        """Return the names that the grammar allows; the others are kept for a report and never used in an address."""
        found = []
        for name in names:
            try:
                found.append(parse(name))
            except InvalidName as error:
                if len(self.problems) < 100 and str(error) not in self.problems:
                    self.problems.append(str(error))
        return found

    # ------------------------------------------------------------------------------------------------ manifests

    async def tag_state(self, repository: str, tag: str, known: Digest | None = None) -> TagState | Unchanged | None:
        """Ask by a conditional HEAD what a tag points to; by GET where the answer names no digest."""
        conditional = {"if-none-match": f'"{known}"'} if known else {}
        path = f"/v2/{repository}/manifests/{tag}"
        answer = await self._get(path, scope=_pull(repository), limit=0, method="HEAD", headers=conditional)
        if answer.status == 304 and known:
            return Unchanged()
        if answer.status == 404:
            return None
        if answer.status not in (200, 405):
            raise MalformedAnswer(f"HEAD {path} answers {answer.status}")
        try:
            digest = parse_digest(answer.headers.get("docker-content-digest"))
            media_type = _base_type(answer)
        except InvalidDigest:
            try:
                read = await self.manifest(repository, tag)
            except ManifestNotFound:
                return None
            digest, media_type = read.digest, read.media_type
        return Unchanged() if digest == known else TagState(digest, media_type)

    async def manifest(self, repository: str, reference: str) -> RawManifest:
        """Fetch a manifest or index by digest or tag and verify it against its digest."""
        path = f"/v2/{repository}/manifests/{reference}"
        answer = await self._get(path, scope=_pull(repository), limit=self._limits.manifest_bytes)
        if answer.status == 404:
            raise ManifestNotFound(f"{repository} holds no manifest {reference} (404)")
        if answer.status != 200:
            raise MalformedAnswer(f"GET {path} answers {answer.status}")
        media_type = _base_type(answer)
        claimed = reference if ":" in reference else answer.headers.get("docker-content-digest")
        try:
            expected = parse_digest(claimed) if claimed else None
        except InvalidDigest:
            raise MalformedAnswer(f"GET {path} names a digest that is none") from None
        actual = digest_of(answer.body, expected)
        if expected not in (None, actual) and media_type in SCHEMA1_TYPES:
            actual = payload_digest(answer.body, expected)
        if expected not in (None, actual):
            raise DigestMismatch(f"{repository}@{expected} came as content of digest {actual}")
        return RawManifest(answer.body, actual, media_type)

    # ------------------------------------------------------------------------------------------------ blobs

    async def blob(self, repository: str, descriptor: Descriptor) -> AsyncIterator[bytes]:
        """Stream a blob, verified; goes on where a broken connection left off, a few times."""
        check = hashlib.new(descriptor.digest.partition(":")[0])
        done = 0
        for attempt in range(1, self._limits.attempts + 1):
            try:
                async for chunk in self._blob_from(repository, descriptor, done):
                    done += len(chunk)
                    if done > descriptor.size:
                        raise DigestMismatch(f"{repository}@{descriptor.digest} is longer than {descriptor.size} bytes")
                    check.update(chunk)
                    if done == descriptor.size and _digest_of_hash(check) != descriptor.digest:
                        raise DigestMismatch(f"{repository}@{descriptor.digest} came as {_digest_of_hash(check)}")
                    yield chunk
            except httpx.HTTPError as error:
                if attempt == self._limits.attempts:
                    raise RegistryUnavailable(
                        f"{repository}@{descriptor.digest} broke off {attempt} times: {type(error).__name__}"
                    ) from None
                continue
            if done == descriptor.size:
                return
        raise DigestMismatch(f"{repository}@{descriptor.digest} ends after {done} of {descriptor.size} bytes")

    async def _blob_from(self, repository: str, descriptor: Descriptor, start: int) -> AsyncIterator[bytes]:
        """Yield a blob's bytes from `start` on."""
        headers = {"range": f"bytes={start}-"} if start else {}
        path = f"/v2/{repository}/blobs/{descriptor.digest}"
        async with self._transport.stream("GET", path, scope=_pull(repository), headers=headers) as response:
            if response.status_code == 404:
                raise ManifestNotFound(f"{repository} holds no blob {descriptor.digest} (404)")
            if response.status_code not in (200, 206):
                raise MalformedAnswer(f"GET {path} answers {response.status_code}")
            skip = start if response.status_code == 200 else 0
            async for chunk in response.aiter_raw(_STEP):
                if skip >= len(chunk):
                    skip -= len(chunk)
                    continue
                yield chunk[skip:]
                skip = 0

    async def _get(
        self,
        target: str | httpx.URL,
        *,
        scope: str,
        limit: int,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send a request for JSON with the full Accept list."""
        return await self._transport.request(
            method, target, scope=scope, limit=limit, headers={"accept": ACCEPT, **(headers or {})}
        )


def _digest_of_hash(check: Any) -> Digest:
    """Return the digest that a running hash has reached."""
    return Digest(f"{check.name}:{check.hexdigest()}")


def _names_an_error(answer: Answer) -> bool:
    """Return whether a registry, and not a proxy with a page of its own, gave this error."""
    try:
        return bool(msgspec.json.decode(answer.body, type=_Errors).errors)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False


def _decoded(answer: Answer, kind: type[Page]) -> Page:
    """Return a page's JSON; raises MalformedAnswer."""
    try:
        return msgspec.json.decode(answer.body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise MalformedAnswer(f"{answer.url.path} answers with something other than a listing") from None
