"""Enqueueing a job in the transaction of the state change that asks for it."""

from typing import Any

import msgspec
from procrastinate import App, PsycopgConnector
from procrastinate.exceptions import AlreadyEnqueued
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

__all__ = ["Job", "defer", "workers_alive"]

_ALIVE_SECONDS = 40
"""A worker beats every 10 s."""

_APP = App(connector=PsycopgConnector())
"""Never opened: it only writes jobs, on connections that callers bring."""


class Job(msgspec.Struct, frozen=True):
    """A call to be made by a worker."""

    task: str
    """Name of the task."""
    queue: str
    """Queue that workers take it from."""
    arguments: dict[str, Any]
    """Keyword arguments; values that JSON can hold, never secrets."""
    lock: str | None = None
    """No two jobs of a lock run at once."""
    queueing_lock: str | None = None
    """No two jobs of a queueing lock wait at once."""


async def defer(connection: AsyncConnection, job: Job) -> int | None:
    """Enqueue a job within the connection's transaction: it is there if and when that commits.

    Returns the job's id, None when one of its queueing lock is waiting already.
    """
    raw = (await connection.get_raw_connection()).driver_connection
    deferrer = _APP.configure_task(
        job.task, queue=job.queue, lock=job.lock, queueing_lock=job.queueing_lock, connection=raw
    )
    try:
        async with connection.begin_nested():
            return await deferrer.defer_async(**job.arguments)
    except AlreadyEnqueued:
        return None


async def workers_alive(connection: AsyncConnection) -> int:
    """Return how many workers have shown a sign of life lately, on any machine."""
    statement = text(
        "SELECT count(*) FROM procrastinate_workers WHERE last_heartbeat > now() - make_interval(secs => :seconds)"
    )
    return int((await connection.execute(statement, {"seconds": _ALIVE_SECONDS})).scalar_one())
