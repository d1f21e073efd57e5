"""HTTP to one registry: authentication, redirects, retries, pace, and a bound on the time of everything."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

import httpx
import structlog

from imagewarden.registry.answer import Answer, place_of
from imagewarden.registry.authorization import Authorizer
from imagewarden.registry.challenge import Challenge, parse_challenges
from imagewarden.registry.connection import GuardedTransport, proxy_of
from imagewarden.registry.errors import (
    Exchange,
    InvalidOption,
    MalformedAnswer,
    RedirectRefused,
    RegistryError,
    RegistryUnavailable,
)
from imagewarden.registry.guard import AddressGuard, host_of, origin
from imagewarden.registry.options import TransportOptions
from imagewarden.registry.pacing import Pace
from imagewarden.registry.wire import (
    ERROR_BODY,
    REDIRECTS,
    Wire,
    exchange_of,
    raise_for_status,
    read_whole,
    redirect_target,
    typed_failures,
)

__all__ = ["BlobStream", "RegistryTransport", "base_of"]

_log = structlog.get_logger(__name__)

BlobStream = tuple[httpx.Response, AsyncIterator[bytes]]
"""An answer's head, and its undecoded body in chunks."""


def base_of(url: str) -> httpx.URL:
    """Return a registry's address without a trailing `/` or `/v2`; raises InvalidOption for what is none."""
    try:
        base = httpx.URL(url.strip())
    except (httpx.InvalidURL, ValueError):
        base = httpx.URL("")
    if base.scheme not in ("http", "https") or not base.host:
        raise InvalidOption("a registry's address must be like https://registry.example.test:5000")
    if base.userinfo or base.query or base.fragment:
        raise InvalidOption("a registry's address must hold no user, query or fragment; give the credentials apart")
    return base.copy_with(path=base.path.rstrip("/").removesuffix("/v2") or "/")


class RegistryTransport:
    """Sends requests to one registry and reads what it answers. Safe for concurrent use within one event loop."""

    def __init__(self, options: TransportOptions, network: httpx.AsyncBaseTransport | None = None) -> None:
        """`network` stands in for the real one, in tests. Raises InvalidOption for options that cannot be used."""
        self.options = options
        """As given."""
        self.base = base_of(options.url)
        """The registry's address; its API is below `v2/` there."""
        proxy = proxy_of(options)
        guard = AddressGuard(host_of(self.base), map(host_of, _token_hosts(options)))
        self._wire = Wire(options, network or GuardedTransport(options, proxy, guard))
        self._pace = Pace(options)
        self._authorizer = Authorizer(options, self.base, self._wire.send_whole)

    def url(self, path: str, params: Mapping[str, str] | None = None) -> httpx.URL:
        """Return the URL of a path (`/v2/...`) below the registry's address."""
        url = self.base.copy_with(path=self.base.path.rstrip("/") + path)
        return url.copy_with(params=params) if params else url

    async def fetch(
        self,
        method: str,
        url: httpx.URL,
        *,
        limit: int,
        scope: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Return a whole answer of at most `limit` bytes: 2xx, 304, or a 4xx that the caller knows the meaning of.

        Passing failures are retried. Raises RegistryError.
        """
        failures = 0
        while True:
            try:
                async with self._pace.slot(), _deadline(self.options.limits.answer_seconds, method, url):
                    response = await self._follow(method, url, headers or {}, scope)
                    return await read_whole(response, limit)
            except RegistryError as failure:
                failures += 1
                await self.wait(failures, failure)

    @asynccontextmanager
    async def stream(
        self, url: httpx.URL, *, scope: str, headers: Mapping[str, str], seconds: float
    ) -> AsyncIterator[BlobStream]:
        """Give the answer to a GET; its body may keep the reader waiting for `seconds` altogether.

        One try: the caller knows where to go on. The slot is held until the end of the block.
        """
        async with self._pace.slot():
            async with _deadline(self.options.limits.answer_seconds, "GET", url):
                response = await self._follow("GET", url, headers, scope)
            try:
                yield response, _chunks(response, seconds)
            finally:
                await response.aclose()

    async def wait(self, failures: int, failure: RegistryError) -> None:
        """Wait before trying again what has failed `failures` times, the last time with `failure`.

        Raises `failure` when it is not a passing one, or was tried often enough.
        """
        if not failure.transient or failures >= self.options.limits.attempts:
            raise failure
        _log.debug("registry.retry", failures=failures, code=failure.code, retry_after=failure.retry_after)
        await self._pace.back_off(failures, failure.retry_after)

    async def close(self) -> None:
        """Close every connection."""
        await self._wire.close()

    async def _follow(self, method: str, url: httpx.URL, headers: Mapping[str, str], scope: str) -> httpx.Response:
        """Send a request and follow where it is sent; the answer is no redirect, refusal or error of the server's."""
        for _ in range(self.options.limits.redirects + 1):
            response = await self._authorized(method, url, headers, scope)
            if response.status_code not in REDIRECTS:
                await raise_for_status(response)
                return response
            await response.aclose()
            url = redirect_target(response)
        raise RedirectRefused(f"more than {self.options.limits.redirects} redirects in a row", exchange_of(response))

    async def _authorized(self, method: str, url: httpx.URL, headers: Mapping[str, str], scope: str) -> httpx.Response:
        """Send a request, with credentials if it goes to the registry itself, where one challenge is answered."""
        if origin(url) != origin(self.base):
            response = await self._wire.send(httpx.Request(method, url, headers=headers))
            if response.status_code == 401:
                await response.aclose()
                raise RedirectRefused("the place redirected to wants credentials of its own", exchange_of(response))
            return response
        sent = await self._authorizer.header(scope)
        response = await self._send(method, url, headers, sent)
        if response.status_code != 401:
            return response
        better = await self._authorizer.answer(await _challenges(response), scope, sent, exchange_of(response))
        response = await self._send(method, url, headers, better)
        if response.status_code == 401:
            raise await self._authorizer.refusal(await _challenges(response), exchange_of(response))
        return response

    async def _send(
        self, method: str, url: httpx.URL, headers: Mapping[str, str], authorization: str
    ) -> httpx.Response:
        shown = {"Authorization": authorization} if authorization else {}
        return await self._wire.send(httpx.Request(method, url, headers={**headers, **shown}))


def _token_hosts(options: TransportOptions) -> list[httpx.URL]:
    """Return the options' token hosts as addresses; raises InvalidOption for what is no host."""
    try:
        return [httpx.URL(f"https://{host}") for host in options.token_hosts]
    except httpx.InvalidURL as error:
        raise InvalidOption(
            f"a token host must be like auth.example.test or auth.example.test:5001: {error}"
        ) from error


async def _challenges(response: httpx.Response) -> Sequence[Challenge]:
    """Return what a 401 asks for; its body is read, so that the connection can be used again."""
    try:
        await read_whole(response, ERROR_BODY)
    except MalformedAnswer:  # the body of a refusal means nothing: the connection is closed instead
        _log.debug("registry.unread_refusal", place=place_of(response.request.url))
    return parse_challenges(response.headers.get_list("www-authenticate"))


async def _chunks(response: httpx.Response, seconds: float) -> AsyncIterator[bytes]:
    """Yield a body as it comes. Only waiting for it counts, not what the reader does in between."""
    exchange = exchange_of(response)
    chunks = aiter(response.aiter_raw())
    left = seconds
    while True:
        started = time.monotonic()
        with typed_failures(exchange):
            async with _deadline(max(left, 0.001), exchange.method, response.request.url):
                chunk = await anext(chunks, None)
        left -= time.monotonic() - started
        if chunk is None:
            return
        yield chunk


@asynccontextmanager
async def _deadline(seconds: float, method: str, url: httpx.URL) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        exchange = Exchange(method, place_of(url))
        raise RegistryUnavailable(f"the answer was not complete after {seconds:g} s", exchange) from None
