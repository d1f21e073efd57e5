"""What a registry answered, read within bounds."""

import re
import zlib
from collections.abc import AsyncIterator
from typing import TypeVar

import httpx
import msgspec

from imagewarden.registry.errors import Exchange, MalformedAnswer
from imagewarden.registry.options import KIB

__all__ = ["Answer", "decode", "error_codes", "place_of", "read_bounded"]

T = TypeVar("T")
_STEP = 64 * KIB
_ERROR_CODE = re.compile(r"[A-Za-z0-9_ .-]{1,64}")


class Answer(msgspec.Struct, frozen=True):
    """A whole answer."""

    exchange: Exchange
    """What was asked, for errors about it."""
    url: httpx.URL
    """Where the answer came from, redirects included."""
    status: int
    """HTTP status."""
    headers: httpx.Headers
    """Its headers."""
    content: bytes
    """Its body, decoded, within the limit it was asked with."""


class _Error(msgspec.Struct):
    code: str = ""


class _Errors(msgspec.Struct):
    errors: list[_Error] = []


def place_of(url: httpx.URL) -> str:
    """Return a URL as errors and logs may show it: without user, query and fragment, and nothing in it unquoted."""
    path = url.raw_path.partition(b"?")[0][:512]
    return f"{url.scheme}://{url.netloc.decode('ascii')}{path.decode('ascii')}"


def error_codes(content: bytes) -> tuple[str, ...]:
    """Return the codes of a registry's error body (distribution-spec, "Error codes"); none when it is not one."""
    try:
        found = msgspec.json.decode(content, type=_Errors).errors
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ()
    return tuple(error.code for error in found[:8] if _ERROR_CODE.fullmatch(error.code))


def decode(answer: Answer, kind: type[T]) -> T:
    """Return an answer's JSON as `kind`, whatever its Content-Type; raises MalformedAnswer for anything else."""
    try:
        return msgspec.json.decode(answer.content, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedAnswer(f"the answer is not what was asked for: {str(error)[:200]}", answer.exchange) from error


async def read_bounded(response: httpx.Response, limit: int, exchange: Exchange) -> bytes:
    """Read a body of at most `limit` bytes, decoded; raises MalformedAnswer before it would grow beyond.

    No encoding is asked for, but gzip is understood; it is inflated in steps, so that a bomb is small as well.
    """
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding in ("", "identity"):
        chunks = response.aiter_raw(_STEP)
    elif encoding in ("gzip", "x-gzip"):
        chunks = _inflated(response.aiter_raw(_STEP), exchange)
    else:
        raise MalformedAnswer(f"the body is encoded as {encoding[:40]!r}, which was not asked for", exchange)
    content = bytearray()
    async for chunk in chunks:
        content += chunk
        if len(content) > limit:
            raise MalformedAnswer(f"the body is larger than the {limit} bytes allowed here", exchange)
    return bytes(content)


async def _inflated(chunks: AsyncIterator[bytes], exchange: Exchange) -> AsyncIterator[bytes]:
    inflater = zlib.decompressobj(wbits=31)
    async for chunk in chunks:
        data, full = chunk, True
        while (data or full) and not inflater.eof:
            try:
                inflated = inflater.decompress(data, _STEP)
            except zlib.error as error:
                raise MalformedAnswer(f"the body is not gzip as it claims: {error}", exchange) from error
            yield inflated
            data, full = inflater.unconsumed_tail, len(inflated) == _STEP
    if not inflater.eof:
        raise MalformedAnswer("the gzip body breaks off", exchange)
