"""A worker as it runs: stopped in the middle of a job, and while its database is away."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import select, text, update
from sqlalchemy.ext.asyncio import AsyncEngine

from imagewarden.identity.vault import Vault
from imagewarden.inventory.tables import registry
from imagewarden.jobs.app import job_app
from imagewarden.jobs.ledger import Ledger
from imagewarden.jobs.queue import Job, defer
from imagewarden.jobs.sync import request_sync
from imagewarden.jobs.worker import run_worker
from imagewarden.storage.database import Database
from imagewarden.sync.tables import sync_run
from tests.support.inventory import install

pytestmark = pytest.mark.anyio


@pytest.fixture
async def silent() -> AsyncIterator[str]:
    """Give the address of a registry that takes connections and says nothing."""

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()
    await server.wait_closed()


@pytest.fixture
async def registry_id(queued: Database, vault: Vault, engine: AsyncEngine, silent: str) -> str:
    """Give the silent registry; no other is on a schedule."""
    rows = (await install(queued, vault)).registries
    number = next(str(row["id"]) for row in rows if row["type"] == "Other")
    async with engine.begin() as connection:
        await connection.execute(update(registry).values(sync_interval=0, url=silent))
    return number


async def until(engine: AsyncEngine, question: str, answer: object) -> None:
    """Return when the database answers a question so."""
    for _ in range(200):
        async with engine.connect() as connection:
            if (await connection.execute(text(question))).scalar() == answer:
                return
        await asyncio.sleep(0.05)
    raise AssertionError(f"never {answer}: {question}")


def start(database: Database, engine: AsyncEngine, vault: Vault) -> asyncio.Task[None]:
    """Start a worker that gives running jobs half a second when it is stopped."""
    return asyncio.create_task(run_worker(database, engine, vault, concurrency=2, grace=0.5))


async def stop(worker: asyncio.Task[None]) -> None:
    """Stop it as a service manager does; it has a few seconds."""
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.wait_for(asyncio.shield(worker), 10)


async def test_a_stopped_worker_puts_its_job_back(
    queued: Database, engine: AsyncEngine, vault: Vault, registry_id: str
) -> None:
    async with engine.begin() as connection:
        run_id = await request_sync(connection, registry_id)
    for _ in range(2):  # the second worker takes up what the first one had to give up
        worker = start(queued, engine, vault)
        await until(engine, f"SELECT state FROM sync_run WHERE id = {run_id}", "running")
        await stop(worker)
        await until(engine, "SELECT status::text FROM procrastinate_jobs WHERE queue_name = 'sync'", "todo")
        async with engine.connect() as connection:
            row = (await connection.execute(select(sync_run.c.state, sync_run.c.error_code))).one()
        assert tuple(row) == ("failed", "interrupted")
    await until(engine, "SELECT count(*) FROM procrastinate_workers", 0)


async def test_a_job_that_ends_is_forgotten(
    queued: Database, engine: AsyncEngine, vault: Vault, registry_id: str
) -> None:
    """Its options cannot be read: the run fails, which is the run's affair; the job has done its work."""
    async with engine.begin() as connection:
        await connection.execute(update(registry).values(options={"unknown": 0}))
        run_id = await request_sync(connection, registry_id)
    worker = start(queued, engine, vault)
    await until(engine, f"SELECT state FROM sync_run WHERE id = {run_id}", "failed")
    await until(engine, "SELECT count(*) FROM procrastinate_jobs WHERE queue_name = 'sync'", 0)
    await stop(worker)


async def test_a_removed_registry_is_no_failure(
    queued: Database, engine: AsyncEngine, vault: Vault, registry_id: str
) -> None:
    async with engine.begin() as connection:
        await request_sync(connection, registry_id)
        await connection.execute(text("DELETE FROM registry"))
    worker = start(queued, engine, vault)
    await until(engine, "SELECT count(*) FROM procrastinate_jobs WHERE queue_name = 'sync'", 0)
    await stop(worker)


@pytest.fixture
def allow(queued: Database, embedded_conninfo: str) -> Callable[[bool], None]:
    """Give what takes the database away from everybody, and gives it back."""
    name = conninfo_to_dict(queued.conninfo)["dbname"]

    def switch(on: bool) -> None:
        with psycopg.connect(embedded_conninfo, autocommit=True) as connection:
            allowed = sql.SQL("true" if on else "false")
            connection.execute(
                sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}").format(sql.Identifier(str(name)), allowed)
            )
            connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))

    return switch


async def test_a_worker_outlives_its_database(
    queued: Database, engine: AsyncEngine, vault: Vault, registry_id: str, allow: Callable[[bool], None]
) -> None:
    worker = start(queued, engine, vault)
    await until(engine, "SELECT count(*) FROM procrastinate_workers", 1)
    allow(False)
    await asyncio.sleep(1.5)
    assert not worker.done()
    allow(True)
    await engine.dispose()
    async with engine.begin() as connection:
        await connection.execute(update(registry).values(url="http://127.0.0.1:1"))
        run_id = await request_sync(connection, registry_id)
    await until(engine, f"SELECT state <> 'waiting' FROM sync_run WHERE id = {run_id}", True)
    await stop(worker)


async def test_a_worker_stops_while_its_database_is_away(
    queued: Database, engine: AsyncEngine, vault: Vault, registry_id: str, allow: Callable[[bool], None]
) -> None:
    worker = start(queued, engine, vault)
    await until(engine, "SELECT count(*) FROM procrastinate_workers", 1)
    allow(False)
    await asyncio.sleep(1.0)
    try:
        await stop(worker)
    finally:
        allow(True)


async def test_a_job_whose_end_was_not_written_down(queued: Database, engine: AsyncEngine, vault: Vault) -> None:
    """Without this nothing of its lock would run again for as long as the worker lives."""
    app, ledger = job_app(queued, engine, vault), Ledger()
    async with app.open_async():
        worker_id = await app.job_manager.register_worker()
        ledger._worker_id = worker_id
        async with engine.begin() as connection:
            await defer(connection, Job("lost", "q", {}))
        job = await app.job_manager.fetch_job(queues=["q"], worker_id=worker_id)
        assert job is not None
        assert job.id is not None
        ledger._running.add(job.id)
        assert [await ledger.retake_lost(app) for _ in range(2)] == [0, 0]
        ledger._running.clear()
        assert [await ledger.retake_lost(app) for _ in range(3)] == [0, 1, 0]
    await until(engine, "SELECT status::text FROM procrastinate_jobs", "todo")
