"""Which failures of a job are tried again, and when."""

import asyncio
from datetime import UTC, datetime

import psycopg
import pytest
from procrastinate.jobs import Job
from sqlalchemy.exc import OperationalError, ProgrammingError

from imagewarden.jobs.retry import RetryTransient
from imagewarden.sync.errors import SyncAlreadyRunning

STRATEGY = RetryTransient(wait_for=(SyncAlreadyRunning,))


def seconds_until(exception: BaseException, attempts: int) -> float | None:
    """Return how long a job waits that failed so, after so many earlier attempts."""
    job = Job(id=1, lock=None, queueing_lock=None, task_name="t", queue="q", attempts=attempts)
    decision = STRATEGY.get_retry_decision(exception=exception, job=job)
    if decision is None:
        return None
    assert decision.retry_at is not None
    return (decision.retry_at - datetime.now(UTC)).total_seconds()


@pytest.mark.parametrize(
    ("exception", "attempts", "wait"),
    [
        (asyncio.CancelledError(), 0, 0),
        (asyncio.CancelledError(), 99, 0),
        (SyncAlreadyRunning("one", 1), 99, 10),
        (OperationalError("SELECT", {}, psycopg.OperationalError("away")), 0, 2),
        (OperationalError("SELECT", {}, psycopg.errors.DeadlockDetected()), 2, 8),
        (psycopg.OperationalError("away"), 4, 32),
        (psycopg.OperationalError("away"), 5, None),
        (ProgrammingError("SELECT", {}, psycopg.errors.UndefinedTable()), 0, None),
        (ProgrammingError("SELECT", {}, psycopg.ProgrammingError(), connection_invalidated=True), 0, 2),
        (ValueError("ours"), 0, None),
    ],
)
def test_decisions(exception: BaseException, attempts: int, wait: float | None) -> None:
    found = seconds_until(exception, attempts)
    assert found is None if wait is None else found == pytest.approx(wait, abs=1)
