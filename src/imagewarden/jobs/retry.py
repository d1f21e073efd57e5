"""Which failures of a job are tried again: those that say nothing about the job."""

import asyncio

import psycopg
from procrastinate import BaseRetryStrategy, RetryDecision
from procrastinate.jobs import Job
from sqlalchemy.exc import DBAPIError

__all__ = ["RetryTransient"]

_ATTEMPTS = 6
_FIRST_WAIT = 2
_BUSY_WAIT = 10
_LONGEST_WAIT = 300


def _is_transient(exception: BaseException) -> bool:
    """Return whether a database that was away or busy is to blame: operational errors, and lost connections."""
    original = exception.orig if isinstance(exception, DBAPIError) else exception
    lost = isinstance(exception, DBAPIError) and exception.connection_invalidated
    return lost or isinstance(original, psycopg.OperationalError)


class RetryTransient(BaseRetryStrategy):
    """Try again what a stopping worker gave up, what has to wait for others, and what the database broke off.

    The first at once; the second every 10 s, without end; the last after 2 s, 4 s ..., 5 times.
    """

    def __init__(self, *, wait_for: tuple[type[Exception], ...] = ()) -> None:
        """Make a strategy; `wait_for` are errors that say that somebody else has to finish first."""
        self._wait_for = wait_for

    def get_retry_decision(self, *, exception: BaseException, job: Job) -> RetryDecision | None:
        """Return when to try again, None for a failure that is final."""
        if isinstance(exception, asyncio.CancelledError):
            return RetryDecision(retry_in={"seconds": 0})
        if isinstance(exception, self._wait_for):
            return RetryDecision(retry_in={"seconds": _BUSY_WAIT})
        if not _is_transient(exception) or job.attempts + 1 >= _ATTEMPTS:
            return None
        return RetryDecision(retry_in={"seconds": min(_FIRST_WAIT * 2**job.attempts, _LONGEST_WAIT)})
