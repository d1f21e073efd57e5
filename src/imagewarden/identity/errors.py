"""What can go wrong with identities."""

from enum import StrEnum

from imagewarden.model.errors import ImagewardenError

__all__ = [
    "AlreadyExists",
    "IdentityError",
    "InvalidIdentity",
    "NotAuthenticated",
    "Refusal",
    "TooManyLogins",
    "UnknownIdentity",
    "VaultError",
]


class Refusal(StrEnum):
    """Why somebody was not let in: for the log and for lock-outs, never for the caller."""

    ALGORITHM = "algorithm not served"
    BODY = "body hash wrong"
    DATE = "date missing or too far off"
    DISABLED = "user disabled"
    EXPIRED = "expired"
    HEADER = "signed header missing or repeated"
    LOCKED = "access key locked"
    MALFORMED = "malformed"
    PASSWORD = "user unknown or password wrong"  # noqa: S105 # a reason, not a password
    REVOKED = "revoked"
    SCOPE = "scope not granted"
    SIGNATURE = "access key unknown or signature wrong"
    UNKNOWN = "unknown"


class IdentityError(ImagewardenError):
    """Root of this room's errors."""


class NotAuthenticated(IdentityError):
    """A token, password or signature that is not good; the words do not tell a wrong one from an unknown one."""

    def __init__(self, message: str, reason: Refusal) -> None:
        super().__init__(message)
        self.reason = reason


class TooManyLogins(IdentityError):
    """More passwords wait to be verified than there is room for; later ones are welcome."""


class UnknownIdentity(IdentityError):
    """A user, project or key that does not exist."""


class AlreadyExists(IdentityError):
    """A name that is taken."""


class InvalidIdentity(IdentityError):
    """A name or password outside its rules."""


class VaultError(IdentityError):
    """A key that is missing, unsafe or not the one that sealed a secret."""
