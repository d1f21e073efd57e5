"""Synchronisations as jobs: asked for by a command or the API, or because their time has come."""

import structlog
from procrastinate import App
from sqlalchemy import BigInteger, and_, func, literal, or_, select, text, true
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from imagewarden.identity.vault import Vault
from imagewarden.inventory.errors import UnknownRegistry
from imagewarden.inventory.tables import registry
from imagewarden.jobs.queue import Job, defer
from imagewarden.jobs.retry import RetryTransient
from imagewarden.sync.errors import SyncAlreadyRunning
from imagewarden.sync.run import sync_registry
from imagewarden.sync.runs import now_ms, request_run
from imagewarden.sync.tables import sync_run

__all__ = ["QUEUE", "due_registries", "register", "request_due", "request_sync"]

QUEUE = "sync"
"""Queue of synchronisations."""

_TASK = "sync_registry"
_SILENT_MS = 10 * 60 * 1000
"""A running run that has not told of itself for this long is not waited for."""
_WAITING = text(
    "SELECT (args->>'run_id')::bigint FROM procrastinate_jobs WHERE queueing_lock = :lock AND status = 'todo'"
)
_LOG = structlog.get_logger(__name__)


async def request_sync(connection: AsyncConnection, registry_id: str) -> int:
    """Have a registry synchronised by a worker, within the connection's transaction; returns the run's id.

    Where a run of the registry waits already, it is that one's.
    """
    lock = f"sync:{registry_id}"
    while True:
        savepoint = await connection.begin_nested()
        run_id = await request_run(connection, registry_id)
        job = Job(_TASK, QUEUE, {"registry_id": registry_id, "run_id": run_id}, lock=lock, queueing_lock=lock)
        if await defer(connection, job) is not None:
            await savepoint.commit()
            return run_id
        await savepoint.rollback()
        found = (await connection.execute(_WAITING, {"lock": lock})).scalar_one_or_none()
        if found is not None:  # else a worker took it this very moment, and another one may wait
            return int(found)


async def due_registries(connection: AsyncConnection, now: int) -> list[str]:
    """Return the ids of registries whose interval has passed since their last run was asked for; `now` in ms.

    Not those that are still being read, nor those that are synchronised by command only.
    """
    last = (
        select(sync_run.c.created_at, sync_run.c.state, sync_run.c.heartbeat_at, sync_run.c.started_at)
        .where(sync_run.c.registry_id == registry.c.id)
        .order_by(sync_run.c.id.desc())
        .limit(1)
        .lateral("last")
    )
    heard = func.coalesce(last.c.heartbeat_at, last.c.started_at, 0)
    at_work = and_(last.c.state == "running", heard > now - _SILENT_MS)
    passed = last.c.created_at <= literal(now, BigInteger) - registry.c.sync_interval * literal(1000, BigInteger)
    statement = (
        select(registry.c.id)
        .select_from(registry.outerjoin(last, true()))
        .where(registry.c.sync_interval > 0, or_(last.c.created_at.is_(None), and_(passed, ~at_work)))
        .order_by(last.c.created_at.nulls_first(), registry.c.id)
    )
    return list((await connection.execute(statement)).scalars())


async def request_due(engine: AsyncEngine) -> int:
    """Have every registry synchronised whose time has come; returns how many."""
    async with engine.begin() as connection:
        due = await due_registries(connection, now_ms())
        for registry_id in due:
            await request_sync(connection, registry_id)
    if due:
        _LOG.info("asked for synchronisations", registries=len(due))
    return len(due)


def register(app: App, engine: AsyncEngine, vault: Vault) -> None:
    """Give an app the task of a synchronisation, and the periodic one that asks for them."""

    @app.task(name=_TASK, queue=QUEUE, retry=RetryTransient(wait_for=(SyncAlreadyRunning,)))
    async def sync_task(registry_id: str, run_id: int) -> None:
        """Synchronise one registry; how it went is written down with the run."""
        try:
            await sync_registry(engine, vault, registry_id, run_id=run_id)
        except UnknownRegistry:
            _LOG.info("the registry was removed before its synchronisation", registry=registry_id, run=run_id)

    @app.periodic(cron="* * * * *")
    @app.task(
        name="request_due_syncs", queue="maintenance", queueing_lock="request_due_syncs", lock="request_due_syncs"
    )
    async def request_task(timestamp: int) -> None:
        """Run once a minute."""
        _LOG.debug("looked for registries whose time has come", planned=timestamp, due=await request_due(engine))
