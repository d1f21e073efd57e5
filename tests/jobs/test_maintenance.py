"""Housekeeping: dead workers' jobs are taken up again, old ones are forgotten."""

from collections.abc import AsyncIterator

import pytest
from procrastinate import App
from sqlalchemy import insert, select, text
from sqlalchemy.ext.asyncio import AsyncEngine

from imagewarden.identity.vault import Vault
from imagewarden.jobs.app import job_app
from imagewarden.jobs.maintenance import prune, retake_stalled_jobs
from imagewarden.jobs.queue import Job, defer
from imagewarden.storage.database import Database
from imagewarden.sync.runs import now_ms
from imagewarden.sync.tables import sync_run
from tests.support.inventory import install

pytestmark = pytest.mark.anyio


@pytest.fixture
async def app(queued: Database, engine: AsyncEngine, vault: Vault) -> AsyncIterator[App]:
    """Give the open queue."""
    made = job_app(queued, engine, vault)
    async with made.open_async():
        yield made


async def run(engine: AsyncEngine, *statements: str) -> None:
    """Run statements in one transaction."""
    async with engine.begin() as connection:
        for statement in statements:
            await connection.execute(text(statement))


async def statuses(engine: AsyncEngine) -> list[str]:
    """Return the state of every job, oldest first."""
    async with engine.connect() as connection:
        rows = await connection.execute(text("SELECT status::text FROM procrastinate_jobs ORDER BY id"))
        return list(rows.scalars())


async def take_job(app: App, engine: AsyncEngine, name: str) -> None:
    """Enqueue a job and have a worker take it."""
    async with engine.begin() as connection:
        await defer(connection, Job(name, "q", {}))
    worker = await app.job_manager.register_worker()
    assert await app.job_manager.fetch_job(queues=["q"], worker_id=worker)


async def test_the_jobs_of_a_dead_worker_are_taken_up_again(app: App, engine: AsyncEngine) -> None:
    await take_job(app, engine, "dies")
    await run(engine, "UPDATE procrastinate_workers SET last_heartbeat = now() - interval '1 minute'")
    await take_job(app, engine, "lives")
    assert await retake_stalled_jobs(app) == 1
    assert await statuses(engine) == ["todo", "doing"]
    assert await retake_stalled_jobs(app) == 0


async def test_jobs_of_a_worker_that_is_no_longer_listed(app: App, engine: AsyncEngine) -> None:
    await take_job(app, engine, "dies")
    await run(engine, "DELETE FROM procrastinate_workers")
    assert await retake_stalled_jobs(app) == 1
    assert await statuses(engine) == ["todo"]


async def test_old_synchronisations_are_forgotten_but_for_each_registrys_last(
    app: App, engine: AsyncEngine, queued: Database, vault: Vault
) -> None:
    rows = (await install(queued, vault)).registries
    month = 31 * 86_400_000
    moments = [(0, month * 3), (0, month * 2), (1, month * 2), (0, 1000), (0, 0)]
    values = [
        {"registry_id": rows[at]["id"], "state": "succeeded", "created_at": now_ms() - age} for at, age in moments
    ]
    async with engine.begin() as connection:
        await connection.execute(insert(sync_run), values)
    await prune(app, engine)
    async with engine.connect() as connection:
        kept = list((await connection.execute(select(sync_run.c.id).order_by(sync_run.c.id))).scalars())
    assert kept == [3, 4, 5]


async def test_jobs_that_ended_long_ago_are_forgotten(app: App, engine: AsyncEngine) -> None:
    for name in ("old", "new"):
        await take_job(app, engine, name)
    await run(
        engine,
        "UPDATE procrastinate_jobs SET status = 'failed'",
        "UPDATE procrastinate_events SET at = now() - interval '8 days' WHERE job_id = (SELECT min(id) FROM "
        "procrastinate_jobs)",
    )
    await prune(app, engine)
    assert await statuses(engine) == ["failed"]
