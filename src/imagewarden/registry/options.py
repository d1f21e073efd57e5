"""How to reach one registry, and the bounds on what it may do."""

import msgspec

__all__ = ["Limits", "TransportOptions"]


class Limits(msgspec.Struct, frozen=True):
    """Bounds on one registry's answers."""

    manifest_bytes: int = 8 * 1024 * 1024
    """Largest manifest or index; the specification asks for at least 4 MiB."""
    page_bytes: int = 64 * 1024 * 1024
    """Largest page of a listing (some registries send all tags at once)."""
    config_bytes: int = 16 * 1024 * 1024
    """Largest image config read as a whole."""
    pages: int = 100_000
    """Pages of one listing."""
    answer_seconds: float = 60.0
    """A whole answer other than a blob."""
    connect_seconds: float = 10.0
    """Until connected."""
    read_seconds: float = 30.0
    """Between two pieces of an answer."""
    attempts: int = 5
    """Tries of a request that fails in passing."""
    backoff_seconds: float = 0.5
    """First wait between tries; doubles each time, with full jitter."""
    longest_wait_seconds: float = 60.0
    """Longest wait between tries, Retry-After included."""
    redirects: int = 5
    """Redirects of one request."""
    blob_bytes_per_second: int = 50_000
    """Slowest blob that is waited for, on average, after a minute's grace."""


class TransportOptions(msgspec.Struct, frozen=True):
    """How to reach one registry."""

    url: str
    """Scheme, host and port."""
    username: str | None = None
    """User; None for anonymous access."""
    password: str | None = None
    """Its password or access token."""
    identity_token: str | None = None
    """OAuth2 refresh token in place of a password, as docker's credential store keeps it."""
    insecure: bool = False
    """Whether any TLS certificate is taken."""
    ca_file: str | None = None
    """PEM file of certificate authorities, in place of the system's."""
    proxy: str | None = None
    """HTTP proxy; None takes the environment's."""
    token_hosts: tuple[str, ...] = ()
    """Other hosts that may be asked for tokens with the credentials."""
    concurrency: int = 4
    """Requests at once."""
    requests_per_second: float = 0.0
    """Pace; 0 for none."""
    limits: Limits = Limits()
    """Bounds on answers."""
