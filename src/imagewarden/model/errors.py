"""The root of every error that a user is meant to read."""

__all__ = ["ImagewardenError"]


class ImagewardenError(Exception):
    """Something a user can act on: `str(error)` is one sentence that says what, where and what to do.

    Each room derives its own root from this one. Never holds a secret: the text may be logged and shown.
    """
