"""Access keys that rest after too many wrong signatures.

Counted by each process for itself: with N server processes a guesser has N times the attempts, which does not matter
against 238-bit secrets. What it spares is the work, and it says to a client with a wrong secret that it should stop.
"""

import time
from collections import OrderedDict
from collections.abc import Callable

__all__ = ["KEPT", "LIMIT", "REST_SECONDS", "Lockout"]

LIMIT = 5
"""Wrong signatures within REST_SECONDS after which a key rests."""
REST_SECONDS = 300.0
"""How long it rests (contract: auth-and-errors, section c)."""
KEPT = 10_000
"""Access keys remembered; the one that failed longest ago is forgotten first."""


class Lockout:
    """Wrong signatures by access key, known or not: both lock alike, so that a lock tells nothing."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failed: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def is_locked(self, access: str) -> bool:
        """Return whether the key rests."""
        return self._current(access)[0] >= LIMIT

    def count(self, access: str) -> None:
        """Count a wrong signature; the one that reaches the limit starts the rest."""
        count, since = self._current(access)
        count += 1
        self._failed[access] = (count, self._clock() if count in (1, LIMIT) else since)
        self._failed.move_to_end(access)
        if len(self._failed) > KEPT:
            self._failed.popitem(last=False)

    def forget(self, access: str) -> None:
        """Forget the failures of a key whose signature was right."""
        self._failed.pop(access, None)

    def _current(self, access: str) -> tuple[int, float]:
        """Return how many failures count now, and since when."""
        count, since = self._failed.get(access, (0, 0.0))
        return (0, 0.0) if self._clock() - since >= REST_SECONDS else (count, since)
