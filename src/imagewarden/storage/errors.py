"""What can go wrong with the database, in words a user can act on."""

import errno

from imagewarden.model.errors import ImagewardenError

__all__ = [
    "DatabaseUnreachable",
    "DiskFull",
    "ForeignVersion",
    "LockHeld",
    "SchemaMissing",
    "SchemaNewer",
    "SchemaOlder",
    "ServerStartFailed",
    "StorageError",
    "UnsupportedServer",
    "WrongOwner",
    "is_disk_full",
]


class StorageError(ImagewardenError):
    """Root of the database's errors."""


class DatabaseUnreachable(StorageError):
    """No server answers at the address, or it refuses the user."""


class UnsupportedServer(StorageError):
    """A server that is too old or keeps text in another encoding."""


class WrongOwner(StorageError):
    """A folder that belongs to somebody else, or cannot be written."""


class ForeignVersion(StorageError):
    """A data folder of another PostgreSQL major version."""


class LockHeld(StorageError):
    """Another process holds the data folder."""


class DiskFull(StorageError):
    """No space left where the database lives."""


class ServerStartFailed(StorageError):
    """The embedded server does not start; the message carries the end of its log."""


class SchemaMissing(StorageError):
    """A database that `imagewarden init` has not seen yet."""


class SchemaOlder(StorageError):
    """A database of an earlier version of Imagewarden."""


class SchemaNewer(StorageError):
    """A database of a later version of Imagewarden."""


def is_disk_full(error: BaseException) -> bool:
    """Return whether the system refused for want of space: a full disk, or a spent quota."""
    return isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}
