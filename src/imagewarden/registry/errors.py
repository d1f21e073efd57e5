"""What can go wrong with a registry, by kind."""

from imagewarden.model.errors import ImagewardenError

__all__ = [
    "AccessDenied",
    "AddressRefused",
    "AuthenticationFailed",
    "DigestMismatch",
    "MalformedAnswer",
    "ManifestNotFound",
    "RateLimited",
    "RegistryError",
    "RegistryUnavailable",
    "UnsupportedRegistry",
]


class RegistryError(ImagewardenError):
    """Root of this room's errors."""

    code = "registry_error"
    """A short stable word for reports."""


class AuthenticationFailed(RegistryError):
    """The registry or its token service refuses the credentials."""

    code = "authentication_failed"


class AccessDenied(RegistryError):
    """The credentials are good, but not for this."""

    code = "access_denied"


class ManifestNotFound(RegistryError):
    """A manifest, index or blob that the registry does not hold."""

    code = "not_found"


class RateLimited(RegistryError):
    """Too many requests, even after waiting."""

    code = "rate_limited"


class RegistryUnavailable(RegistryError):
    """No usable answer: down, too slow, or failing."""

    code = "registry_unavailable"


class MalformedAnswer(RegistryError):
    """An answer outside the specification or beyond the limits."""

    code = "malformed_answer"


class DigestMismatch(RegistryError):
    """Content that is not what its digest says."""

    code = "digest_mismatch"


class AddressRefused(RegistryError):
    """The registry sends us to an address that we do not go to."""

    code = "address_refused"


class UnsupportedRegistry(RegistryError):
    """A kind of registry without an adapter."""

    code = "unsupported_registry"
