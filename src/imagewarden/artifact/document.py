"""JSON documents of an image, read so that every reader would read them alike.

A digest vouches for bytes, not for their meaning: of `{"layers": A, "layers": B}` one client runs A, another B, and
Go's reader takes `Layers` for `layers` too. A document whose meaning depends on its reader is refused.
"""

import json
from collections.abc import Iterable
from typing import Any, NoReturn

from imagewarden.model.errors import ImagewardenError

__all__ = ["MalformedManifest", "load_object", "require_spelling"]


class MalformedManifest(ImagewardenError):
    """A manifest or config outside the specification; the message says what is wrong with it."""

    code = "malformed_manifest"


def load_object(content: bytes) -> dict[str, Any]:
    """Return the JSON object that the bytes are (RFC 8259, in UTF-8).

    Raises MalformedManifest for anything else, for a name given twice in any object, and for nesting beyond Python's
    own bound. Takes up to 30 times the bytes of memory for documents made to that end.
    """
    try:
        found = json.loads(content.decode(), object_pairs_hook=_object, parse_constant=_no_constant)
    except RecursionError:
        raise MalformedManifest("the document is nested too deeply") from None
    except ValueError as error:  # not UTF-8, not JSON, or a number of thousands of digits
        raise MalformedManifest(f"the document is not JSON: {str(error)[:200]}") from None
    if not isinstance(found, dict):
        raise MalformedManifest("the document is not a JSON object")
    return found


def require_spelling(found: dict[str, Any], names: Iterable[str]) -> None:
    """Raise MalformedManifest when a member is one of `names` but for the case of its letters."""
    exact = {name.casefold(): name for name in names}
    for name in found:
        if exact.get(name.casefold(), name) != name:
            raise MalformedManifest(f"the member {name[:80]!r} is read as {exact[name.casefold()]!r} by some clients")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise MalformedManifest("the document names a member twice")
    return found


def _no_constant(name: str) -> NoReturn:
    raise MalformedManifest(f"the document holds {name}, which is not JSON")
