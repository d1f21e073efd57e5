"""The Link header of listings (distribution-spec, "Content Discovery"; RFC 8288)."""

import re

import httpx

from imagewarden.registry.errors import AddressRefused, MalformedAnswer
from imagewarden.registry.transport import Answer

__all__ = ["next_page"]

_LINK = re.compile(r'\s*<([^>]*)>((?:\s*;\s*[^;,"]+(?:"[^"]*")?)*)\s*(?:,|$)')
_NEXT = re.compile(r';\s*rel\s*=\s*(?:"[^"]*\bnext\b[^"]*"|next\s*(?:;|$))', re.IGNORECASE)


def next_page(answer: Answer, origin: httpx.URL) -> httpx.URL | None:
    """Return the address of the next page, None at the end.

    Relative to the page at hand; raises AddressRefused for another scheme, host or port, and MalformedAnswer for what
    cannot be read.
    """
    value = answer.headers.get("link", "")
    if len(value) > 16_384:
        raise MalformedAnswer(f"{answer.url.path} has a Link header of {len(value)} bytes")
    for target, parameters in _LINK.findall(value):
        if not _NEXT.search(parameters):
            continue
        try:
            found = answer.url.join(target)
        except httpx.InvalidURL:
            raise MalformedAnswer(f"{answer.url.path} names a next page whose address cannot be read") from None
        if (found.scheme, found.host, found.port) != (origin.scheme, origin.host, origin.port) or found.userinfo:
            raise AddressRefused(f"{answer.url.path} names a next page on another server ({found.host}); not followed")
        return found
    return None
