"""How fast we ask one registry, and how long we wait when it is busy."""

import asyncio
import email.utils
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from imagewarden.registry.options import Limits

__all__ = ["Pace", "retry_after", "wait_before"]


def retry_after(value: str | None) -> float | None:
    """Return the seconds of a Retry-After header, given as seconds or as a date; None for neither."""
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None


def wait_before(attempt: int, asked: float | None, limits: Limits, chance: random.Random) -> float:
    """Return the seconds to wait before try `attempt` (1 is the first repetition).

    What the registry asks for, capped; else exponential with full jitter.
    """
    if asked is not None:
        return min(asked, limits.longest_wait_seconds) + chance.uniform(0, 0.25)
    return chance.uniform(0, min(limits.longest_wait_seconds, limits.backoff_seconds * 2**attempt))


class Pace:
    """Bounds on requests at once and on requests a second, of one registry."""

    def __init__(self, concurrency: int, requests_per_second: float) -> None:
        self._slots = asyncio.Semaphore(concurrency)
        self._gap = 1.0 / requests_per_second if requests_per_second > 0 else 0.0
        self._next = 0.0

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Hold a slot, entered when it is time for another request."""
        async with self._slots:
            now = time.monotonic()
            at = max(now, self._next)
            self._next = at + self._gap
            if at > now:
                await asyncio.sleep(at - now)
            yield
