"""Jobs are enqueued with the state change that asks for them, or not at all."""

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from imagewarden.jobs.queue import Job, defer, workers_alive

pytestmark = pytest.mark.anyio

JOB = Job("wave", "greetings", {"to": "you", "times": 3}, lock="hand", queueing_lock="hand")


async def jobs(engine: AsyncEngine) -> list[tuple[object, ...]]:
    """Return the queue's rows."""
    statement = text("SELECT task_name, queue_name, args, lock, queueing_lock, status::text FROM procrastinate_jobs")
    async with engine.connect() as connection:
        return [tuple(row) for row in await connection.execute(statement)]


async def test_a_job_is_there_once_the_transaction_commits(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        number = await defer(connection, JOB)
        assert await jobs(engine) == []
    assert number is not None
    assert await jobs(engine) == [("wave", "greetings", {"to": "you", "times": 3}, "hand", "hand", "todo")]


async def test_a_job_goes_with_its_transaction(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        await defer(connection, JOB)
        await connection.rollback()
    assert await jobs(engine) == []


async def test_a_second_job_of_a_queueing_lock_leaves_the_transaction_whole(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        assert await defer(connection, JOB) is not None
        assert await defer(connection, JOB) is None
        await connection.execute(text("CREATE TABLE proof ()"))
    assert len(await jobs(engine)) == 1
    async with engine.connect() as connection:
        assert (await connection.execute(text("SELECT to_regclass('proof') IS NOT NULL"))).scalar_one()


async def test_workers_alive_counts_signs_of_life(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        assert await workers_alive(connection) == 0
        await connection.execute(text("SELECT procrastinate_register_worker_v1() FROM generate_series(1, 2)"))
        assert await workers_alive(connection) == 2
        await connection.execute(
            text("UPDATE procrastinate_workers SET last_heartbeat = now() - interval '2 minutes' WHERE id = 1")
        )
        assert await workers_alive(connection) == 1
