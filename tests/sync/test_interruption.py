"""Runs that end before their time: killed, cancelled, without their lock, without their registry, and what follows."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from sqlalchemy import func, select, text, update

from imagewarden.inventory.errors import UnknownRegistry
from imagewarden.inventory.registries import remove_registry
from imagewarden.inventory.tables import image
from imagewarden.sync import repository
from imagewarden.sync.errors import LockLost, SyncAlreadyRunning
from imagewarden.sync.runs import SyncReport, latest_runs, read_run, request_run
from imagewarden.sync.tables import sync_run
from tests.sync.conftest import Project, fill

pytestmark = pytest.mark.anyio


async def last_run(project: Project) -> SyncReport:
    async with project.engine.connect() as connection:
        (found,) = await latest_runs(connection, project.record.project_id)
        return found


def pause_at(project: Project, request: str) -> tuple[asyncio.Event, asyncio.Event]:
    """Have the registry wait at the first request that begins like this; returns (it has come, it may go on)."""
    reached, resume = asyncio.Event(), asyncio.Event()

    async def before(asked: str) -> None:
        if asked.startswith(request):
            reached.set()
            await resume.wait()

    project.memory.before = before
    return reached, resume


async def begun(project: Project, request: str) -> tuple[asyncio.Task[SyncReport], asyncio.Event]:
    """Return a synchronisation that waits at a request, and what makes it go on."""
    reached, resume = pause_at(project, request)
    task = asyncio.create_task(project.sync())
    await asyncio.wait_for(reached.wait(), 20)
    return task, resume


def raising(request: str, error: BaseException) -> Callable[[str], Awaitable[None]]:
    async def before(asked: str) -> None:
        if asked.startswith(request):
            raise error

    return before


async def test_repository_whose_reading_was_killed_gets_its_newest_row(
    one_project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repository, "BATCH", 2)
    fill(one_project, repositories=1, tags=4)
    one_project.memory.before = raising("HEAD team/app0:1.3", RuntimeError("a bug"))
    with pytest.raises(RuntimeError, match="a bug"):
        await one_project.sync()
    assert len(await one_project.rows()) == 2
    assert (await last_run(one_project)).state == "failed"
    for tag in ("1.2", "1.3"):
        one_project.memory.tag_map["team/app0"].pop(tag)
    one_project.memory.before = None
    report = await one_project.sync()
    assert (report.unchanged, report.added) == (2, 0)
    assert [tag for tag, row in (await one_project.rows()).items() if row.is_latest] == ["team/app0:1.1"]


async def test_cancelled_run_leaves_no_task_and_no_lock(one_project: Project) -> None:
    fill(one_project)
    before = asyncio.all_tasks()
    task, _ = await begun(one_project, "GET")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert asyncio.all_tasks() == before
    assert (await last_run(one_project)).error_code == "interrupted"
    one_project.memory.before = None
    assert (await one_project.sync()).state == "succeeded"


async def test_bug_ends_the_run_and_leaves_no_task(one_project: Project) -> None:
    fill(one_project)
    before = asyncio.all_tasks()
    one_project.memory.before = raising("GET", ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        await one_project.sync()
    assert asyncio.all_tasks() == before
    report = await last_run(one_project)
    assert (report.state, report.error_code) == ("failed", "interrupted")
    assert "ZeroDivisionError" in (report.error or "")


async def test_run_of_a_dead_process_is_closed_by_the_next(one_project: Project) -> None:
    async with one_project.engine.begin() as connection:
        dead = await request_run(connection, one_project.record.id)
        await connection.execute(update(sync_run).where(sync_run.c.id == dead).values(state="running"))
    await one_project.sync()
    async with one_project.engine.connect() as connection:
        report = await read_run(connection, dead)
    assert (report.state, report.error_code) == ("failed", "interrupted")


async def test_second_caller_can_follow_the_first(one_project: Project) -> None:
    fill(one_project)
    task, resume = await begun(one_project, "HEAD")
    with pytest.raises(SyncAlreadyRunning, match="memory") as refused:
        await one_project.sync()
    assert refused.value.run_id == (await last_run(one_project)).id
    resume.set()
    assert (await task).id == refused.value.run_id


async def test_progress_is_seen_by_others(one_project: Project) -> None:
    fill(one_project, repositories=3)
    task, resume = await begun(one_project, "LIST team/app2")
    for _ in range(100):
        report = await last_run(one_project)
        if report.added == 6:
            break
        await asyncio.sleep(0.05)
    assert (report.state, report.added, report.repositories_done, report.tags_seen) == ("running", 6, 2, 6)
    resume.set()
    assert (await task).added == 9


async def test_without_its_lock_a_run_stops_and_removes_nothing(one_project: Project) -> None:
    fill(one_project)
    await one_project.sync()
    one_project.memory.tag_map["team/app0"].pop("1.0")
    task, resume = await begun(one_project, "LIST team/app1")
    async with one_project.engine.begin() as connection:
        holders = text("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'")
        assert (await connection.execute(holders)).all()
    resume.set()
    with pytest.raises(LockLost, match="memory"):
        await task
    report = await last_run(one_project)
    assert (report.state, report.removed) == ("failed", 0)
    assert len(await one_project.rows()) == 6
    one_project.memory.before = None
    assert (await one_project.sync()).removed == 1


async def test_run_that_lost_its_lock_is_stopped_while_it_waits(one_project: Project) -> None:
    fill(one_project)
    task, _ = await begun(one_project, "HEAD")
    async with one_project.engine.begin() as connection:
        await connection.execute(text("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"))
    with pytest.raises(LockLost):
        await asyncio.wait_for(task, 20)


@pytest.mark.parametrize("request_begin", ["LIST", "HEAD", "GET"])
async def test_registry_removed_meanwhile(one_project: Project, request_begin: str) -> None:
    fill(one_project)
    task, resume = await begun(one_project, request_begin)
    async with one_project.engine.begin() as connection:
        await remove_registry(connection, one_project.record)
    resume.set()
    with pytest.raises(UnknownRegistry):
        await task
    async with one_project.engine.connect() as connection:
        assert (await connection.execute(select(func.count()).select_from(image))).scalar_one() == 0


async def test_run_asked_for_earlier_may_run_later(one_project: Project) -> None:
    """A run waits in the queue while a command synchronises: their ids are not in the order of their doing."""
    fill(one_project)
    async with one_project.engine.begin() as connection:
        waiting = await request_run(connection, one_project.record.id)
    assert (await one_project.sync()).id > waiting
    one_project.memory.tag_map["team/app0"].pop("1.0")
    report = await one_project.sync(run_id=waiting)
    assert (report.id, report.removed, report.unchanged) == (waiting, 1, 5)


async def test_repeated_run_counts_from_nought(one_project: Project) -> None:
    fill(one_project)
    first = await one_project.sync()
    again = await one_project.sync(run_id=first.id)
    assert (again.id, again.state, again.added, again.unchanged) == (first.id, "succeeded", 0, 6)
