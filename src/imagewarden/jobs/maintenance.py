"""Housekeeping of the queue itself, by whichever worker comes first."""

import structlog
from procrastinate import App
from procrastinate.utils import utcnow
from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from imagewarden.identity.tokens import prune_tokens
from imagewarden.inventory.feed import prune_changes
from imagewarden.sync.runs import now_ms
from imagewarden.sync.tables import sync_run

__all__ = ["QUEUE", "STALLED_SECONDS", "prune", "register", "retake_stalled_jobs"]

QUEUE = "maintenance"
"""Queue of housekeeping jobs."""

STALLED_SECONDS = 40.0
"""A worker without a sign of life for this long is dead: it beats every 10 s."""

_KEPT_HOURS = 7 * 24
_RUNS_KEPT_MS = 30 * 86_400_000
_LOG = structlog.get_logger(__name__)


async def retake_stalled_jobs(app: App) -> int:
    """Put the jobs of dead workers back into the queue; returns how many."""
    stalled = list(await app.job_manager.get_stalled_jobs(seconds_since_heartbeat=STALLED_SECONDS))
    for job in stalled:
        await app.job_manager.retry_job(job=job, retry_at=utcnow())
        _LOG.warning("took up a job again whose worker died", job=job.id, task=job.task_name)
    await app.job_manager.prune_stalled_workers(STALLED_SECONDS)
    return len(stalled)


async def prune(app: App, engine: AsyncEngine) -> None:
    """Forget jobs that ended a week ago, tokens long expired or revoked, a month's old synchronisations, and old
    changes of images.

    The last synchronisation of each registry is kept: it says how the registry stands.
    """
    await app.job_manager.delete_old_jobs(
        nb_hours=_KEPT_HOURS, include_failed=True, include_cancelled=True, include_aborted=True
    )
    last = select(func.max(sync_run.c.id)).group_by(sync_run.c.registry_id)
    old = delete(sync_run).where(sync_run.c.created_at < now_ms() - _RUNS_KEPT_MS, sync_run.c.id.not_in(last))
    async with engine.begin() as connection:
        tokens = await prune_tokens(connection)
        runs = (await connection.execute(old)).rowcount
        changes = await prune_changes(connection)
    _LOG.debug("pruned", tokens=tokens, runs=runs, changes=changes)


def register(app: App, engine: AsyncEngine) -> None:
    """Give an app its periodic housekeeping tasks."""

    @app.periodic(cron="* * * * *")
    @app.task(name="retake_stalled_jobs", queue=QUEUE, queueing_lock="retake_stalled_jobs", lock="retake_stalled_jobs")
    async def retake_task(timestamp: int) -> None:
        """Run once a minute."""
        _LOG.debug("looked after dead workers", planned=timestamp, jobs=await retake_stalled_jobs(app))

    @app.periodic(cron="17 * * * *")
    @app.task(name="prune", queue=QUEUE, queueing_lock="prune", lock="prune")
    async def prune_task(timestamp: int) -> None:
        """Run once an hour."""
        _LOG.debug("prunes", planned=timestamp)
        await prune(app, engine)
