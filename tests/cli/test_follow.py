"""Following a synchronisation that another process runs."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import insert, update
from sqlalchemy.ext.asyncio import AsyncEngine

from imagewarden.cli import follow
from imagewarden.cli.session import Session
from imagewarden.identity.vault import Vault
from imagewarden.inventory.registries import RegistryRecord, read_registry
from imagewarden.settings import Settings
from imagewarden.storage.database import Database
from imagewarden.sync.lock import hold_registry
from imagewarden.sync.runs import SyncReport
from imagewarden.sync.tables import sync_run
from tests.support.inventory import install

pytestmark = pytest.mark.anyio


@pytest.fixture
async def session(embedded_database: Database, vault: Vault) -> AsyncIterator[Session]:
    """Give an open installation."""
    engine = embedded_database.engine(pool_size=10)
    yield Session(Settings(), embedded_database, engine, vault)
    await engine.dispose()


@pytest.fixture
async def record(session: Session) -> RegistryRecord:
    """Give a registry whose options cannot be read, so that a run of our own fails at once."""
    rows = (await install(session.database, session.vault)).registries
    async with session.engine.begin() as connection:
        from imagewarden.inventory.tables import registry

        await connection.execute(update(registry).values(options={"unknown": 0}))
        return await read_registry(connection, str(rows[0]["id"]))


async def write_run(engine: AsyncEngine, record: RegistryRecord) -> int:
    """Write down a run that is running; returns its id."""
    values = {"registry_id": record.id, "state": "running", "created_at": 1, "repositories_total": 9}
    async with engine.begin() as connection:
        return int((await connection.execute(insert(sync_run).values(values).returning(sync_run.c.id))).scalar_one())


async def change(engine: AsyncEngine, run_id: int, **values: Any) -> None:
    """Change a run as the process that runs it would."""
    async with engine.begin() as connection:
        await connection.execute(update(sync_run).where(sync_run.c.id == run_id).values(values))


async def test_a_run_is_followed_to_its_end(session: Session, record: RegistryRecord) -> None:
    seen: list[SyncReport] = []
    async with hold_registry(session.engine, record):
        run_id = await write_run(session.engine, record)
        following = asyncio.create_task(follow.sync_all(session, [record], seen.append))
        for done in range(1, 4):
            await change(session.engine, run_id, repositories_done=done)
            await asyncio.sleep(0.4)
        await change(session.engine, run_id, state="succeeded", finished_at=2)
        (report,) = await asyncio.wait_for(following, 10)
    assert (report.id, report.state, report.repositories_done) == (run_id, "succeeded", 3)
    assert {each.repositories_done for each in seen} >= {2, 3}


async def test_a_run_whose_process_died_is_taken_over(
    session: Session, record: RegistryRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "_SILENT_POLLS", 3)
    seen: list[SyncReport] = []
    async with hold_registry(session.engine, record):
        run_id = await write_run(session.engine, record)
        following = asyncio.create_task(follow.sync_all(session, [record], seen.append))
        await asyncio.sleep(0.5)
        assert not following.done()
    (report,) = await asyncio.wait_for(following, 10)
    assert report.id > run_id
    assert report.state == "failed"
