"""A worker: takes jobs from the queue until it is told to stop."""

import asyncio
import contextlib
import logging
import signal
import time

import psycopg
import structlog
from procrastinate import App
from procrastinate.exceptions import ConnectorException
from sqlalchemy.ext.asyncio import AsyncEngine

from imagewarden.identity.vault import Vault
from imagewarden.jobs.app import job_app
from imagewarden.jobs.ledger import Ledger
from imagewarden.storage.database import Database

__all__ = ["run_worker"]

_LOG = structlog.get_logger(__name__)
_LONGEST_WAIT = 30.0
_POLL_SECONDS = 5.0
_PARTING_SECONDS = 4.0
"""To write down the end of jobs and of the worker."""


class _AwayFilter(logging.Filter):
    """Says in one line what the library says with a traceback: that the database is away."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Rewrite such a record; keep every other one, tracebacks of our own faults included."""
        error = record.exc_info[1] if isinstance(record.exc_info, tuple) else None
        if isinstance(error, ConnectorException):
            record.msg, record.args = f"the database is away: {_reason(error)}", ()
            record.exc_info = record.exc_text = None
        return True


def _reason(error: BaseException) -> str:
    """Return what the database's driver said, in one line."""
    return " ".join(str(error.__cause__ or error).split())[:300]


_AWAY = _AwayFilter()
_LIBRARY_LOGGERS = ("procrastinate.utils", "procrastinate.worker", "procrastinate.worker.worker")


async def run_worker(
    database: Database, engine: AsyncEngine, vault: Vault, *, concurrency: int, grace: float = 5.0
) -> None:
    """Run jobs, `concurrency` at once, until SIGTERM or SIGINT; for the main thread.

    On the signal running jobs get `grace` seconds to end, then are cancelled and put back into the queue; all is over
    8 s later at the latest. A database that goes away is waited for, without end.
    """
    for name in _LIBRARY_LOGGERS:
        logging.getLogger(name).addFilter(_AWAY)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        wait = 0.5
        while not stop.is_set():
            started = time.monotonic()
            reason = await _work(job_app(database, engine, vault), stop, concurrency, grace)
            if stop.is_set():
                break
            if time.monotonic() - started > _LONGEST_WAIT:
                wait = 0.5
            _LOG.warning("the queue is away; trying again", reason=reason, seconds=wait)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), wait)
            wait = min(wait * 2, _LONGEST_WAIT)
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


async def _work(app: App, stop: asyncio.Event, concurrency: int, grace: float) -> str:
    """Run one worker until it is told to stop or the database goes away; returns why it ended."""
    stopping = asyncio.create_task(stop.wait())
    working = asyncio.create_task(_run(app, concurrency, grace))
    try:
        await asyncio.wait((stopping, working), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            _LOG.info("stopping", grace=grace)
            working.cancel()
            await asyncio.wait((working,), timeout=grace + _PARTING_SECONDS)
    finally:
        stopping.cancel()
        if not working.done():  # the database is away, and nothing can be written down
            working.cancel()
            await asyncio.wait((working,), timeout=_PARTING_SECONDS)
    if not working.done() or working.cancelled():
        return "stopped"
    try:
        working.result()
    except (ConnectorException, psycopg.Error, OSError) as error:
        return _reason(error)
    return "the worker ended"


async def _run(app: App, concurrency: int, grace: float) -> None:
    """Run one worker over an open queue."""
    ledger = Ledger()
    async with app.open_async():
        watching = asyncio.create_task(ledger.watch(app))
        try:
            _LOG.info("the worker takes jobs", concurrency=concurrency)
            await app.run_worker_async(
                name="worker",
                concurrency=concurrency,
                fetch_job_polling_interval=_POLL_SECONDS,
                abort_job_polling_interval=_POLL_SECONDS,
                shutdown_graceful_timeout=grace,
                delete_jobs="successful",
                install_signal_handlers=False,
                worker_middleware=[ledger.enter],
            )
        finally:
            watching.cancel()
