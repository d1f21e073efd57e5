"""What can go wrong with the job queue."""

from imagewarden.model.errors import ImagewardenError

__all__ = ["ForeignQueue", "JobError", "QueueMissing", "QueueNewer", "QueueOlder"]


class JobError(ImagewardenError):
    """Root of the queue's errors."""


class QueueMissing(JobError):
    """A database without the queue's tables."""


class QueueOlder(JobError):
    """A queue of an earlier version of its library."""


class QueueNewer(JobError):
    """A queue of a later version of its library."""


class ForeignQueue(JobError):
    """Tables of the same name that another program made."""
