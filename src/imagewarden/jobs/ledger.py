"""Which jobs this process really runs, against what the queue believes it runs.

When the database goes away in the moment a job ends, its end is not written down: the queue goes on believing that a
worker which lives is at it, and nothing of the same lock is ever run again.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from procrastinate import App, JobContext
from procrastinate.exceptions import ConnectorException
from procrastinate.utils import utcnow
from procrastinate.worker import Worker

__all__ = ["Ledger"]

_LOG = structlog.get_logger(__name__)
_BELIEVED = "SELECT id FROM procrastinate_jobs WHERE worker_id = %(worker_id)s AND status = 'doing'"


class Ledger:
    """The jobs of one worker."""

    def __init__(self) -> None:
        self._running: set[int] = set()
        self._worker_id: int | None = None
        self._missing: set[int] = set()

    async def enter(self, call_next: Callable[[], Awaitable[Any]], context: JobContext, worker: Worker) -> Any:
        """Run a job, noted for as long as it runs; a procrastinate worker middleware."""
        number = context.job.id
        self._worker_id = worker.worker_id
        if number is None:
            return await call_next()
        self._running.add(number)
        try:
            return await call_next()
        finally:
            self._running.discard(number)

    async def retake_lost(self, app: App) -> int:
        """Put jobs back into the queue that it believes to run here and that were not, now and at the last call.

        Returns how many. Two calls, because a job is believed to run shortly before it starts and after it ends.
        """
        if self._worker_id is None:
            return 0
        rows = await app.connector.execute_query_all_async(_BELIEVED, worker_id=self._worker_id)
        missing = {int(row["id"]) for row in rows} - self._running
        lost, self._missing = missing & self._missing, missing
        for number in lost:
            await app.job_manager.retry_job_by_id_async(job_id=number, retry_at=utcnow())
            _LOG.warning("took up a job again whose end was not written down", job=number)
        return len(lost)

    async def watch(self, app: App, seconds: float = 30.0) -> None:
        """Look for lost jobs every `seconds`, without end; a database that is away is the worker's business."""
        while True:
            await asyncio.sleep(seconds)
            try:
                await self.retake_lost(app)
            except ConnectorException as error:
                _LOG.debug("could not look for lost jobs", reason=str(error.__cause__ or error))
