"""How fast a registry is asked: concurrency, rate, and waiting after failures."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from imagewarden.registry.options import TransportOptions

__all__ = ["Pace", "parse_retry_after"]

_random = secrets.SystemRandom()


def parse_retry_after(value: str | None, now: datetime | None = None) -> float | None:
    """Return the seconds of a `Retry-After` header, given as seconds or as a date (RFC 9110, 10.2.3).

    A date in the past is 0; no header, or one that is neither, is None.
    """
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - (now or datetime.now(UTC))).total_seconds())


class Pace:
    """Slots for requests to one registry: so many at once, so many a second, none while it asked for quiet."""

    def __init__(self, options: TransportOptions) -> None:
        self._limits = options.limits
        self._slots = asyncio.Semaphore(options.concurrency)
        self._interval = 1 / options.requests_per_second if options.requests_per_second else 0.0
        self._next_start = 0.0

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Wait for a slot and for its turn; the slot is free again at the end of the block."""
        async with self._slots:
            clock = asyncio.get_running_loop().time
            # Not one sleep but a loop: the moment may be put off while this one sleeps.
            while self._next_start > clock():  # noqa: ASYNC110 # what is waited for is a time, not an event
                await asyncio.sleep(self._next_start - clock())
            self._next_start = clock() + self._interval
            yield

    async def back_off(self, failures: int, retry_after: float | None) -> None:
        """Wait after the `failures`-th failure of a request (1 or more): as the registry asked, else at random within
        a doubling bound ("full jitter"). A wait the registry asked for holds back every other request as well."""
        limits = self._limits
        if retry_after is None:
            bound = min(limits.longest_wait_seconds, limits.backoff_seconds * 2.0 ** min(failures - 1, 32))
            await asyncio.sleep(_random.uniform(0, bound))
            return
        wait = min(retry_after, limits.longest_wait_seconds)
        self._next_start = max(self._next_start, asyncio.get_running_loop().time() + wait)
        await asyncio.sleep(wait + _random.uniform(0, limits.backoff_seconds))
