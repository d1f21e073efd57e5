"""Docker image manifest version 2, schema 1: the bytes its digest is over.

A signed schema 1 manifest is the payload with `signatures` spliced in before its end. Each signature's `protected`
header (base64url JSON) says how to undo that: `formatLength` bytes of the document, then `formatTail` (base64url).
"""

import base64
import binascii

import msgspec

__all__ = ["signed_payload"]


class _Signature(msgspec.Struct):
    protected: str = ""


class _Signed(msgspec.Struct):
    signatures: list[_Signature] = []


class _Protected(msgspec.Struct, rename="camel"):
    format_length: int
    format_tail: str


def signed_payload(content: bytes) -> bytes | None:
    """Return the payload of a signed schema 1 manifest; None when it is not one, or its signatures disagree."""
    try:
        signatures = msgspec.json.decode(content, type=_Signed).signatures
        formats = {_decode(one.protected) for one in signatures}
        if len(formats) != 1:
            return None
        protected = msgspec.json.decode(formats.pop(), type=_Protected)
        tail = _decode(protected.format_tail)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, binascii.Error, ValueError):
        return None
    if not 0 < protected.format_length < len(content):
        return None
    return content[: protected.format_length] + tail


def _decode(text: str) -> bytes:
    """Return the bytes of unpadded base64url (RFC 7515, 2)."""
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
