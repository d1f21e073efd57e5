"""One request, one answer: sent, logged without secrets, its failures typed."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import structlog

from imagewarden import __version__
from imagewarden.registry.answer import Answer, error_codes, place_of, read_bounded
from imagewarden.registry.errors import (
    AccessDenied,
    Exchange,
    MalformedAnswer,
    RateLimited,
    RedirectRefused,
    RegistryUnavailable,
)
from imagewarden.registry.options import KIB, TransportOptions
from imagewarden.registry.pacing import parse_retry_after

__all__ = ["REDIRECTS", "Wire", "exchange_of", "raise_for_status", "read_whole", "redirect_target", "typed_failures"]

REDIRECTS = frozenset({301, 302, 303, 307, 308})
"""Statuses that send the client elsewhere."""
ERROR_BODY = 64 * KIB
"""Bytes read of a body that only explains a failure."""
_PASSING = frozenset({500, 502, 503, 504})
_USER_AGENT = f"imagewarden/{__version__}"
_log = structlog.get_logger(__name__)


class Wire:
    """Sends requests as they are: no redirect followed, no cookie kept, nothing retried."""

    def __init__(self, options: TransportOptions, transport: httpx.AsyncBaseTransport) -> None:
        self._transport = transport
        limits = options.limits
        timeout = httpx.Timeout(limits.read_seconds, connect=limits.connect_seconds, pool=None)
        self._extensions = {"timeout": timeout.as_dict()}

    async def send(self, request: httpx.Request) -> httpx.Response:
        """Send a request; the answer's body is unread. Raises RegistryError when there is no answer."""
        request.extensions = {**self._extensions, **request.extensions}
        request.headers.setdefault("User-Agent", _USER_AGENT)
        request.headers.setdefault("Accept-Encoding", "identity")
        exchange = Exchange(request.method, place_of(request.url))
        started = time.monotonic()
        status = None
        try:
            with typed_failures(exchange):
                response = await self._transport.handle_async_request(request)
            response.request = request
            status = response.status_code
            return response
        finally:
            _log.debug(
                "registry.request",
                method=exchange.method,
                place=exchange.place,
                status=status,
                seconds=round(time.monotonic() - started, 4),
            )

    async def send_whole(self, request: httpx.Request, limit: int) -> Answer:
        """Send a request and read its answer, of at most `limit` bytes; a passing failure of the server is raised."""
        response = await self.send(request)
        await raise_for_status(response, passing_only=True)
        return await read_whole(response, limit)

    async def close(self) -> None:
        """Close every connection."""
        await self._transport.aclose()


async def read_whole(response: httpx.Response, limit: int) -> Answer:
    """Read an answer's body, of at most `limit` bytes, and close it."""
    exchange = exchange_of(response)
    try:
        with typed_failures(exchange):
            content = await read_bounded(response, limit, exchange)
    finally:
        await response.aclose()
    return Answer(exchange, response.request.url, response.status_code, response.headers, content)


def exchange_of(response: httpx.Response) -> Exchange:
    """Return what was asked and answered, for errors about it."""
    return Exchange(response.request.method, place_of(response.request.url), response.status_code)


@contextmanager
def typed_failures(exchange: Exchange) -> Iterator[None]:
    """Raise what a connection can fail with as RegistryError, worth another try."""
    try:
        yield
    except httpx.RemoteProtocolError as error:
        raise MalformedAnswer(f"the connection broke the protocol: {error}", exchange, transient=True) from error
    except httpx.TimeoutException as error:
        raise RegistryUnavailable("no answer in time", exchange, transient=True) from error
    except httpx.TransportError as error:
        reason = str(error)[:300] or "no connection"
        untrusted = "certificate" in reason.lower()  # asking again would not make it trusted
        hint = " (name its certificate authority with --ca-file)" if untrusted else ""
        raise RegistryUnavailable(reason + hint, exchange, transient=not untrusted) from error
    except httpx.InvalidURL as error:
        raise MalformedAnswer(f"not an address: {error}", exchange) from error


async def raise_for_status(response: httpx.Response, *, passing_only: bool = False) -> None:
    """Raise, with the codes of the error body, what any request may be answered with: 403, 429 and the 5xx.

    `passing_only` leaves 403 to the caller.
    """
    status = response.status_code
    refused = status == 403 and not passing_only
    if not (refused or status == 429 or status >= 500):
        return
    exchange = exchange_of(response)
    try:
        answer = await read_whole(response, ERROR_BODY)
        codes = ", ".join(error_codes(answer.content))
    except MalformedAnswer:  # an explanation too long to read explains nothing
        codes = ""
    reason = f"the registry says {codes}" if codes else "the registry gives no reason"
    retry_after = parse_retry_after(response.headers.get("retry-after"))
    if refused:
        raise AccessDenied(reason, exchange)
    if status == 429:
        raise RateLimited(reason, exchange, transient=True, retry_after=retry_after)
    raise RegistryUnavailable(reason, exchange, transient=status in _PASSING, retry_after=retry_after)


def redirect_target(response: httpx.Response) -> httpx.URL:
    """Return where a redirect leads; raises RedirectRefused for a downgrade to plain http and for no web address."""
    exchange = exchange_of(response)
    here = response.request.url
    try:
        target = here.join(response.headers.get("location", ""))
    except (httpx.InvalidURL, ValueError) as error:
        raise RedirectRefused("the redirect leads to no address", exchange) from error
    if "location" not in response.headers or target.scheme not in ("http", "https") or not target.host:
        raise RedirectRefused("the redirect leads to no web address", exchange)
    if here.scheme == "https" and target.scheme == "http":
        raise RedirectRefused(f"the redirect leads from https to plain http at {target.host}", exchange)
    return target.copy_with(userinfo=b"", fragment=None)
