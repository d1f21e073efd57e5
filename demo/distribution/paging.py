"""Pages of names: `n`, `last` and the Link to the next page (distribution-spec, "Listing Tags"; RFC 8288)."""

import re
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from urllib.parse import urlencode

from demo.distribution.messages import Refusal

__all__ = ["PAGE", "page_of"]

PAGE = 1000
"""Names in a page at most, whatever the client asks."""


def page_of(names: Iterable[str], query: Mapping[str, str], path: str) -> tuple[list[str], dict[str, str]]:
    """Return one page of names in lexical order without case, and the header fields that lead to the next.

    `last` need not exist: the page begins with the first name after it. Refuses an `n` that is no number.
    """
    count = query.get("n", str(PAGE))
    if not re.fullmatch(r"[0-9]{1,9}", count):
        raise Refusal(400, "PAGINATION_NUMBER_INVALID", "`n` must be a number, 0 or more")
    ordered = sorted(names, key=_order)
    start = bisect_right(ordered, _order(query["last"]), key=_order) if "last" in query else 0
    end = start + min(int(count), PAGE)
    page = ordered[start:end]
    if not page or end >= len(ordered):
        return page, {}
    rest = urlencode({"last": page[-1], "n": len(page)})
    return page, {"Link": f'<{path}?{rest}>; rel="next"'}


def _order(name: str) -> tuple[str, str]:
    return name.lower(), name
