"""What can go wrong with identities."""

from imagewarden.model.errors import ImagewardenError

__all__ = ["AlreadyExists", "IdentityError", "InvalidIdentity", "NotAuthenticated", "UnknownIdentity", "VaultError"]


class IdentityError(ImagewardenError):
    """Root of this room's errors."""


class NotAuthenticated(IdentityError):
    """A token, password or signature that is not good; the words do not tell a wrong one from an unknown one."""


class UnknownIdentity(IdentityError):
    """A user, project or key that does not exist."""


class AlreadyExists(IdentityError):
    """A name that is taken."""


class InvalidIdentity(IdentityError):
    """A name or password outside its rules."""


class VaultError(IdentityError):
    """A key that is missing, unsafe or not the one that sealed a secret."""
