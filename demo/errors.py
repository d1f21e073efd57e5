"""What can go wrong in the demonstration."""

from imagewarden.model.errors import ImagewardenError

__all__ = ["DemoError"]


class DemoError(ImagewardenError):
    """A step of the demonstration failed; the message says which, why, and where its log is."""
