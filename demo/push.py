"""Push images to a registry over HTTP (distribution-spec, "Push")."""

from collections.abc import Callable, Sequence

import httpx

from demo.content import Blob, Manifest
from demo.errors import DemoError
from demo.images import Published

__all__ = ["push"]


def push(
    url: str,
    published: Sequence[Published],
    login: tuple[str, str] | None = None,
    progress: Callable[[Published], None] | None = None,
) -> int:
    """Push everything to the registry at `url` and return the number of tags; what is there already is not sent again.

    `progress` is told of each after it was pushed. Raises DemoError when the registry refuses or does not answer.
    """
    with httpx.Client(base_url=url, auth=login, timeout=30, trust_env=False) as client:
        pusher = _Pusher(client)
        for each in published:
            try:
                pusher.publish(each)
            except httpx.HTTPError as failure:
                raise DemoError(f"cannot push {each.repository} to {url}: {failure}") from failure
            if progress is not None:
                progress(each)
    return sum(len(each.tags) for each in published)


class _Pusher:
    """Pushes to one registry, and knows where each blob already is."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client
        self._homes: dict[str, str] = {}

    def publish(self, published: Published) -> None:
        """Push a manifest with everything under it, then its tags."""
        self._complete(published.repository, published.manifest)
        for tag in published.tags:
            self._manifest(published.repository, tag, published.manifest)

    def _complete(self, repository: str, manifest: Manifest) -> None:
        for blob in manifest.blobs:
            self._blob(repository, blob)
        for child in manifest.children:
            self._complete(repository, child)
            self._manifest(repository, child.digest, child)

    def _manifest(self, repository: str, reference: str, manifest: Manifest) -> None:
        address = f"/v2/{repository}/manifests/{reference}"
        headers = {"Content-Type": manifest.media_type}
        answer = _expect(self._client.put(address, content=manifest.content, headers=headers), 201)
        found = answer.headers.get("Docker-Content-Digest")
        if found != manifest.digest:
            raise DemoError(f"the registry stored {repository}:{reference} as {found}, not as {manifest.digest}")

    def _blob(self, repository: str, blob: Blob) -> None:
        """Push a blob, or have it taken over from the repository it was pushed to before."""
        if self._client.head(f"/v2/{repository}/blobs/{blob.digest}").status_code == 200:
            return
        origin = self._homes.setdefault(blob.digest, repository)
        mount = {"mount": blob.digest, "from": origin} if origin != repository else {}
        begun = _expect(self._client.post(f"/v2/{repository}/blobs/uploads/", params=mount), 201, 202)
        if begun.status_code == 201:
            return
        target = begun.url.join(begun.headers["Location"]).copy_merge_params({"digest": blob.digest})
        _expect(self._client.put(target, content=blob.content), 201)


def _expect(answer: httpx.Response, *statuses: int) -> httpx.Response:
    """Return the answer if its status is one of these; raises DemoError with what the registry says."""
    if answer.status_code in statuses:
        return answer
    said = answer.text[:300].replace("\n", " ")
    raise DemoError(
        f"the registry answered {answer.request.method} {answer.url.path} with {answer.status_code}: {said}"
    )
