"""The outermost layer: request ids, limits on what comes in, and paths that no operation may see."""

import asyncio
import os
import re
from typing import Any
from urllib.parse import unquote_to_bytes

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from imagewarden.api.errors import ApiError, InvalidParameter, NoSuchApi, TooLarge, envelope

__all__ = ["MAX_BODY", "MAX_HEADERS", "MAX_TARGET", "Gate", "body_of", "request_id_of"]

MAX_BODY = 1024 * 1024
"""Bytes of a request body."""
MAX_HEADERS = 64 * 1024
"""Bytes of all request headers; a token alone may have 32 KiB."""
MAX_TARGET = 32 * 1024
"""Bytes of path and query."""
_LENGTH = b"content-length"
_OF_A_BODY = frozenset((_LENGTH, b"transfer-encoding"))
"""Names of headers; the server gives them in lower case (ASGI, "HTTP connection scope")."""
_BODY_SECONDS = 30.0
"""Time in which a body must have arrived."""
_PLAIN = re.compile(rb"(?:/[0-9A-Za-z._-]+)+")
"""A path that needs no closer look."""
_DIGITS = re.compile(rb"[0-9]{1,18}")


def request_id_of(scope: Scope) -> str:
    """Return the id of the request at hand, as the answer's X-Request-Id shows it."""
    return str(scope.get("imagewarden.request_id", ""))


def body_of(scope: Scope) -> bytes:
    """Return the request's whole body; it has been read and measured."""
    body: bytes = scope.get("imagewarden.body", b"")  # type: ignore[assignment] # a key of ours
    return body


def _check_target(scope: Scope) -> None:
    """Raise for a path that is too long, has empty segments, or is not text."""
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    if len(raw) + len(scope["query_string"]) > MAX_TARGET:
        raise TooLarge(414, f"path and query are longer than {MAX_TARGET} bytes")
    path = raw.partition(b"?")[0]
    if _PLAIN.fullmatch(path):
        return
    segments = path.split(b"/")[1:]
    if b"" in segments and raw != b"/":
        raise NoSuchApi("no such API: the path has an empty segment")
    for segment in segments:
        decoded = unquote_to_bytes(segment)
        try:
            usable = "\0" not in decoded.decode()
        except UnicodeDecodeError:
            usable = False
        if not usable:
            raise InvalidParameter("in the path", segment.decode("latin-1"), "text in UTF-8 without a NUL character")


def _check_headers(scope: Scope) -> None:
    """Raise for headers beyond the limit, or a body announced to be."""
    size, announced = 0, None
    for name, value in scope["headers"]:
        size += len(name) + len(value) + 4
        if name == _LENGTH and announced is None:
            announced = value
    if size > MAX_HEADERS:
        raise TooLarge(431, f"the request's headers are longer than {MAX_HEADERS} bytes")
    if announced is not None and (not _DIGITS.fullmatch(announced) or int(announced) > MAX_BODY):
        raise TooLarge(413, f"the request's body is longer than {MAX_BODY} bytes")


async def _read_body(scope: Scope, receive: Receive) -> bytes:
    """Return the whole body; raises TooLarge beyond the limit, or when it does not arrive in time."""
    if not any(name in _OF_A_BODY for name, _ in scope["headers"]):
        return b""
    body = bytearray()
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            while True:
                message = await receive()
                if message["type"] != "http.request":
                    break
                body += message["body"]
                if len(body) > MAX_BODY:
                    raise TooLarge(413, f"the request's body is longer than {MAX_BODY} bytes")
                if not message["more_body"]:
                    break
    except TimeoutError:
        raise TooLarge(408, f"the request's body did not arrive within {_BODY_SECONDS:.0f} s") from None
    return bytes(body)


class Gate:
    """ASGI middleware around the whole application; every answer that leaves has an X-Request-Id."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check the request, read its body, and pass it on, or answer it with an error."""
        if scope["type"] != ScopeType.HTTP:
            await self.app(scope, receive, send)
            return
        request_id = os.urandom(16).hex()
        scope["imagewarden.request_id"] = request_id  # type: ignore[typeddict-unknown-key] # ours
        stamp = (b"x-request-id", request_id.encode())

        async def stamped(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], stamp]
            await send(message)

        try:
            _check_target(scope)
            _check_headers(scope)
            body = await _read_body(scope, receive)
        except ApiError as error:
            await _answer(error, request_id, stamped)
            return
        scope["imagewarden.body"] = body  # type: ignore[typeddict-unknown-key] # ours
        await self.app(scope, _replay(body, receive), stamped)


def _replay(body: bytes, receive: Receive) -> Any:
    """Return a receive that gives the body once, then whatever comes (a disconnect)."""
    given = False

    async def replayed() -> Any:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replayed


async def _answer(error: ApiError, request_id: str, send: Send) -> None:
    """Send an error that no route was asked for."""
    body = envelope(error, request_id)
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        *((name.encode(), value.encode()) for name, value in error.headers.items()),
    ]
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})
