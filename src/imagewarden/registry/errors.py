"""What can go wrong with a registry: one kind a cause, each with a stable code."""

from typing import ClassVar

import msgspec

from imagewarden.model.errors import ImagewardenError

__all__ = [
    "AccessDenied",
    "AddressRefused",
    "AuthenticationFailed",
    "BlobNotFound",
    "DigestMismatch",
    "Exchange",
    "InvalidOption",
    "MalformedAnswer",
    "ManifestNotFound",
    "RateLimited",
    "RedirectRefused",
    "RegistryError",
    "RegistryUnavailable",
]


class Exchange(msgspec.Struct, frozen=True):
    """A request, as an error may show it: never its query, which may be signed, and never its headers."""

    method: str
    """`GET`, `HEAD`, ..."""
    place: str
    """`https://registry.example.test/v2/`: the URL without user, query and fragment."""
    status: int | None = None
    """Status of the answer, if there was one."""

    def __str__(self) -> str:
        answered = "" if self.status is None else f" answered {self.status}"
        return f"{self.method} {self.place}{answered}"


class RegistryError(ImagewardenError):
    """A registry did not answer, or not truthfully. The root of this room's errors."""

    code: ClassVar[str] = "registry_error"
    """Stable name of the kind, for reports."""
    advice: ClassVar[str] = ""
    """What the reader can do about it."""

    def __init__(
        self,
        reason: str,
        exchange: Exchange | None = None,
        *,
        transient: bool = False,
        retry_after: float | None = None,
    ) -> None:
        self.exchange = exchange
        """The request it happened on, if it happened on one."""
        self.transient = transient
        """Whether the same request may succeed later."""
        self.retry_after = retry_after
        """Seconds the registry asked to wait, if it did."""
        place = f"{exchange}: " if exchange else ""
        super().__init__(f"{place}{reason}" + (f"; {self.advice}" if self.advice else ""))


class InvalidOption(RegistryError):
    """An address, proxy, certificate file or other option that cannot be used."""

    code = "invalid_option"


class AuthenticationFailed(RegistryError):
    """The registry, or its token service, does not accept the credentials, or wants some and has got none."""

    code = "authentication_failed"
    advice = "give or correct the registry's user name and password"


class AccessDenied(RegistryError):
    """The credentials are accepted, but do not allow this."""

    code = "access_denied"
    advice = "give the user pull access to it, or leave it out of the registry's repository patterns"


class ManifestNotFound(RegistryError):
    """The manifest or index is not there, or not any more."""

    code = "manifest_not_found"


class BlobNotFound(RegistryError):
    """A layer or config is not there, or not any more."""

    code = "blob_not_found"


class RateLimited(RegistryError):
    """Too many requests, and waiting as asked has not helped."""

    code = "rate_limited"
    advice = "lower the registry's request rate or concurrency, or try again later"


class RegistryUnavailable(RegistryError):
    """No connection, no answer in time, or a server error; retries included."""

    code = "registry_unavailable"
    advice = "check that the registry is up and reachable from here"


class MalformedAnswer(RegistryError):
    """An answer that is no registry's: wrong shape, too large, endless, looping, or not HTTP."""

    code = "malformed_answer"


class DigestMismatch(RegistryError):
    """Content that is not what its digest says."""

    code = "digest_mismatch"


class RedirectRefused(RegistryError):
    """The registry sends the client to a place where it must not go with, or without, its credentials."""

    code = "redirect_refused"


class AddressRefused(RegistryError):
    """A name leads to an address that a registry has no business naming: loopback, private, link-local, metadata."""

    code = "address_refused"
