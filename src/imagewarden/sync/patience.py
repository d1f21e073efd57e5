"""When a registry that answered before is taken for down: going on asking would take hours."""

import time

from imagewarden.registry.errors import RegistryError, RegistryUnavailable
from imagewarden.sync.errors import RegistrySilent

__all__ = ["Patience", "is_passing"]

FAILURES = 8
"""Requests in a row, each with all its retries."""
SECONDS = 30.0
"""Time without an answer."""


def is_passing(error: Exception) -> bool:
    """Return whether a failure says that the registry is away or busy, and nothing of what it was asked for."""
    return isinstance(error, RegistryUnavailable) or (isinstance(error, RegistryError) and error.transient)


class Patience:
    """Counts what a registry leaves unanswered: many requests in a row over some time, and it is given up."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.answered()

    def answered(self) -> None:
        """Note an answer, of whatever kind."""
        self._failures = 0
        self._since = time.monotonic()

    def failed(self, error: Exception) -> None:
        """Note a failure; raises RegistrySilent when patience is at its end."""
        if not is_passing(error):
            self.answered()
            return
        self._failures += 1
        if self._failures >= FAILURES and time.monotonic() - self._since >= SECONDS:
            raise RegistrySilent(
                f"registry {self._name} left {self._failures} requests in a row unanswered; "
                f"the rest was not read and stays as it was; the last one failed with: {error}"
            )
