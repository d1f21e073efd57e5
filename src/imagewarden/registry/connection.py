"""The HTTP client of one registry: verified TLS, a proxy if wanted, guarded addresses, nothing remembered."""

import ssl
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import httpcore
import httpx

from imagewarden.registry.errors import RegistryError
from imagewarden.registry.guard import GuardedNetwork
from imagewarden.registry.options import TransportOptions

__all__ = ["open_client", "registry_address"]

_PORTS = {"http": 80, "https": 443}


def registry_address(url: str) -> tuple[str, str, int]:
    """Return scheme, host and port of a registry's URL; raises RegistryError for any other kind of address."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise RegistryError(f"{url[:200]} is not an address; it looks like https://registry.example.test") from None
    if parts.scheme not in _PORTS or not parts.hostname or parts.path.strip("/") or parts.query or parts.fragment:
        raise RegistryError(
            f"{url[:200]} is not a registry's address; it takes scheme, host and port, like https://registry.example.test"
        )
    if parts.username or parts.password:
        raise RegistryError("the registry's address must not hold credentials; give --username and --password-stdin")
    return parts.scheme, parts.hostname, port or _PORTS[parts.scheme]


def _tls(options: TransportOptions) -> ssl.SSLContext:
    """Return the TLS settings; raises RegistryError for a file of authorities that cannot be read."""
    try:
        context = ssl.create_default_context(cafile=options.ca_file)
    except (OSError, ssl.SSLError) as error:
        raise RegistryError(f"the certificate file {options.ca_file} cannot be used: {error}") from None
    if options.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _proxy(options: TransportOptions, scheme: str, host: str) -> str | None:
    """Return the proxy for a registry: the configured one, else the environment's."""
    if options.proxy:
        return options.proxy
    return None if proxy_bypass(host) else getproxies().get(scheme)


class _GuardedTransport(httpx.AsyncHTTPTransport):
    """httpx's transport over a connection pool whose network is guarded."""

    def __init__(self, pool: httpcore.AsyncConnectionPool) -> None:
        self._pool = pool


def open_client(options: TransportOptions) -> httpx.AsyncClient:
    """Return a client that follows no redirect, keeps no cookie and reads no environment of its own."""
    scheme, host, port = registry_address(options.url)
    tls, limits = _tls(options), options.limits
    common = {
        "ssl_context": tls,
        "max_connections": options.concurrency + 4,
        "max_keepalive_connections": options.concurrency + 4,
        "keepalive_expiry": 30.0,
    }
    proxy = _proxy(options, scheme, host)
    if proxy:
        try:
            asked = httpx.Proxy(proxy)
        except (ValueError, httpx.InvalidURL):
            raise RegistryError(
                "the proxy's address cannot be read; it looks like http://proxy.example.test:3128"
            ) from None
        pool: httpcore.AsyncConnectionPool = httpcore.AsyncHTTPProxy(
            proxy_url=str(asked.url),
            proxy_auth=asked.raw_auth,
            **common,  # type: ignore[arg-type] # the values' types are the parameters'
        )
    else:
        network = GuardedNetwork([(host, port)])
        pool = httpcore.AsyncConnectionPool(network_backend=network, **common)  # type: ignore[arg-type] # as above
    return httpx.AsyncClient(
        transport=_GuardedTransport(pool),
        timeout=httpx.Timeout(limits.read_seconds, connect=limits.connect_seconds, pool=None),
        headers={"user-agent": "imagewarden", "accept-encoding": "identity"},
        follow_redirects=False,
        trust_env=False,
    )
