"""How to reach one registry, and the bounds on everything it may answer."""

import msgspec

from imagewarden.registry.errors import InvalidOption

__all__ = ["KIB", "MIB", "Limits", "TransportOptions"]

KIB = 1024
MIB = 1024 * KIB


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds on one registry's answers, and patience with it. Raises InvalidOption for a bound that would be none."""

    manifest_bytes: int = 4 * MIB
    """Largest manifest or index; the specification asks for at least 4 MiB."""
    page_bytes: int = 32 * MIB
    """Largest page of a listing; registries without paging send all names on one."""
    entries: int = 1_000_000
    """Names in one listing, all pages together."""
    pages: int = 20_000
    """Pages of one listing."""
    connect_seconds: float = 10.0
    """Until connected, for each address of a name."""
    read_seconds: float = 60.0
    """Between two pieces of an answer."""
    answer_seconds: float = 180.0
    """A whole request and answer, however steadily it drips; of a blob, until its headers are there."""
    blob_bytes_per_second: int = 32 * KIB
    """A blob that comes slower than this on the whole, `answer_seconds` of grace apart, is given up."""
    attempts: int = 5
    """Tries of a request that fails in passing, the first included."""
    backoff_seconds: float = 0.5
    """The wait after the first failure is between 0 and this; the bound doubles each time."""
    longest_wait_seconds: float = 60.0
    """Longest wait between two tries, the registry's `Retry-After` included."""
    redirects: int = 5
    """Redirects of one request."""

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            if not getattr(self, name) > 0:
                raise InvalidOption(f"{name} must be above 0, and is {getattr(self, name)}")


class TransportOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Address, credentials, trust and pace of one registry. Raises InvalidOption for values out of range."""

    url: str
    """`https://registry.example.test[:port][/prefix]`; `/v2/` is added. No user, query or fragment."""
    username: str | None = None
    """User; None for anonymous access, or for what `docker_config` says."""
    password: str | None = None
    """Its password or access token."""
    identity_token: str | None = None
    """OAuth2 refresh token in place of a password, as docker's credential store keeps it."""
    docker_config: str | None = None
    """Path of a docker `config.json` that is asked for credentials when none are given here."""
    insecure: bool = False
    """Whether any TLS certificate is taken."""
    ca_file: str | None = None
    """PEM file of certificate authorities to trust besides the usual ones."""
    proxy: str | None = None
    """`http://[user:password@]host:port`; None takes the environment's (HTTPS_PROXY, NO_PROXY, ...), "" is none."""
    token_hosts: tuple[str, ...] = ()
    """`host` or `host:port` of token services on other hosts that get the credentials, also on plain http or a private
    address."""
    concurrency: int = 4
    """Requests under way at once, 1 or more. A blob counts until it is read to its end or closed."""
    requests_per_second: float = 0.0
    """Requests started a second; 0 = as fast as they come."""
    limits: Limits = Limits()
    """Bounds on answers."""

    def __post_init__(self) -> None:
        if self.concurrency < 1:
            raise InvalidOption(f"concurrency must be 1 or more, and is {self.concurrency}")
        if not self.requests_per_second >= 0:
            raise InvalidOption(f"requests_per_second must be 0 or more, and is {self.requests_per_second}")

    def __repr__(self) -> str:
        return f"TransportOptions(url={self.url!r}, username={self.username!r}, ...)"
