"""What can go wrong with a synchronisation as a whole."""

from imagewarden.model.errors import ImagewardenError

__all__ = ["InvalidSource", "LockLost", "RegistrySilent", "SyncAlreadyRunning", "SyncError", "UnknownRun"]


class SyncError(ImagewardenError):
    """Root of this room's errors."""


class InvalidSource(SyncError):
    """Stored options of a registry that cannot be read."""


class UnknownRun(SyncError):
    """A run that is not there."""


class LockLost(SyncError):
    """The lock that keeps a registry from being synchronised twice at once is gone, with its connection."""


class RegistrySilent(SyncError):
    """A registry has stopped answering in the middle of a run."""

    code = "registry_unavailable"
    """As for a registry that does not answer from the start."""


class SyncAlreadyRunning(SyncError):
    """Another process synchronises this registry right now."""

    def __init__(self, name: str, run_id: int | None) -> None:
        super().__init__(f"registry {name} is being synchronised already; its progress can be followed")
        self.run_id = run_id
        """The running run; None in the moment before it is written down."""
