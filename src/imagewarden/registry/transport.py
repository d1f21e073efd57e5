"""Requests to one registry: authenticated, paced, tried again, bounded in time and size."""

import asyncio
import random
import zlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus

import httpx
import msgspec
import structlog

from imagewarden.registry.authorization import Authorization, refused
from imagewarden.registry.challenge import parse_challenges
from imagewarden.registry.connection import open_client
from imagewarden.registry.errors import (
    AccessDenied,
    AddressRefused,
    MalformedAnswer,
    RateLimited,
    RegistryUnavailable,
)
from imagewarden.registry.options import TransportOptions
from imagewarden.registry.pacing import Pace, retry_after, wait_before

__all__ = ["Answer", "Transport"]

_LOG = structlog.get_logger(__name__)
_PASSING = frozenset((429, 502, 503, 504))
_MOVED = frozenset((301, 302, 303, 307, 308))
_STEP = 64 * 1024


class Answer(msgspec.Struct, frozen=True):
    """An answer read whole."""

    status: int
    """HTTP status."""
    headers: httpx.Headers
    """The headers."""
    body: bytes
    """The body, decoded, within the limit that was given."""
    url: httpx.URL
    """Where it came from."""


class Transport:
    """One registry's HTTP side; for one event loop."""

    def __init__(self, options: TransportOptions, client: httpx.AsyncClient | None = None) -> None:
        self.options = options
        self.origin = httpx.URL(options.url.rstrip("/"))
        self._client = client or open_client(options)
        self._pace = Pace(options.concurrency, options.requests_per_second)
        self._authorization = Authorization(options, self._send_for_token)
        self._chance = random.Random()  # noqa: S311 # jitter

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    async def request(
        self, method: str, target: str | httpx.URL, *, scope: str, limit: int, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Send a request and return the answer, whatever its status below 500 other than 401, 403 and 429.

        `target` is a path of the registry or an absolute address; `scope` what a token must be good for; `limit` the
        most bytes of the body. Passing failures are tried again. Raises RegistryError kinds.
        """
        async with self.stream(method, target, scope=scope, headers=headers) as response:
            try:
                async with asyncio.timeout(self.options.limits.answer_seconds):
                    body = b"" if method == "HEAD" else await _read(response, limit)
            except TimeoutError:
                raise RegistryUnavailable(f"{_where(response.request)} takes too long to answer") from None
            except httpx.HTTPError as error:
                raise RegistryUnavailable(f"{_where(response.request)} broke off: {type(error).__name__}") from None
            return Answer(response.status_code, response.headers, body, response.url)

    @asynccontextmanager
    async def stream(
        self, method: str, target: str | httpx.URL, *, scope: str, headers: Mapping[str, str] | None = None
    ) -> AsyncIterator[httpx.Response]:
        """Like `request`, but gives the response with its body unread."""
        url = self.origin.join(target) if isinstance(target, str) else target
        async with self._pace.turn():
            response = await self._patiently(method, url, scope, dict(headers or {}))
            try:
                self._check_status(response)
                yield response
            finally:
                await response.aclose()

    async def _patiently(self, method: str, url: httpx.URL, scope: str, headers: dict[str, str]) -> httpx.Response:
        """Return the answer of the last try: tried again while it fails in passing."""
        limits, attempt = self.options.limits, 0
        while True:
            attempt += 1
            asked: float | None = None
            try:
                response = await self._authenticated(method, url, scope, headers)
                if response.status_code not in _PASSING or attempt >= limits.attempts:
                    return response
                asked = retry_after(response.headers.get("retry-after"))
                await response.aclose()
            except RegistryUnavailable:
                if attempt >= limits.attempts:
                    raise
            await asyncio.sleep(wait_before(attempt, asked, limits, self._chance))

    async def _authenticated(self, method: str, url: httpx.URL, scope: str, headers: dict[str, str]) -> httpx.Response:
        """Return the answer, having met what a 401 asks for once."""
        response = await self._following(method, url, scope, headers)
        if response.status_code == 401 and _same_origin(response.url, self.origin):
            challenges = parse_challenges(response.headers.get_list("www-authenticate"))
            if await self._authorization.answer(challenges, scope):
                await response.aclose()
                response = await self._following(method, url, scope, headers)
        return response

    async def _following(self, method: str, url: httpx.URL, scope: str, headers: dict[str, str]) -> httpx.Response:
        """Return the answer after redirects; the credentials go to the registry's own origin alone."""
        for _ in range(self.options.limits.redirects + 1):
            own = dict(headers)
            if _same_origin(url, self.origin):
                value = await self._authorization.header(scope)
                own |= {"authorization": value} if value else {}
            response = await self._once(method, url, own)
            if response.status_code not in _MOVED:
                return response
            location = response.headers.get("location", "")
            await response.aclose()
            url = self._next(url, location)
        raise MalformedAnswer(f"{self.origin.host} redirects more than {self.options.limits.redirects} times")

    def _next(self, url: httpx.URL, location: str) -> httpx.URL:
        """Return where a redirect leads; raises AddressRefused for what is no HTTP address or loses TLS."""
        try:
            found = url.join(location)
        except httpx.InvalidURL:
            raise AddressRefused(f"{url.host} redirects to an address that cannot be read") from None
        if found.scheme not in ("http", "https") or not found.host or found.userinfo:
            raise AddressRefused(f"{url.host} redirects to something other than an HTTP address")
        if url.scheme == "https" and found.scheme == "http":
            raise AddressRefused(f"{url.host} redirects from https to http; not followed")
        return found

    async def _once(self, method: str, url: httpx.URL, headers: dict[str, str], body: bytes = b"") -> httpx.Response:
        """Send one request; raises RegistryUnavailable when nothing usable comes back."""
        request = self._client.build_request(method, url, headers=headers, content=body or None)
        self._client.cookies.clear()
        try:
            async with asyncio.timeout(self.options.limits.answer_seconds):
                response = await self._client.send(request, stream=True)
        except (TimeoutError, httpx.TimeoutException):
            raise RegistryUnavailable(f"{_where(request)} does not answer in time") from None
        except (httpx.RemoteProtocolError, httpx.LocalProtocolError, httpx.DecodingError):
            raise RegistryUnavailable(f"{_where(request)} gives no proper HTTP answer") from None
        except httpx.TransportError as error:
            raise RegistryUnavailable(f"{_where(request)} cannot be reached: {_reason(error)}") from None
        _LOG.debug("registry answered", method=method, host=url.host, path=url.path, status=response.status_code)
        return response

    async def _send_for_token(self, method: str, url: httpx.URL, headers: dict[str, str], body: bytes) -> bytes:
        """Send a request to a token service; redirects are not followed: they would carry the credentials along."""
        response = await self._once(method, url, headers, body)
        try:
            async with asyncio.timeout(self.options.limits.answer_seconds):
                content = await _read(response, 1024 * 1024)
        except (TimeoutError, httpx.HTTPError):
            raise RegistryUnavailable(f"the token service {url.host} broke off") from None
        finally:
            await response.aclose()
        if response.status_code in (400, 401, 403):
            raise refused(self.options)
        if response.status_code != 200:
            raise RegistryUnavailable(f"the token service {url.host} answers {_status(response)}")
        return content

    def _check_status(self, response: httpx.Response) -> None:
        """Raise for the statuses that mean the same everywhere."""
        where, status = _where(response.request), response.status_code
        if status == 401:
            raise refused(self.options)
        if status == 403:
            raise AccessDenied(f"{where} is not allowed with these credentials (403)")
        if status == 429:
            raise RateLimited(
                f"{where} is limited (429), even after {self.options.limits.attempts} tries; lower the pace"
            )
        if status >= 500:
            raise RegistryUnavailable(f"{where} answers {_status(response)}")


def _same_origin(one: httpx.URL, other: httpx.URL) -> bool:
    """Return whether scheme, host and port are the same."""

    def origin(url: httpx.URL) -> tuple[str, str, int]:
        return url.scheme, url.host, url.port or {"http": 80, "https": 443}[url.scheme]

    return origin(one) == origin(other)


def _where(request: httpx.Request) -> str:
    """Return what was asked, for a message: never the query, which may hold a signature."""
    return f"{request.method} {request.url.scheme}://{request.url.netloc.decode()}{request.url.path[:200]}"


def _status(response: httpx.Response) -> str:
    """Return a status with its name."""
    try:
        return f"{response.status_code} {HTTPStatus(response.status_code).phrase}"
    except ValueError:
        return str(response.status_code)


def _reason(error: httpx.TransportError) -> str:
    """Return why a connection failed, and what helps."""
    text = " ".join(str(error).split())[:200] or type(error).__name__
    if "certificate" in text.lower():
        return f"{text}; name its authority with --ca-file"
    return text


async def _read(response: httpx.Response, limit: int) -> bytes:
    """Return the whole body; raises MalformedAnswer beyond `limit` bytes, before and after decompression."""
    coding = response.headers.get("content-encoding", "identity").strip().lower()
    if coding not in ("", "identity", "gzip", "x-gzip"):
        raise MalformedAnswer(f"{_where(response.request)} answers in an unknown content encoding")
    inflate = zlib.decompressobj(wbits=31) if coding.endswith("gzip") else None
    body = bytearray()
    async for chunk in response.aiter_raw(_STEP):
        if inflate is None:
            body += chunk
        else:
            try:
                body += inflate.decompress(chunk, limit + 1 - len(body))
            except zlib.error:
                raise MalformedAnswer(f"{_where(response.request)} answers with broken gzip") from None
        if len(body) > limit:
            raise MalformedAnswer(f"{_where(response.request)} answers with more than {limit} bytes")
    return bytes(body)
