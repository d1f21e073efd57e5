"""Connections to a registry and to the places it names: judged addresses, certificates, proxy."""

import logging
import ssl
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import httpcore
import httpx

from imagewarden.registry.errors import InvalidOption
from imagewarden.registry.guard import AddressGuard, host_of
from imagewarden.registry.options import TransportOptions

__all__ = ["GuardedTransport", "proxy_of", "tls_context"]

# Its debug lines hold whole headers: signed addresses, tokens.
logging.getLogger("httpcore").setLevel(logging.INFO)

_TRANSLATED: tuple[tuple[type[Exception], type[httpx.TransportError]], ...] = (
    (httpcore.ConnectTimeout, httpx.ConnectTimeout),
    (httpcore.TimeoutException, httpx.ReadTimeout),
    (httpcore.ConnectError, httpx.ConnectError),
    (httpcore.ProxyError, httpx.ProxyError),
    (httpcore.NetworkError, httpx.ReadError),
    (httpcore.ProtocolError, httpx.RemoteProtocolError),
)
_FAILURES = tuple(own for own, _ in _TRANSLATED)


@contextmanager
def _translated() -> Iterator[None]:
    """Raise the connection pool's errors as httpx's, which are what the transport above knows."""
    try:
        yield
    except _FAILURES as error:
        kind = next(other for own, other in _TRANSLATED if isinstance(error, own))
        raise kind(str(error) or type(error).__name__) from error


def tls_context(options: TransportOptions) -> ssl.SSLContext:
    """Return what is trusted: the system's and certifi's authorities and `ca_file`, or anything with `insecure`."""
    context = httpx.create_ssl_context(verify=not options.insecure)
    if options.insecure:
        return context
    context.load_default_certs()
    if options.ca_file:
        try:
            context.load_verify_locations(cafile=options.ca_file)
        except (OSError, ssl.SSLError) as error:
            raise InvalidOption(
                f"the certificate file {options.ca_file} cannot be used: {error}; give a PEM file that is readable here"
            ) from error
    return context


def proxy_of(options: TransportOptions) -> httpx.Proxy | None:
    """Return the proxy of the options, or of the environment; raises InvalidOption for an address that is none."""
    base = urlsplit(options.url)
    address = options.proxy
    if address is None:
        address = "" if proxy_bypass(base.netloc) else getproxies().get(base.scheme, "")
    if not address:
        return None
    try:
        proxy = httpx.Proxy(address)
    except (ValueError, httpx.InvalidURL):
        proxy = None
    if proxy is None or proxy.url.scheme not in ("http", "https") or not proxy.url.host:
        raise InvalidOption("the proxy's address must be http://[user:password@]host:port")
    return proxy


class _GuardedBackend(httpcore.AsyncNetworkBackend):
    """Opens connections to addresses that the guard allowed, in turn."""

    def __init__(self, guard: AddressGuard) -> None:
        self._guard = guard
        self._inner = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 # the base class's signature
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Resolve, judge and connect; `timeout` holds for each address."""
        try:
            addresses = await self._guard.addresses(host, port)
        except OSError as error:
            raise httpcore.ConnectError(f"{host} does not resolve: {error.strerror or error}") from error
        failures = []
        for address in addresses:
            try:
                return await self._inner.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failures.append(error)
        raise failures[0]

    async def sleep(self, seconds: float) -> None:
        """Wait, for the pool's own retries."""
        await self._inner.sleep(seconds)


class _Body(httpx.AsyncByteStream):
    """The body of an answer, with the pool's errors translated."""

    def __init__(self, answer: httpcore.Response) -> None:
        self._answer = answer

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _translated():
            async for chunk in self._answer.aiter_stream():
                yield chunk

    async def aclose(self) -> None:
        """Give the connection back, or close it when the body was not read to its end."""
        await self._answer.aclose()


class GuardedTransport(httpx.AsyncBaseTransport):
    """An httpx transport whose every connection passes the guard. Follows nothing, remembers no cookie."""

    def __init__(self, options: TransportOptions, proxy: httpx.Proxy | None, guard: AddressGuard) -> None:
        """`proxy` is what `proxy_of` returned. Raises InvalidOption for a certificate file that cannot be used."""
        self._guard = guard
        self._proxied = proxy is not None
        backend = _GuardedBackend(AddressGuard(host_of(proxy.url)) if proxy else guard)
        tls = tls_context(options)
        keep = options.concurrency
        self._pool: httpcore.AsyncConnectionPool
        if proxy is None:
            self._pool = httpcore.AsyncConnectionPool(
                ssl_context=tls, max_connections=None, max_keepalive_connections=keep, network_backend=backend
            )
            return
        self._pool = httpcore.AsyncHTTPProxy(
            proxy_url=httpcore.URL(
                scheme=proxy.url.raw_scheme,
                host=proxy.url.raw_host,
                port=proxy.url.port,
                target=proxy.url.raw_path,
            ),
            proxy_auth=proxy.raw_auth,
            ssl_context=tls,
            max_connections=None,
            max_keepalive_connections=keep,
            network_backend=backend,
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request; raises httpx.TransportError, and AddressRefused for a place it must not go to."""
        if self._proxied:
            await self._judge(request.url)
        url = httpcore.URL(
            scheme=request.url.raw_scheme,
            host=request.url.raw_host,
            port=request.url.port,
            target=request.url.raw_path,
        )
        with _translated():
            answer = await self._pool.handle_async_request(
                httpcore.Request(
                    method=request.method,
                    url=url,
                    headers=request.headers.raw,
                    content=request.stream,
                    extensions=request.extensions,
                )
            )
        return httpx.Response(answer.status, headers=answer.headers, stream=_Body(answer), request=request)

    async def _judge(self, url: httpx.URL) -> None:
        """Judge a host the proxy will connect to, by the addresses known here; the proxy judges names only it knows."""
        try:
            await self._guard.addresses(host_of(url), url.port or 0)
        except OSError:
            return

    async def aclose(self) -> None:
        """Close every connection."""
        await self._pool.aclose()
