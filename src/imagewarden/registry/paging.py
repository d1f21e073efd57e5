"""Listings page by page, to their end: `Link` (RFC 8288) as the distribution specification uses it."""

import re
from collections.abc import AsyncIterator

import httpx

from imagewarden.registry.answer import Answer
from imagewarden.registry.errors import MalformedAnswer
from imagewarden.registry.guard import origin
from imagewarden.registry.transport import RegistryTransport

__all__ = ["next_page", "pages"]

PAGE_SIZES = ("1000", "100", "")
"""Names asked for a page: the most a registry gives, what every registry gives, and its own choice."""
_LINK = re.compile(r"<([^<>]*)>([^<]*)")
_NEXT = re.compile(r""";\s*rel\s*=\s*(?:"[^"]*\bnext\b[^"]*"|next\b)""", re.IGNORECASE)


def next_page(answer: Answer) -> httpx.URL | None:
    """Return the URL of the next page, or None after the last.

    It stays on the answer's origin: of a link to the same host by another scheme or port, as registries behind a
    proxy write them, only path and query count. Raises MalformedAnswer for a link elsewhere, and for one that cannot
    be read, since a listing must not end early unnoticed.
    """
    text = ", ".join(answer.headers.get_list("link"))[:16384]
    if not text.strip():
        return None
    links = _LINK.findall(text)
    target = next((url for url, parameters in links if _NEXT.search(parameters)), None)
    if target is None:
        if links and not _NEXT.search(text):
            return None
        raise MalformedAnswer("the Link header cannot be read", answer.exchange)
    try:
        url = answer.url.join(target)
    except (httpx.InvalidURL, ValueError) as error:
        raise MalformedAnswer("the link to the next page is no address", answer.exchange) from error
    if url.host != answer.url.host or url.scheme not in ("http", "https"):
        raise MalformedAnswer(f"the link to the next page leads to another host, {url.host[:100]!r}", answer.exchange)
    if origin(url) != origin(answer.url):
        return answer.url.copy_with(raw_path=url.raw_path)
    return url.copy_with(userinfo=b"", fragment=None)


async def pages(transport: RegistryTransport, path: str, scope: str) -> AsyncIterator[Answer]:
    """Yield a listing's pages; a first answer of 404 is yielded too, its meaning being the caller's.

    Raises MalformedAnswer for a page that came before, for too many pages and for any other status than 200.
    """
    limits = transport.options.limits
    answer = await _first(transport, path, scope)
    seen: set[bytes] = set()
    while True:
        if answer.status != 200 and not (answer.status == 404 and not seen):
            raise MalformedAnswer("not an answer to a listing", answer.exchange)
        yield answer
        following = next_page(answer) if answer.status == 200 else None
        if following is None:
            return
        if following.raw_path in seen:
            raise MalformedAnswer("the listing's pages go in a circle", answer.exchange)
        seen.add(following.raw_path)
        if len(seen) >= limits.pages:
            raise MalformedAnswer(f"the listing has more than {len(seen)} pages", answer.exchange)
        answer = await transport.fetch("GET", following, limit=limits.page_bytes, scope=scope)


async def _first(transport: RegistryTransport, path: str, scope: str) -> Answer:
    """Ask for the first page, by fewer names a page while the registry says 400, by whatever code, to the number."""
    for size in PAGE_SIZES:
        url = transport.url(path, {"n": size} if size else None)
        answer = await transport.fetch("GET", url, limit=transport.options.limits.page_bytes, scope=scope)
        if answer.status != 400:
            break
    return answer
