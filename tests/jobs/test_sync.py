"""Synchronisations as jobs: what is asked for, and when."""

import asyncio

import pytest
from sqlalchemy import insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncEngine

from imagewarden.identity.vault import Vault
from imagewarden.inventory.tables import registry
from imagewarden.jobs.sync import due_registries, request_due, request_sync
from imagewarden.storage.database import Database
from imagewarden.sync.runs import now_ms
from imagewarden.sync.tables import sync_run
from tests.support.inventory import install

pytestmark = pytest.mark.anyio

HOUR = 3_600_000


@pytest.fixture
async def registry_id(queued: Database, vault: Vault, engine: AsyncEngine) -> str:
    """Give the one registry that is on a schedule, of an hour."""
    rows = (await install(queued, vault)).registries
    async with engine.begin() as connection:
        await connection.execute(update(registry).where(registry.c.id != rows[0]["id"]).values(sync_interval=0))
    return str(rows[0]["id"])


async def states(engine: AsyncEngine) -> list[str]:
    """Return the states of all runs, oldest first."""
    async with engine.connect() as connection:
        return list((await connection.execute(select(sync_run.c.state).order_by(sync_run.c.id))).scalars())


async def add_run(engine: AsyncEngine, registry_id: str, **values: object) -> None:
    """Write down a run of the past."""
    async with engine.begin() as connection:
        await connection.execute(insert(sync_run).values({"registry_id": registry_id, **values}))


async def due(engine: AsyncEngine) -> list[str]:
    """Return the registries whose time has come."""
    async with engine.connect() as connection:
        return await due_registries(connection, now_ms())


async def test_a_second_request_is_the_first_ones_run(engine: AsyncEngine, registry_id: str) -> None:
    async with engine.begin() as connection:
        first = await request_sync(connection, registry_id)
        assert await request_sync(connection, registry_id) == first
    async with engine.begin() as connection:
        assert await request_sync(connection, registry_id) == first
    assert await states(engine) == ["waiting"]


async def test_requests_at_once_make_one_run(engine: AsyncEngine, registry_id: str) -> None:
    async def ask() -> int:
        async with engine.begin() as connection:
            return await request_sync(connection, registry_id)

    assert len(set(await asyncio.gather(*(ask() for _ in range(5))))) == 1
    assert await states(engine) == ["waiting"]


async def test_a_request_goes_with_its_transaction(engine: AsyncEngine, registry_id: str) -> None:
    async with engine.connect() as connection:
        await request_sync(connection, registry_id)
        await connection.rollback()
    assert await states(engine) == []


async def test_while_one_runs_another_may_wait(engine: AsyncEngine, registry_id: str) -> None:
    async with engine.begin() as connection:
        first = await request_sync(connection, registry_id)
        await connection.execute(text("UPDATE procrastinate_jobs SET status = 'doing'"))
        assert await request_sync(connection, registry_id) > first


async def test_a_new_registry_is_due(engine: AsyncEngine, registry_id: str) -> None:
    assert await due(engine) == [registry_id]


@pytest.mark.parametrize(
    ("run", "is_due"),
    [
        ({"state": "succeeded", "created_at": -HOUR + 60_000}, False),
        ({"state": "succeeded", "created_at": -HOUR}, True),
        ({"state": "failed", "created_at": -HOUR}, True),
        ({"state": "failed", "created_at": -1000}, False),
        ({"state": "running", "created_at": -2 * HOUR, "heartbeat_at": -1000}, False),
        ({"state": "running", "created_at": -2 * HOUR, "started_at": -1000}, False),
        ({"state": "running", "created_at": -2 * HOUR, "heartbeat_at": -HOUR}, True),
        ({"state": "waiting", "created_at": -2 * HOUR}, True),
    ],
)
async def test_when_a_registry_is_due(
    engine: AsyncEngine, registry_id: str, run: dict[str, object], is_due: bool
) -> None:
    moments = {name: now_ms() + value for name, value in run.items() if isinstance(value, int)}
    await add_run(engine, registry_id, state="succeeded", created_at=now_ms() - 9 * HOUR)
    await add_run(engine, registry_id, **{**run, **moments})
    assert await due(engine) == [registry_id] * is_due


async def test_what_is_due_is_asked_for_once(engine: AsyncEngine, registry_id: str) -> None:
    assert await request_due(engine) == 1
    assert await request_due(engine) == 0
    assert await states(engine) == ["waiting"]


async def test_a_registry_by_command_only_is_never_due(engine: AsyncEngine, registry_id: str) -> None:
    async with engine.begin() as connection:
        await connection.execute(update(registry).values(sync_interval=0))
    assert await due(engine) == []
