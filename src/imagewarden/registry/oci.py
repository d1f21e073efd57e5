"""Any registry of the OCI distribution specification (and Docker's registry API v2 before it)."""

from collections import deque
from collections.abc import AsyncIterator

import msgspec

from imagewarden.model.digest import Digest, InvalidDigest, digest_of, parse_digest
from imagewarden.model.media_type import (
    DOCKER_INDEX,
    DOCKER_MANIFEST,
    OCI_INDEX,
    OCI_MANIFEST,
    SCHEMA1,
    SCHEMA1_SIGNED,
    SCHEMA1_TYPES,
    bare_media_type,
)
from imagewarden.model.reference import InvalidName, parse_repository, parse_tag
from imagewarden.model.registry_kind import RegistryType
from imagewarden.registry.adapter import Descriptor, Problem, RawManifest, TagRecord, TagState, Unchanged
from imagewarden.registry.answer import Answer, decode, error_codes
from imagewarden.registry.blob import read_blob
from imagewarden.registry.errors import DigestMismatch, MalformedAnswer, ManifestNotFound
from imagewarden.registry.options import MIB
from imagewarden.registry.paging import pages
from imagewarden.registry.schema1 import signed_payload
from imagewarden.registry.transport import RegistryTransport

__all__ = ["ACCEPT", "OciAdapter"]

ACCEPT = ", ".join(
    (
        OCI_INDEX,
        OCI_MANIFEST,
        DOCKER_INDEX,
        DOCKER_MANIFEST,
        f"{SCHEMA1_SIGNED};q=0.2",
        f"{SCHEMA1};q=0.2",
        "*/*;q=0.1",
    )
)
"""Every kind of manifest, schema 1 last; with less, registries answer 400 or 404 for images that are there."""
MAX_PROBLEMS = 1000
"""Problems kept until they are taken; the newest."""


class _Catalog(msgspec.Struct):
    repositories: list[str] | None = None


class _Tags(msgspec.Struct):
    tags: list[str] | None = None


class OciAdapter:
    """Reads a registry through `/v2/` alone: no push times, no totals, nothing but names, manifests and blobs."""

    name = RegistryType.OTHER.value
    version = 1

    def __init__(self, transport: RegistryTransport) -> None:
        self._transport = transport
        self._problems: deque[Problem] = deque(maxlen=MAX_PROBLEMS)

    async def check(self) -> str:
        """Ask for `/v2/`, credentials included; returns what answered."""
        answer = await self._transport.fetch("GET", self._transport.url("/v2/"), limit=MIB)
        page = bare_media_type(answer.headers.get("content-type")) == "text/html"
        if answer.status != 200 or page:
            raise MalformedAnswer("no registry of the OCI distribution API is at this address", answer.exchange)
        return f"OCI distribution registry at {self._transport.base}"

    async def repositories(self) -> AsyncIterator[str]:
        """Yield the names of `_catalog`; one outside the grammar is a problem, not a repository."""
        seen: set[str] = set()
        async for answer in pages(self._transport, "/v2/_catalog", "registry:catalog:*"):
            if answer.status == 404:
                raise MalformedAnswer(
                    "this registry does not list its repositories; name them in the registry's configuration",
                    answer.exchange,
                )
            for name in self._fresh(decode(answer, _Catalog).repositories or [], seen, answer):
                try:
                    parse_repository(name)
                except InvalidName as error:
                    self._problems.append(Problem("_catalog", "invalid_name", str(error)))
                else:
                    yield name

    async def tags(self, repository: str) -> AsyncIterator[TagRecord]:
        """Yield the tags of `tags/list`; one outside the grammar is a problem, not a tag."""
        seen: set[str] = set()
        async for answer in pages(self._transport, self._path(repository, "tags/list"), _pull(repository)):
            if answer.status == 404:
                if set(error_codes(answer.content)) & {"NAME_UNKNOWN", "NOT_FOUND", "MANIFEST_UNKNOWN"}:
                    return
                raise MalformedAnswer("the listing of tags is missing", answer.exchange)
            for name in self._fresh(decode(answer, _Tags).tags or [], seen, answer):
                try:
                    parse_tag(name)
                except InvalidName as error:
                    self._problems.append(Problem(repository, "invalid_name", str(error)))
                else:
                    yield TagRecord(name)

    async def tag_state(self, repository: str, tag: str, known: Digest | None = None) -> TagState | Unchanged | None:
        """Ask by HEAD; by GET where the registry answers HEAD without a digest, or not at all."""
        headers = {"Accept": ACCEPT} | ({"If-None-Match": f'"{known}"'} if known else {})
        answer = await self._manifest_answer("HEAD", repository, parse_tag(tag), headers)
        if answer.status == 404:
            return None
        if answer.status == 304 and known:
            return Unchanged()
        digest = _digest_header(answer) if answer.status == 200 else None
        media_type = bare_media_type(answer.headers.get("content-type"))
        if digest is None:
            try:
                found = await self.manifest(repository, tag)
            except ManifestNotFound:
                return None
            digest, media_type = found.digest, found.media_type
        return Unchanged() if digest == known else TagState(digest, media_type)

    async def manifest(self, repository: str, reference: str) -> RawManifest:
        """Fetch by digest (`algorithm:hex`) or tag; what comes is verified, by tag against the answer's own digest."""
        wanted = parse_digest(reference) if ":" in reference else None
        answer = await self._manifest_answer("GET", repository, wanted or parse_tag(reference), {"Accept": ACCEPT})
        if answer.status == 404:
            raise ManifestNotFound(f"{repository} has no manifest {reference}", answer.exchange)
        if answer.status != 200:
            raise MalformedAnswer("not an answer to a manifest", answer.exchange)
        media_type = bare_media_type(answer.headers.get("content-type"))
        payload = signed_payload(answer.content) if media_type in SCHEMA1_TYPES else None
        expected = wanted or _digest_header(answer)
        for candidate in (payload, answer.content):
            if candidate is not None and expected in (None, digest_of(candidate, expected)):
                return RawManifest(answer.content, expected or digest_of(candidate), media_type)
        raise DigestMismatch(f"the manifest served for {reference} is not {expected}", answer.exchange)

    async def blob(self, repository: str, descriptor: Descriptor) -> AsyncIterator[bytes]:
        """Stream a blob, from wherever the registry redirects to."""
        url = self._transport.url(self._path(repository, f"blobs/{parse_digest(descriptor.digest)}"))
        async for chunk in read_blob(self._transport, url, descriptor, _pull(repository)):
            yield chunk

    def take_problems(self) -> tuple[Problem, ...]:
        """Return the entries that were skipped since the last call, and forget them."""
        taken = tuple(self._problems)
        self._problems.clear()
        return taken

    async def close(self) -> None:
        """Release connections."""
        await self._transport.close()

    async def _manifest_answer(self, method: str, repository: str, reference: str, headers: dict[str, str]) -> Answer:
        url = self._transport.url(self._path(repository, f"manifests/{reference}"))
        limit = self._transport.options.limits.manifest_bytes
        return await self._transport.fetch(method, url, limit=limit, scope=_pull(repository), headers=headers)

    def _path(self, repository: str, rest: str) -> str:
        return f"/v2/{parse_repository(repository).path}/{rest}"

    def _fresh(self, names: list[str], seen: set[str], answer: Answer) -> list[str]:
        """Return the names that no page has shown before, and remember them."""
        fresh = [name for name in dict.fromkeys(names) if name not in seen]
        if names and not fresh:
            raise MalformedAnswer("the listing repeats what it has shown", answer.exchange)
        seen.update(fresh)
        most = self._transport.options.limits.entries
        if len(seen) > most:
            raise MalformedAnswer(f"the listing has more than {most} names", answer.exchange)
        return fresh


def _pull(repository: str) -> str:
    return f"repository:{repository}:pull"


def _digest_header(answer: Answer) -> Digest | None:
    """Return the digest the registry names; None when it names none, or one of an algorithm unknown here."""
    try:
        return parse_digest(answer.headers.get("docker-content-digest"))
    except InvalidDigest:
        return None
